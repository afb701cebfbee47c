//! The mean of floats.

use tithon_chunks::kahan_add;

/// The mean of values added one by one: a compensated sum until it would overflow, then an incremental mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    sum: f64,
    mean: f64,
    c: f64,
    n: f64,
    incremental: bool,
}

impl Mean {
    /// The mean of one value.
    pub(crate) fn of(first: f64) -> Mean {
        Mean { sum: first, mean: first, c: 0.0, n: 1.0, incremental: false }
    }

    /// Adds a value.
    pub(crate) fn add(&mut self, x: f64) {
        self.n += 1.0;
        if !self.incremental {
            let (sum, c) = kahan_add(x, self.sum, self.c);
            if !sum.is_infinite() {
                (self.sum, self.c) = (sum, c);
                return;
            }
            self.incremental = true;
            self.mean = self.sum / (self.n - 1.0);
            self.c /= self.n - 1.0;
        }
        let q = (self.n - 1.0) / self.n;
        (self.mean, self.c) = kahan_add(x / self.n, q * self.mean, q * self.c);
    }

    /// The mean so far.
    pub(crate) fn value(&self) -> f64 {
        if self.incremental { self.mean + self.c } else { self.sum / self.n + self.c / self.n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_survives_overflow() {
        let mut mean = Mean::of(f64::MAX);
        mean.add(f64::MAX);
        assert_eq!(mean.value(), f64::MAX);
    }
}
