//! Quantiles of floats. Upstream: `quantile` in `promql/quantile.go`.

use crate::go_sort;

/// The φ-quantile of values, which it reorders; NaN counts as the smallest value.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if has_plain_order(values) {
        return quantile_by_selection(q, values);
    }
    go_sort::sort(values, |a, b| a.is_nan() || a < b);
    quantile_of_sorted(q, values)
}

/// Whether there is no NaN and no -0: then equal values have equal bits, and any sort gives the same result.
pub(crate) fn has_plain_order(values: &[f64]) -> bool {
    values.iter().fold(true, |plain, v| plain & !v.is_nan() & (v.to_bits() != 1 << 63))
}

/// The φ-quantile of sorted values.
pub(crate) fn quantile_of_sorted(q: f64, values: &[f64]) -> f64 {
    Rank::of(q, values.len())
        .map_or_else(|quantile| quantile, |rank| rank.between(values[rank.lower], values[rank.upper]))
}

/// The φ-quantile of values in plain order. Selects the one or two values that matter instead of sorting all.
fn quantile_by_selection(q: f64, values: &mut [f64]) -> f64 {
    let rank = match Rank::of(q, values.len()) {
        Ok(rank) => rank,
        Err(quantile) => return quantile,
    };
    let (_, lower, above) = values.select_nth_unstable_by(rank.lower, f64::total_cmp);
    let lower = *lower;
    let upper = match rank.upper == rank.lower {
        true => lower,
        false => above.iter().copied().fold(f64::INFINITY, f64::min),
    };
    rank.between(lower, upper)
}

/// The position of a quantile among sorted values.
struct Rank {
    lower: usize,
    upper: usize,
    weight: f64,
}

impl Rank {
    /// The rank of the φ-quantile of `n` values, or the quantile itself if it does not depend on the values.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_interpolates() {
        assert_eq!(quantile(0.5, &mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(quantile(-1.0, &mut [1.0]), f64::NEG_INFINITY);
    }
}
