//! Compensated addition after Kahan and Neumaier, as Prometheus's `util/kahansum` does it.

use std::ops::AddAssign;

/// Adds `inc` to `sum` with the running compensation `c`; gives the new sum and compensation.
pub fn kahan_add(inc: f64, sum: f64, c: f64) -> (f64, f64) {
    let t = sum + inc;
    if t.is_infinite() {
        (t, 0.0)
    } else if sum.abs() >= inc.abs() {
        (t, c + ((sum - t) + inc))
    } else {
        (t, c + ((inc - t) + sum))
    }
}

/// A sum and what it lost to rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Compensated {
    pub(crate) sum: f64,
    pub(crate) lost: f64,
}

impl Compensated {
    pub(crate) fn add(&mut self, inc: f64) {
        (self.sum, self.lost) = kahan_add(inc, self.sum, self.lost);
    }
}

impl AddAssign for Compensated {
    fn add_assign(&mut self, other: Compensated) {
        self.add(other.sum);
        self.add(other.lost);
    }
}
