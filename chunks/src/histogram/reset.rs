//! Whether a counter was reset between two histograms.

use super::bounds::exponential_bound;
use super::buckets::{placed, placed_in_schema};
use super::contained::{clear_of_zero, runs};
use super::custom::bounds_match;
use super::schema::{SCHEMA_MAX, SCHEMA_MIN};
use super::zero::widen;
use super::{CounterResetHint, FloatHistogram, Span};

impl FloatHistogram {
    /// Whether a counter reset lies between `previous` and this histogram: its hint says so or, unless the hint
    /// denies it, the count, the zero count or a bucket fell, or the layout changed as only a reset explains. The sum
    /// is not looked at.
    pub fn detect_reset(&self, previous: &FloatHistogram) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.uses_custom_buckets() {
            if !previous.uses_custom_buckets() {
                return true;
            }
            if !bounds_match(&self.custom_values, &previous.custom_values) {
                return self.fell_at_common_bounds(previous);
            }
        }
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        let widened = widen(previous, self.zero_threshold, None);
        if widened.threshold != self.zero_threshold || self.zero_count < widened.count {
            return true;
        }
        let side = |now: (&[Span], &[f64]), before: (&[Span], &[f64])| {
            if let Some(fell) = self.fell_in_place(previous, now, before) {
                return fell;
            }
            let now = self.above_zero_bucket(placed(now.0, now.1).collect());
            let before = placed_in_schema(before.0, before.1, previous.schema, self.schema);
            fell(&now, &self.above_zero_bucket(before))
        };
        side(
            (&self.positive_spans, &self.positive_buckets),
            (&previous.positive_spans, &previous.positive_buckets),
        ) || side(
            (&self.negative_spans, &self.negative_buckets),
            (&previous.negative_spans, &previous.negative_buckets),
        )
    }

    /// Whether a bucket fell on one side, if each bucket of `before` has its place in `now`, with the same bounds, outside
    /// of the zero bucket. `None` if one has not.
    fn fell_in_place(
        &self,
        previous: &FloatHistogram,
        now: (&[Span], &[f64]),
        before: (&[Span], &[f64]),
    ) -> Option<bool> {
        let is_clear = |spans| clear_of_zero(spans, self.schema, self.zero_threshold);
        if self.schema != previous.schema || !is_clear(now.0) || !is_clear(before.0) {
            return None;
        }
        let mut fell = false;
        let are_all = runs((now.0, now.1.len()), (before.0, before.1.len()), |a, b, n| {
            let pairs = now.1[a..a + n].iter().zip(&before.1[b..b + n]);
            fell |= pairs.fold(false, |fell, (now, before)| fell | (now < before));
        });
        are_all.then_some(fell)
    }

    /// Drops leading buckets inside the zero threshold.
    fn above_zero_bucket(&self, mut buckets: Vec<(i64, f64)>) -> Vec<(i64, f64)> {
        if self.zero_threshold != 0.0 && (SCHEMA_MIN..=SCHEMA_MAX).contains(&self.schema) {
            let inside = |index: i64| exponential_bound(index, self.schema) <= self.zero_threshold;
            let n = buckets.iter().take_while(|(index, _)| inside(*index)).count();
            buckets.drain(..n);
        }
        buckets
    }

    /// Whether the counts up to a bound that both histograms have (or between two such) fell.
    fn fell_at_common_bounds(&self, previous: &FloatHistogram) -> bool {
        let mut now = self.positive_side().peekable();
        let mut before = previous.positive_side().peekable();
        let (mut i, mut j) = (0, 0);
        while i <= self.custom_values.len() && j <= previous.custom_values.len() {
            let bound = self.custom_values.get(i).copied().unwrap_or(f64::INFINITY);
            let other = previous.custom_values.get(j).copied().unwrap_or(f64::INFINITY);
            if bound == other {
                let mut n_now = 0.0;
                while let Some(bucket) = now.next_if(|bucket| bucket.upper <= bound) {
                    n_now += bucket.count;
                }
                let mut n_before = 0.0;
                while let Some(bucket) = before.next_if(|bucket| bucket.upper <= bound) {
                    n_before += bucket.count;
                }
                if n_now < n_before {
                    return true;
                }
            }
            if bound < other {
                i += 1;
                continue;
            }
            i += usize::from(bound == other);
            j += 1;
        }
        false
    }
}

/// Whether a bucket of `before` is larger than in `now`, or populated there and missing here.
fn fell(now: &[(i64, f64)], before: &[(i64, f64)]) -> bool {
    let mut now = now.iter().peekable();
    before.iter().any(|(index, count)| {
        while now.next_if(|(at, _)| at < index).is_some() {}
        match now.peek() {
            Some((at, new)) if at == index => new < count,
            _ => *count != 0.0,
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::histogram_chunk::spans_of;

    fn side(places: &[bool], counts: &[u8]) -> (Vec<Span>, Vec<f64>) {
        let set = (0..places.len()).filter(|i| places[*i]);
        let indexes: Vec<i64> = set.clone().map(|i| i as i64 - 3).collect();
        (spans_of(&indexes), set.map(|i| f64::from(counts[i])).collect())
    }

    proptest! {
        /// Buckets compared in place are those that a walk by index compares.
        #[test]
        fn a_bucket_in_its_place_falls_as_one_by_index(
            now in proptest::collection::vec(any::<bool>(), 9),
            before in proptest::collection::vec(any::<bool>(), 9),
            counts in proptest::collection::vec(0u8..3, 18),
            contained in any::<bool>(),
            zero_threshold in prop_oneof![Just(0.0), Just(0.2), Just(1.0)],
        ) {
            let before: Vec<bool> = before.iter().zip(&now).map(|(b, a)| *b && (*a || !contained)).collect();
            let (now, before) = (side(&now, &counts[..9]), side(&before, &counts[9..]));
            let histogram = FloatHistogram { zero_threshold, ..FloatHistogram::default() };
            let list = |side: &(Vec<Span>, Vec<f64>)| histogram.above_zero_bucket(placed(&side.0, &side.1).collect());
            let expected = fell(&list(&now), &list(&before));
            let found = histogram.fell_in_place(&histogram, (&now.0, &now.1), (&before.0, &before.1));
            prop_assert!(found.is_none_or(|found| found == expected));
            prop_assert!(found.is_some() || !contained || zero_threshold > 0.0);
        }
    }
}
