//! Classic histograms: quantiles and fractions over cumulative buckets. Upstream: `promql/quantile.go`.

use crate::go_sort;

/// A bucket: its upper bound and the number of observations at or below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    /// Upper bound, inclusive.
    pub(crate) upper: f64,
    /// Cumulative count.
    pub(crate) count: f64,
}

/// How far counts had to be raised to be monotonic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Forced {
    /// The lowest bound whose count was raised.
    pub(crate) min_bound: f64,
    /// The highest bound whose count was raised.
    pub(crate) max_bound: f64,
    /// The largest difference.
    pub(crate) max_diff: f64,
}

/// Relative differences below this are considered rounding errors.
const SMALL_DELTA: f64 = 1e-12;

/// The φ-quantile, and how far counts had to be raised to be monotonic.
///
/// Sorts, joins and corrects the buckets in place, as upstream does: a second quantile of the same buckets starts from
/// the corrected ones, which makes a difference when bounds are equal.
pub(super) fn quantile(q: f64, buckets: &mut [Bucket]) -> (f64, Option<Forced>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    let Some(buckets) = sort_and_join(buckets) else { return (f64::NAN, None) };
    let forced = make_monotonic(buckets);
    let last = buckets.len() - 1;
    if buckets.len() < 2 || buckets[last].count == 0.0 {
        return (f64::NAN, forced);
    }
    let mut rank = q * buckets[last].count;
    // Upstream uses a binary search, which differs from a scan when counts are NaN.
    let at = buckets[..last].partition_point(|b| b.count < rank || b.count.is_nan() || rank.is_nan());
    if at == last {
        return (buckets[last - 1].upper, forced);
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, forced);
    }
    let (mut start, mut count) = (0.0, buckets[at].count);
    if at > 0 {
        start = buckets[at - 1].upper;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (start + (buckets[at].upper - start) * (rank / count), forced)
}

/// The share of observations between `lower` and `upper`.
pub(super) fn fraction(lower: f64, upper: f64, buckets: &mut [Bucket]) -> f64 {
    let Some(buckets) = sort_and_join(buckets) else { return f64::NAN };
    let buckets = &*buckets;
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_of = |bound: f64| rank_below(bound, buckets).filter(|rank| *rank <= count).unwrap_or(count);
    (rank_of(upper) - rank_of(lower)) / count
}

/// The number of observations below a bound, interpolated; `None` beyond the last bucket.
fn rank_below(bound: f64, buckets: &[Bucket]) -> Option<f64> {
    let mut rank = 0.0;
    let mut low = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for (i, b) in buckets.iter().enumerate() {
        if i > 0 {
            low = buckets[i - 1].upper;
        }
        if low >= bound {
            return Some(rank);
        }
        if b.upper > bound {
            if low == f64::NEG_INFINITY {
                return Some(b.count);
            }
            return Some(rank + (b.count - rank) * (bound - low) / (b.upper - low));
        }
        rank = b.count;
    }
    None
}

/// Sorts by bound and adds up equal bounds; `None` when the last bound is not +Inf.
fn sort_and_join(buckets: &mut [Bucket]) -> Option<&mut [Bucket]> {
    go_sort::sort(buckets, |a, b| a.upper < b.upper);
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return None;
    }
    let mut last = 0;
    for i in 1..buckets.len() {
        if buckets[i].upper == buckets[last].upper {
            buckets[last].count += buckets[i].count;
        } else {
            last += 1;
            buckets[last] = buckets[i];
        }
    }
    Some(&mut buckets[..=last])
}

fn make_monotonic(buckets: &mut [Bucket]) -> Option<Forced> {
    let mut forced: Option<Forced> = None;
    let mut previous = buckets[0].count;
    for b in &mut buckets[1..] {
        let current = b.count;
        if current == previous {
            continue;
        }
        if almost_equal(previous, current) {
            b.count = previous;
        } else if current < previous {
            b.count = previous;
            let f = forced.get_or_insert(Forced {
                min_bound: f64::INFINITY,
                max_bound: f64::NEG_INFINITY,
                max_diff: 0.0,
            });
            f.min_bound = f.min_bound.min(b.upper);
            f.max_bound = f.max_bound.max(b.upper);
            f.max_diff = f.max_diff.max(previous - current);
        } else {
            previous = current;
        }
    }
    forced
}

/// Upstream: `util/almost`.
fn almost_equal(a: f64, b: f64) -> bool {
    let is_stale = |v: f64| v.to_bits() == tithon_chunks::STALE_NAN_BITS;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, diff) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < SMALL_DELTA
}
