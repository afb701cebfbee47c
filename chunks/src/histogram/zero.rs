//! Zero buckets of different widths: the narrower one grows until both agree.

use super::FloatHistogram;
use super::compact::compact;
use super::kahan::{Compensated, kahan_add};

/// Brings the zero buckets of `this` and `other` to one width, changing `this` (and its compensation); gives the zero
/// count that `other` would have.
pub(crate) fn reconcile_zero_buckets(
    this: &mut FloatHistogram,
    other: &FloatHistogram,
    mut compensation: Option<&mut FloatHistogram>,
) -> (f64, f64) {
    let (mut count, mut lost, mut threshold) = (other.zero_count, 0.0, other.zero_threshold);
    loop {
        if this.zero_threshold > threshold {
            let widened = widen(other, this.zero_threshold, None);
            (count, threshold, lost) = (widened.count, widened.threshold, widened.lost);
        }
        if threshold > this.zero_threshold {
            let widened = widen(this, threshold, compensation.as_deref());
            (this.zero_count, this.zero_threshold) = (widened.count, widened.threshold);
            if let Some(compensation) = compensation.as_deref_mut() {
                compensation.zero_count = widened.lost;
            }
            empty_inside_zero_bucket(this, compensation.as_deref_mut());
            continue;
        }
        return (count, lost);
    }
}

/// A zero bucket after widening.
pub(crate) struct Widened {
    pub(crate) count: f64,
    pub(crate) lost: f64,
    pub(crate) threshold: f64,
}

/// The zero bucket of `histogram` with a threshold of at least `threshold`: further out when that lies inside a
/// populated bucket.
pub(crate) fn widen(
    histogram: &FloatHistogram,
    mut threshold: f64,
    compensation: Option<&FloatHistogram>,
) -> Widened {
    let mut lost = compensation.map_or(0.0, |c| c.zero_count);
    if threshold == histogram.zero_threshold {
        return Widened { count: histogram.zero_count, lost, threshold };
    }
    'outer: loop {
        let mut count = histogram.zero_count;
        let mut swallow = |bucket: f64, side: Option<&Vec<f64>>, at: usize| {
            (count, lost) = kahan_add(bucket, count, lost);
            if let Some(more) = side.and_then(|buckets| buckets.get(at)) {
                (count, lost) = kahan_add(*more, count, lost);
            }
        };
        for (at, bucket) in histogram.positive_side().enumerate() {
            if bucket.lower >= threshold {
                break;
            }
            swallow(bucket.count, compensation.map(|c| &c.positive_buckets), at);
            if bucket.upper > threshold {
                if bucket.count != 0.0 {
                    threshold = bucket.upper;
                }
                break;
            }
        }
        for (at, bucket) in histogram.negative_side().enumerate() {
            if bucket.upper <= -threshold {
                break;
            }
            swallow(bucket.count, compensation.map(|c| &c.negative_buckets), at);
            if bucket.lower < -threshold {
                if bucket.count != 0.0 {
                    threshold = -bucket.lower;
                    continue 'outer;
                }
                break;
            }
        }
        return Widened { count, lost, threshold };
    }
}

/// Removes the buckets that the zero bucket now covers.
fn empty_inside_zero_bucket(this: &mut FloatHistogram, compensation: Option<&mut FloatHistogram>) {
    let threshold = this.zero_threshold;
    let n_positive = this.positive_side().take_while(|bucket| bucket.lower < threshold).count();
    let n_negative = this.negative_side().take_while(|bucket| bucket.upper > -threshold).count();
    this.positive_buckets[..n_positive].fill(0.0);
    this.negative_buckets[..n_negative].fill(0.0);
    let Some(compensation) = compensation else { return this.compact(0) };
    compensation.positive_buckets[..n_positive].fill(0.0);
    compensation.negative_buckets[..n_negative].fill(0.0);
    compact_both(&mut this.positive_spans, &mut this.positive_buckets, &mut compensation.positive_buckets);
    compact_both(&mut this.negative_spans, &mut this.negative_buckets, &mut compensation.negative_buckets);
}

fn compact_both(spans: &mut Vec<super::Span>, sums: &mut Vec<f64>, lost: &mut Vec<f64>) {
    let mut pairs = pair(sums, lost);
    compact(spans, &mut pairs, 0, |pair| pair.sum == 0.0 && pair.lost == 0.0);
    (*sums, *lost) = unpair(&pairs);
}

/// Sums with what they lost, position by position.
pub(crate) fn pair(sums: &[f64], lost: &[f64]) -> Vec<Compensated> {
    sums.iter().zip(lost).map(|(sum, lost)| Compensated { sum: *sum, lost: *lost }).collect()
}

/// The two columns of [`pair`].
pub(crate) fn unpair(pairs: &[Compensated]) -> (Vec<f64>, Vec<f64>) {
    pairs.iter().map(|pair| (pair.sum, pair.lost)).unzip()
}
