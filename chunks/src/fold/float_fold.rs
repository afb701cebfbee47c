//! The fold that keeps all that is cheap to keep.

use super::Fold;
use super::repeat::add_times;
use crate::Timestamp;

/// What is known about the samples of some chunks, in time order, stale markers left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FloatFold {
    /// Number of samples.
    pub count: u64,
    /// Sum of the values, added one after the other.
    pub sum: f64,
    /// The smallest value; NaN only when all are.
    pub min: f64,
    /// The largest value; NaN only when all are.
    pub max: f64,
    /// Time of the first sample.
    pub first_t: Timestamp,
    /// Value of the first sample.
    pub first: f64,
    /// Time of the last sample.
    pub last_t: Timestamp,
    /// Value of the last sample.
    pub last: f64,
    /// What was lost at counter resets: the sum of the values before each decrease. The increase is
    /// `last - first + lost_at_resets`.
    pub lost_at_resets: f64,
}

impl FloatFold {
    /// The increase of a counter from the first to the last sample, resets accounted for. With several resets the last
    /// bits may differ from PromQL's, which [`super::RiseFold`] gives.
    pub fn increase(&self) -> f64 {
        self.last - self.first + self.lost_at_resets
    }
}

impl Fold for FloatFold {
    #[inline(always)]
    fn add(&mut self, t: i64, value: f64) {
        if self.count == 0 {
            *self = FloatFold {
                first_t: Timestamp(t),
                first: value,
                min: value,
                max: value,
                sum: value,
                ..FloatFold::default()
            };
        } else {
            // No branch on the values: they would be guessed wrong half of the time.
            self.sum += value;
            self.lost_at_resets += if value < self.last { self.last } else { 0.0 };
            self.min = if (value < self.min) | self.min.is_nan() { value } else { self.min };
            self.max = if (value > self.max) | self.max.is_nan() { value } else { self.max };
        }
        self.count += 1;
        self.last_t = Timestamp(t);
        self.last = value;
    }

    /// After the first of them only count, sum and the last time move.
    #[inline(always)]
    fn repeat(&mut self, t: i64, delta: i64, value: f64, n: usize) {
        let mut left = n;
        if self.count == 0 || self.last.to_bits() != value.to_bits() {
            self.add(t.wrapping_add(delta), value);
            left -= 1;
        }
        self.count += left as u64;
        self.last_t = Timestamp(t.wrapping_add(delta.wrapping_mul(n as i64)));
        self.sum = add_times(self.sum, value, left);
    }
}
