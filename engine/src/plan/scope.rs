//! The blocks of a bucket that a process is responsible for. Thanos `pkg/block/fetcher.go`, the filters by time, labels
//! and consistency.

use tithon_index::Labels;

use super::{in_time, too_fresh};
use crate::BlockMeta;
use crate::relabel::{RelabelStep, keeps};

/// A point in time, fixed or relative to the present, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeBound {
    /// Milliseconds since the Unix epoch.
    At(i64),
    /// Milliseconds from the present; negative for the past.
    FromNow(i64),
}

impl TimeBound {
    /// The point, seen from `now_ms`.
    pub const fn at_ms(self, now_ms: i64) -> i64 {
        match self {
            TimeBound::At(ms) => ms,
            TimeBound::FromNow(ms) => now_ms.saturating_add(ms),
        }
    }
}

/// The blocks that a process works on or serves. The default is all blocks.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Blocks must end at or after this time.
    pub min_time: TimeBound,
    /// Blocks must begin at or before this time.
    pub max_time: TimeBound,
    /// Labels removed before [`Scope::rules`] are applied.
    pub replica_labels: Vec<String>,
    /// Relabelling steps, which must keep a block's external labels and id.
    pub rules: Vec<RelabelStep>,
    /// Milliseconds after its upload during which a block of another program is ignored.
    pub consistency_delay_ms: i64,
}

impl Default for Scope {
    fn default() -> Scope {
        Scope {
            min_time: TimeBound::At(i64::MIN),
            max_time: TimeBound::At(i64::MAX),
            replica_labels: Vec::new(),
            rules: Vec::new(),
            consistency_delay_ms: 0,
        }
    }
}

impl Scope {
    /// The time range of the scope at `now_ms`; both ends in milliseconds, included.
    pub const fn range_ms(&self, now_ms: i64) -> (i64, i64) {
        (self.min_time.at_ms(now_ms), self.max_time.at_ms(now_ms))
    }

    /// Why a block is outside the scope, as the metric `blocks_meta_synced` names it: `time-excluded`, `label-excluded`
    /// or `too-fresh`; `None` for a block inside.
    pub fn excludes(&self, block: &BlockMeta, now_ms: i64) -> Option<&'static str> {
        let (min, max) = self.range_ms(now_ms);
        if !in_time(block, min, max) {
            return Some("time-excluded");
        }
        if !self.keeps(block) {
            return Some("label-excluded");
        }
        too_fresh(block, self.consistency_delay_ms, now_ms).then_some("too-fresh")
    }

    /// Whether the rules keep the block's external labels without the replica labels, and its id as `__block_id`.
    fn keeps(&self, block: &BlockMeta) -> bool {
        let id = block.ulid.to_string();
        let labels = block.thanos.iter().flat_map(|thanos| &thanos.labels);
        let labels = labels.filter(|(name, _)| !self.replica_labels.contains(name));
        let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
        keeps(&Labels::from_pairs(labels.chain([("__block_id", id.as_str())])), &self.rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;
    use crate::{RelabelRecord, ThanosMeta};

    fn rule(label: &str, action: &str, regex: &str) -> RelabelStep {
        RelabelStep::new(&RelabelRecord {
            source_labels: vec![label.to_owned()],
            action: action.to_owned(),
            regex: regex.to_owned(),
            ..RelabelRecord::new()
        })
        .unwrap()
    }

    #[test]
    fn keep_and_drop_match_the_whole_value() {
        let mut block = meta(1, 0, 1, &[]);
        let labels = [("cluster", "eu1"), ("replica", "a")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        block.thanos = Some(ThanosMeta { labels: labels.into(), ..ThanosMeta::default() });
        let check = |rules: Vec<RelabelStep>, kept: bool| {
            let scope = Scope { replica_labels: vec!["replica".to_owned()], rules, ..Scope::default() };
            assert_eq!(scope.keeps(&block), kept, "{:?}", scope.rules);
        };
        check(vec![], true);
        check(vec![rule("cluster", "keep", "eu.")], true);
        check(vec![rule("cluster", "keep", "e")], false);
        check(vec![rule("cluster", "drop", "eu1|us1")], false);
        check(vec![rule("replica", "drop", "a")], true);
        check(vec![rule("__block_id", "keep", &block.ulid.to_string())], true);
        // MD5 of "eu1" ends in 310e81bb7d4e71c4 (md5sum): 4 modulo 8.
        let shard = RelabelStep::new(&RelabelRecord {
            source_labels: vec!["cluster".to_owned()],
            action: "hashmod".to_owned(),
            modulus: 8,
            target_label: "shard".to_owned(),
            ..RelabelRecord::new()
        })
        .unwrap();
        check(vec![shard.clone(), rule("shard", "keep", "4")], true);
        check(vec![shard, rule("shard", "keep", "0")], false);
    }

    #[test]
    fn blocks_are_excluded_by_the_first_reason() {
        let json = r#"{"ulid":"01HRK1D7808Y7332HNV6GP9882","minTime":1000,"maxTime":2000,"version":1,"stats":{},
            "compaction":{"level":1,"sources":[]},"thanos":{"labels":{"tenant":"a"},"downsample":{"resolution":0},"source":"sidecar"}}"#;
        let block = BlockMeta::parse(json.as_bytes()).unwrap();
        let now = block.ulid.unix_ms() as i64 + 60_000;
        let check = |scope: Scope, expected: Option<&str>| assert_eq!(scope.excludes(&block, now), expected);
        check(Scope::default(), None);
        check(Scope { min_time: TimeBound::At(2_000), ..Scope::default() }, None);
        check(Scope { min_time: TimeBound::At(2_001), ..Scope::default() }, Some("time-excluded"));
        check(Scope { max_time: TimeBound::At(999), ..Scope::default() }, Some("time-excluded"));
        check(Scope { min_time: TimeBound::FromNow(-60_000), ..Scope::default() }, Some("time-excluded"));
        check(Scope { consistency_delay_ms: 60_001, ..Scope::default() }, Some("too-fresh"));
        check(Scope { consistency_delay_ms: 60_000, ..Scope::default() }, None);
        check(Scope { rules: vec![rule("tenant", "keep", "a|b")], ..Scope::default() }, None);
        let other = vec![rule("tenant", "keep", "b")];
        let other = Scope { rules: other, consistency_delay_ms: 90_000, ..Scope::default() };
        check(other, Some("label-excluded"));
    }
}
