//! Native histograms: quantiles, fractions and variances. Upstream: `HistogramQuantile`, `HistogramFraction` in `promql/quantile.go`.

use tithon_chunks::{Bucket, FloatHistogram, kahan_add};

use crate::math::{exp2, log2};

/// How observations of NaN affect a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NanNote {
    /// They do not affect the result.
    None,
    /// The quantile lies among them, so the result is NaN.
    Result,
    /// The quantile is higher than without them.
    Skew,
    /// They are excluded from all fractions.
    Excluded,
}

/// The φ-quantile.
pub(super) fn quantile(q: f64, h: &FloatHistogram) -> (f64, NanNote) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, NanNote::None);
    }
    if q > 1.0 {
        return (f64::INFINITY, NanNote::None);
    }
    if h.count == 0.0 || q.is_nan() {
        return (f64::NAN, NanNote::None);
    }
    let upwards = h.sum.is_nan() || q < 0.5;
    let mut rank = if upwards { q * h.count } else { (1.0 - q) * h.count };
    let mut buckets = h.all_buckets();
    let mut next = || if upwards { buckets.next() } else { buckets.next_back() };
    let (mut bucket, mut count) = (EMPTY, 0.0);
    while let Some(b) = next() {
        bucket = b;
        if b.count == 0.0 {
            continue;
        }
        count += b.count;
        if count >= rank {
            break;
        }
    }
    if !h.uses_custom_buckets() && bucket.lower < 0.0 && bucket.upper > 0.0 {
        clip_zero_bucket(h, &mut bucket);
    } else if h.uses_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, NanNote::None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, NanNote::None);
        }
    }
    count = if count > h.count { h.count } else { count };
    if count < rank {
        return if h.sum.is_nan() { (f64::NAN, NanNote::Result) } else { (bucket.upper, NanNote::None) };
    }
    rank = if upwards { rank - (count - bucket.count) } else { count - rank };
    let mut note = NanNote::None;
    if h.sum.is_nan() {
        while let Some(b) = next() {
            bucket = b;
            count += b.count;
        }
        if count < h.count {
            note = NanNote::Skew;
        }
    }
    let fraction = rank / bucket.count;
    if h.uses_custom_buckets() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * fraction, note);
    }
    let (lower, upper) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
    let value = if bucket.lower > 0.0 {
        exp2(lower + (upper - lower) * fraction)
    } else {
        -exp2(upper + (lower - upper) * (1.0 - fraction))
    };
    (value, note)
}

/// The bucket before the first one is read.
const EMPTY: Bucket =
    Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0, index: 0 };

/// Limits the zero bucket to the side of the other buckets if those are all on one side.
fn clip_zero_bucket(h: &FloatHistogram, bucket: &mut Bucket) {
    match (h.negative_buckets.is_empty(), h.positive_buckets.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The share of observations between `lower` and `upper`.
pub(super) fn fraction(lower: f64, upper: f64, h: &FloatHistogram) -> (f64, NanNote) {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, NanNote::None);
    }
    if lower >= upper {
        return (0.0, NanNote::None);
    }
    let (mut count, mut rank) = (0.0, 0.0);
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut buckets = h.all_buckets();
    for mut b in buckets.by_ref() {
        count += b.count;
        let is_zero = b.lower <= 0.0 && b.upper >= 0.0;
        if is_zero {
            clip_zero_bucket(h, &mut b);
        }
        let linear = h.uses_custom_buckets() || is_zero;
        for (bound, found) in [(lower, &mut lower_rank), (upper, &mut upper_rank)] {
            if found.is_some() {
                continue;
            }
            if b.lower >= bound {
                *found = Some(rank);
            } else if b.upper > bound {
                *found = Some(rank_inside(&b, bound, rank, linear));
            }
        }
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        rank += b.count;
    }
    let mut note = NanNote::None;
    if h.sum.is_nan() {
        count = buckets.fold(count, |count, b| count + b.count);
        if count < h.count {
            note = NanNote::Excluded;
        }
    } else {
        count = h.count;
    }
    let capped = |rank: Option<f64>| rank.map_or(count, |rank| if rank > count { count } else { rank });
    ((capped(upper_rank) - capped(lower_rank)) / h.count, note)
}

/// The number of observations below a value inside a bucket.
fn rank_inside(b: &Bucket, v: f64, rank: f64, linear: bool) -> f64 {
    if linear {
        if b.lower == f64::NEG_INFINITY {
            return b.count;
        }
        return rank + b.count * ((v - b.lower) / (b.upper - b.lower));
    }
    let (lower, upper, at) = (log2(b.lower.abs()), log2(b.upper.abs()), log2(v.abs()));
    let share = if v > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - ((at - upper) / (lower - upper)) };
    rank + b.count * share
}

/// The variance of the observations, each taken to lie in the middle of its bucket.
pub(crate) fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut c) = (0.0, 0.0);
    for bucket in h.all_buckets().filter(|bucket| bucket.count != 0.0) {
        let middle = if h.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        (sum, c) = kahan_add(bucket.count * delta * delta, sum, c);
    }
    (sum + c) / h.count
}
