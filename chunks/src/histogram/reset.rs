//! Whether a counter was reset between two histograms.

use super::bounds::exponential_bound;
use super::buckets::{placed, placed_in_schema};
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
