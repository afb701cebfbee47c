//! When groups are evaluated: at multiples of the interval, shifted by a share of it that differs from group to group. Prometheus
//! `rules/group.go`.

use std::time::Duration;

use xxhash_rust::xxh64::xxh64;

use crate::at::nanos;
use crate::{At, GroupConfig};

/// The slots of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    interval: i64,
    offset: i64,
}

impl Slots {
    /// The slots of a group with that name, of the file that it is known by to others.
    pub(crate) fn new(name: &str, file: &str, interval: Duration) -> Slots {
        let interval = nanos(interval).max(1);
        // As Thanos's build hashes the labels `file` and `name`, so that both have the same slots.
        let parts = ["file", file, "name", name].map(str::as_bytes);
        let hash = xxh64(&[parts.join(&[0xff][..]), vec![0xff]].concat(), 0);
        Slots { interval, offset: (hash % interval.unsigned_abs()) as i64 }
    }

    /// The last slot that is not after `now`.
    pub(crate) fn at_or_before(self, now: At) -> At {
        let shifted = now.0 - self.offset;
        At(shifted - shifted % self.interval + self.offset)
    }

    /// The slot after `slot`.
    pub(crate) fn next(self, slot: At) -> At {
        At(slot.0.saturating_add(self.interval))
    }

    /// The slot to evaluate at `now`, when `last` was evaluated before, and how many between them are missed.
    pub(crate) fn due(self, last: At, now: At) -> (At, u64) {
        let missed = (now.nanos_since(last) / self.interval - 1).max(0);
        (At(last.0 + (missed + 1) * self.interval), missed.unsigned_abs())
    }
}

/// The path that Thanos evaluates a group under; slots and the label `rule_group` are made of it.
pub(crate) fn evaluated_path(data_dir: &str, group: &GroupConfig) -> String {
    let file = group.file.to_string_lossy();
    let joined = format!("{data_dir}/.tmp-rules/{}/{file}", group.strategy.upper());
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let root = if joined.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_shifted_and_missed_ones_counted() {
        let interval = Duration::from_secs(60);
        let slots = Slots::new("g", "f.yml", interval);
        let now = At(1_700_000_000_123_456_789);
        let slot = slots.at_or_before(now);
        assert!(slot <= now && now < slots.next(slot));
        assert_eq!(slots.at_or_before(slot), slot);
        assert_eq!(slots.at_or_before(At(slot.0 - 1)), At(slot.0 - 60_000_000_000));
        assert_ne!(Slots::new("h", "f.yml", interval).offset, slots.offset);
        let after = |seconds: u64| slot.after(Duration::from_secs(seconds));
        assert_eq!(slots.due(slot, after(60)), (after(60), 0));
        assert_eq!(slots.due(slot, after(119)), (after(60), 0));
        assert_eq!(slots.due(slot, after(185)), (after(180), 2));
    }

    #[test]
    fn paths_are_those_of_thanos() {
        let group = GroupConfig {
            name: "g".to_owned(),
            file: "rules/../rules/a.yml".into(),
            interval: None,
            query_offset: None,
            limit: 0,
            strategy: crate::Strategy::Warn,
            rules: Vec::new(),
        };
        assert_eq!(evaluated_path("data/", &group), "data/.tmp-rules/WARN/rules/a.yml");
        assert_eq!(evaluated_path("/var/x", &group), "/var/x/.tmp-rules/WARN/rules/a.yml");
    }
}
