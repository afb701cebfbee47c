//! Small arithmetic that Go does in its own way, and compensated sums.

pub(crate) use tithon_chunks::kahan_add as kahan_inc;

use crate::{go_sort, math};

/// Go's `math.Max`: a NaN wins, and +0 is above -0.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        // An infinite operand wins even over a NaN.
        return if a == f64::INFINITY || b == f64::INFINITY { f64::INFINITY } else { f64::NAN };
    }
    if a == 0.0 && b == 0.0 {
        return if a.is_sign_negative() { b } else { a };
    }
    if a > b { a } else { b }
}

/// Go's `math.Min`: a NaN wins, and -0 is below +0.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY { f64::NEG_INFINITY } else { f64::NAN };
    }
    if a == 0.0 && b == 0.0 {
        return if a.is_sign_negative() { a } else { b };
    }
    if a < b { a } else { b }
}

/// Go's `math.Pow`.
pub(crate) fn go_pow(a: f64, b: f64) -> f64 {
    math::pow(a, b)
}

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
            let (sum, c) = kahan_inc(x, self.sum, self.c);
            if !sum.is_infinite() {
                (self.sum, self.c) = (sum, c);
                return;
            }
            self.incremental = true;
            self.mean = self.sum / (self.n - 1.0);
            self.c /= self.n - 1.0;
        }
        let q = (self.n - 1.0) / self.n;
        (self.mean, self.c) = kahan_inc(x / self.n, q * self.mean, q * self.c);
    }

    /// The mean so far.
    pub(crate) fn value(&self) -> f64 {
        if self.incremental { self.mean + self.c } else { self.sum / self.n + self.c / self.n }
    }
}

/// The φ-quantile of values, whose order changes; NaN is the smallest. Upstream: `quantile` in `promql/quantile.go`.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if has_plain_order(values) {
        return quantile_by_selection(q, values);
    }
    go_sort::sort(values, |a, b| a.is_nan() || a < b);
    quantile_of_sorted(q, values)
}

/// Whether equal values are equal to the bit: there is no NaN and no -0.
pub(crate) fn has_plain_order(values: &[f64]) -> bool {
    values.iter().fold(true, |plain, v| plain & !v.is_nan() & (v.to_bits() != 1 << 63))
}

/// The φ-quantile of sorted values.
pub(crate) fn quantile_of_sorted(q: f64, values: &[f64]) -> f64 {
    Rank::of(q, values.len())
        .map_or_else(|odd| odd, |rank| rank.between(values[rank.lower], values[rank.upper]))
}

/// The φ-quantile of values in plain order: only the two that matter are brought to their places.
fn quantile_by_selection(q: f64, values: &mut [f64]) -> f64 {
    let rank = match Rank::of(q, values.len()) {
        Ok(rank) => rank,
        Err(odd) => return odd,
    };
    let (_, lower, above) = values.select_nth_unstable_by(rank.lower, f64::total_cmp);
    let lower = *lower;
    let upper = match rank.upper == rank.lower {
        true => lower,
        false => above.iter().copied().fold(f64::INFINITY, f64::min),
    };
    rank.between(lower, upper)
}

/// Where a quantile lies among sorted values.
struct Rank {
    lower: usize,
    upper: usize,
    weight: f64,
}

impl Rank {
    /// The rank of the φ-quantile of `n` values, or the quantile itself where it does not depend on them.
    fn of(q: f64, n: usize) -> Result<Rank, f64> {
        if n == 0 || q.is_nan() {
            return Err(f64::NAN);
        }
        if q < 0.0 {
            return Err(f64::NEG_INFINITY);
        }
        if q > 1.0 {
            return Err(f64::INFINITY);
        }
        let rank = q * (n as f64 - 1.0);
        let lower = rank.floor().max(0.0);
        let upper = (n as f64 - 1.0).min(lower + 1.0);
        Ok(Rank { lower: lower as usize, upper: upper as usize, weight: rank - rank.floor() })
    }

    fn between(&self, lower: f64, upper: f64) -> f64 {
        lower * (1.0 - self.weight) + upper * self.weight
    }
}

/// Go's conversion of a float to a 64-bit integer on amd64: what does not fit becomes the smallest one.
pub(crate) fn go_int(x: f64) -> i64 {
    if x.is_nan() || !(i64::MIN as f64..-(i64::MIN as f64)).contains(&x) {
        return i64::MIN;
    }
    x as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_and_min_are_gos() {
        assert!(go_max(f64::NAN, 1.0).is_nan() && go_min(1.0, f64::NAN).is_nan());
        assert!(go_max(-0.0, 0.0).is_sign_positive() && go_min(0.0, -0.0).is_sign_negative());
        assert_eq!(go_max(f64::NAN, f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn sum_keeps_small_addends() {
        let (sum, c) = [1e100, 1.0, -1e100].iter().fold((0.0, 0.0), |(s, c), x| kahan_inc(*x, s, c));
        assert_eq!(sum + c, 1.0);
    }

    #[test]
    fn mean_survives_overflow() {
        let mut mean = Mean::of(f64::MAX);
        mean.add(f64::MAX);
        assert_eq!(mean.value(), f64::MAX);
    }

    #[test]
    fn quantile_interpolates() {
        assert_eq!(quantile(0.5, &mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(quantile(-1.0, &mut [1.0]), f64::NEG_INFINITY);
    }
}
