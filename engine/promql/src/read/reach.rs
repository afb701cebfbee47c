//! The samples that the steps of a selector can see: chunks between two windows need not be decoded.

use tithon_chunks::{TimeRange, Timestamp};

use super::reference::Reference;
use crate::frame::Steps;

/// The windows of all steps, each open on the left and closed on the right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// The time read at the first step, milliseconds.
    first: i64,
    /// The distance of the times read; at least 1.
    interval: i64,
    /// How many different times are read.
    n: i64,
    /// How far a window reaches back from its time, milliseconds.
    before: i64,
    /// How far it reaches beyond its time.
    after: i64,
    /// Whether the windows are those of a range vector.
    is_range: bool,
}

impl Reach {
    /// The windows `(t - before, t + after]` around the times read at `steps`.
    pub(crate) fn new(reference: Reference, steps: &Steps, before: i64, after: i64) -> Reach {
        let n = if reference.is_fixed() { steps.len.min(1) } else { steps.len };
        let n = i64::try_from(n).unwrap_or(i64::MAX);
        let (first, interval) = (reference.at(steps.start), steps.interval.max(1));
        Reach { first, interval, n, before, after, is_range: false }
    }

    /// The same windows as those of a range vector, which upstream reads with another iterator.
    pub(crate) fn of_range(self) -> Reach {
        Reach { is_range: true, ..self }
    }

    /// For each window in turn, the time to which upstream's iterator seeks unless it has passed it already, and the time at
    /// which it stops reading. Upstream: `storage/buffer.go`, `storage/memoized_iterator.go`.
    pub(crate) fn seek_and_end(&self) -> impl Iterator<Item = (i64, i64)> {
        let reach = *self;
        (0..reach.n).map(move |k| {
            let back = match (reach.is_range, k) {
                (false, _) => reach.before - 1,
                (true, 0) => reach.before,
                (true, _) => reach.before.min(reach.interval),
            };
            let t = reach.time(k).saturating_add(reach.after);
            (t.saturating_sub(back), t)
        })
    }

    /// How many different times are read.
    pub(crate) fn n_steps(&self) -> usize {
        usize::try_from(self.n).unwrap_or(usize::MAX)
    }

    /// The part of a range from the first to the last millisecond that any window holds; `None` when no window does.
    pub(crate) fn within(&self, range: TimeRange) -> Option<TimeRange> {
        let (min, max) = (range.min.0, range.max.0);
        // The first window whose end is not before the range, and the last whose start is before its end.
        let k = self.steps_before(min.saturating_sub(self.after));
        let last = self.steps_before(max.saturating_add(self.before)).min(self.n) - 1;
        if k > last {
            return None;
        }
        let from = self.time(k).saturating_sub(self.before).saturating_add(1);
        let to = self.time(last).saturating_add(self.after);
        Some(TimeRange { min: Timestamp(from.max(min)), max: Timestamp(to.min(max)) })
    }

    /// How many of the times read lie before `t`, as if there were no last step.
    fn steps_before(&self, t: i64) -> i64 {
        if t <= self.first {
            return 0;
        }
        let distance = t.saturating_sub(self.first);
        distance / self.interval + i64::from(distance % self.interval != 0)
    }

    fn time(&self, k: i64) -> i64 {
        self.first.saturating_add(k.saturating_mul(self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ast::AtModifier;

    /// The times of a range that lie in windows, found one by one.
    fn naive(reach: &Reach, range: TimeRange) -> Vec<i64> {
        let seen = |t: &i64| {
            (0..reach.n).any(|k| reach.time(k) - reach.before < *t && *t <= reach.time(k) + reach.after)
        };
        (range.min.0..=range.max.0).filter(seen).collect()
    }

    #[test]
    fn holds_all_that_windows_see() {
        for (interval, before, after) in [(10, 3, 0), (10, 10, 0), (7, 25, 0), (10, 3, 2), (1, 1, 0)] {
            let steps = Steps::new(100, 160, interval);
            for at in [AtModifier::None, AtModifier::At(120)] {
                let reach = Reach::new(Reference::new(at, 5), &steps, before, after);
                for min in 60..190 {
                    for len in 0..30 {
                        let range = TimeRange::new(min, min + len);
                        let seen = naive(&reach, range);
                        let within = reach.within(range);
                        assert_eq!(within.is_some(), !seen.is_empty(), "{reach:?} {range:?}");
                        let Some(within) = within else { continue };
                        let ends = (within.min.0, within.max.0);
                        assert_eq!(ends, (seen[0], seen[seen.len() - 1]), "{reach:?} {range:?}");
                    }
                }
            }
        }
    }
}
