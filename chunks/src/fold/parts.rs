//! Folds that compute one thing each; pair them to get more.

use super::Fold;
use super::repeat::{add_times, adds_exactly};
use crate::{Timestamp, kahan_add};

/// Counts the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountFold(pub u64);

impl Fold for CountFold {
    #[inline(always)]
    fn add(&mut self, _t: i64, _value: f64) {
        self.0 += 1;
    }

    #[inline(always)]
    fn repeat(&mut self, _t: i64, _delta: i64, _value: f64, n: usize) {
        self.0 += n as u64;
    }
}

/// Adds the values one after the other to 0, as downsampling does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SumFold(pub f64);

impl Fold for SumFold {
    #[inline(always)]
    fn add(&mut self, _t: i64, value: f64) {
        self.0 += value;
    }

    #[inline(always)]
    fn repeat(&mut self, _t: i64, _delta: i64, value: f64, n: usize) {
        self.0 = add_times(self.0, value, n);
    }
}

/// Adds the values with compensation, one after the other, as `sum_over_time` does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KahanFold {
    /// The sum so far.
    pub sum: f64,
    /// What it lost to rounding.
    pub lost: f64,
}

impl KahanFold {
    /// The sum with its compensation; an infinite one as it is.
    pub fn value(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.lost }
    }
}

impl Fold for KahanFold {
    #[inline(always)]
    fn add(&mut self, _t: i64, value: f64) {
        (self.sum, self.lost) = kahan_add(value, self.sum, self.lost);
    }

    #[inline(always)]
    fn repeat(&mut self, _t: i64, _delta: i64, value: f64, n: usize) {
        if adds_exactly(self.sum, value, n) {
            // Nothing is lost on the way.
            self.sum += value * n as f64;
            return;
        }
        for _ in 0..n {
            (self.sum, self.lost) = kahan_add(value, self.sum, self.lost);
        }
    }
}

/// The smallest value: `None` without samples, NaN only when all are; of equal ones the first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MinFold(pub Option<f64>);

impl Fold for MinFold {
    #[inline(always)]
    fn add(&mut self, _t: i64, value: f64) {
        let held = self.0.unwrap_or(f64::NAN);
        self.0 = Some(if (value < held) | held.is_nan() { value } else { held });
    }

    #[inline(always)]
    fn repeat(&mut self, t: i64, _delta: i64, value: f64, n: usize) {
        if n > 0 {
            self.add(t, value);
        }
    }
}

/// The largest value: `None` without samples, NaN only when all are; of equal ones the first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MaxFold(pub Option<f64>);

impl Fold for MaxFold {
    #[inline(always)]
    fn add(&mut self, _t: i64, value: f64) {
        let held = self.0.unwrap_or(f64::NAN);
        self.0 = Some(if (value > held) | held.is_nan() { value } else { held });
    }

    #[inline(always)]
    fn repeat(&mut self, t: i64, _delta: i64, value: f64, n: usize) {
        if n > 0 {
            self.add(t, value);
        }
    }
}

/// First and last sample and the resets between them: all that `rate`, `increase` and `delta` need.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RiseFold {
    /// Number of samples.
    pub count: u64,
    /// Time of the first sample.
    pub first_t: Timestamp,
    /// Value of the first sample.
    pub first: f64,
    /// Time of the last sample.
    pub last_t: Timestamp,
    /// Value of the last sample.
    pub last: f64,
    /// The values before each decrease.
    pub before_resets: Vec<f64>,
}

impl RiseFold {
    /// The last value less the first, then the values before each reset added one by one, as PromQL does.
    pub fn increase(&self) -> f64 {
        self.before_resets.iter().fold(self.last - self.first, |sum, lost| sum + lost)
    }
}

impl Fold for RiseFold {
    #[inline(always)]
    fn add(&mut self, t: i64, value: f64) {
        if self.count == 0 {
            (self.first_t, self.first) = (Timestamp(t), value);
        } else if value < self.last {
            self.before_resets.push(self.last);
        }
        self.count += 1;
        (self.last_t, self.last) = (Timestamp(t), value);
    }

    #[inline(always)]
    fn repeat(&mut self, t: i64, delta: i64, value: f64, n: usize) {
        if n > 0 {
            self.add(t.wrapping_add(delta), value);
            self.count += n as u64 - 1;
            self.last_t = Timestamp(t.wrapping_add(delta.wrapping_mul(n as i64)));
        }
    }
}
