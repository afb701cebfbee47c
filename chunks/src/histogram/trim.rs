//! Trimming a histogram to the observations below or above a value: PromQL's `</` and `>/`.

use super::{Bucket, FloatHistogram};

/// Which side of the threshold [`FloatHistogram::trim`] keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Observations below it (`</`).
    Below,
    /// Observations above it (`>/`).
    Above,
}

/// What is left of a histogram, summed up.
#[derive(Default)]
struct Kept {
    count: f64,
    sum: f64,
    changed: bool,
}

impl FloatHistogram {
    /// Keeps the observations on one side of `threshold`, interpolating inside the bucket that holds it. When anything
    /// changes, count and sum are estimated anew from what is left and the histogram is compacted.
    ///
    /// `log2` is the caller's logarithm, as its last bit shows in the interpolation of exponential buckets.
    pub fn trim(&mut self, threshold: f64, keep: Keep, log2: impl Fn(f64) -> f64) {
        let cut = Cut { threshold, keep, linear: self.uses_custom_buckets(), log2 };
        let mut kept = Kept::default();
        let positive: Vec<Bucket> = self.positive_side().collect();
        let negative: Vec<Bucket> = self.negative_side().collect();
        for (count, bucket) in self.positive_buckets.iter_mut().zip(&positive) {
            cut.bucket(count, bucket, true, &mut kept);
        }
        for (count, bucket) in self.negative_buckets.iter_mut().zip(&negative) {
            cut.bucket(count, bucket, false, &mut kept);
        }
        if self.zero_count > 0.0 {
            let populated = |side: &[Bucket]| side.iter().any(|bucket| bucket.count != 0.0);
            let (count, midpoint) = cut.zero(&self.zero_bucket(), populated(&negative), populated(&positive));
            if self.zero_count != count {
                self.zero_count = count;
                kept.changed = true;
            }
            kept.sum += midpoint * count;
            kept.count += count;
        }
        if kept.changed {
            self.count = kept.count;
            self.sum = kept.sum;
            self.compact(0);
        }
    }
}

struct Cut<L> {
    threshold: f64,
    keep: Keep,
    linear: bool,
    log2: L,
}

impl<L: Fn(f64) -> f64> Cut<L> {
    fn bucket(&self, count: &mut f64, bucket: &Bucket, positive: bool, kept: &mut Kept) {
        if bucket.count == 0.0 {
            return;
        }
        let (whole, part) = match self.keep {
            Keep::Below => (bucket.upper <= self.threshold, bucket.lower < self.threshold),
            Keep::Above => (bucket.lower >= self.threshold, bucket.upper > self.threshold),
        };
        if whole {
            kept.count += bucket.count;
            kept.sum += midpoint(bucket.lower, bucket.upper, positive, self.linear) * bucket.count;
        } else if part {
            let (left, middle) = self.split(bucket, positive);
            kept.count += left;
            kept.sum += middle * left;
            if *count != left {
                *count = left;
                kept.changed = true;
            }
        } else {
            *count = 0.0;
            kept.changed = true;
        }
    }

    /// What is left of a bucket that holds the threshold, and the middle of that part.
    fn split(&self, bucket: &Bucket, positive: bool) -> (f64, f64) {
        if bucket.lower == f64::NEG_INFINITY {
            return self.split_lowest(bucket);
        }
        if bucket.upper == f64::INFINITY {
            return self.split_highest(bucket);
        }
        let at = self.threshold;
        let below = if at <= bucket.lower {
            0.0
        } else if at >= bucket.upper {
            bucket.count
        } else {
            bucket.count * self.fraction_below(bucket)
        };
        match self.keep {
            Keep::Below => (below, midpoint(bucket.lower, at, positive, self.linear)),
            Keep::Above => (bucket.count - below, midpoint(at, bucket.upper, positive, self.linear)),
        }
    }

    fn fraction_below(&self, bucket: &Bucket) -> f64 {
        let at = self.threshold;
        if self.linear {
            return (at - bucket.lower) / (bucket.upper - bucket.lower);
        }
        let log = |value: f64| (self.log2)(value.abs());
        let (lower, upper, at_log) = (log(bucket.lower), log(bucket.upper), log(at));
        if at > 0.0 { (at_log - lower) / (upper - lower) } else { 1.0 - ((at_log - upper) / (lower - upper)) }
    }

    /// The bucket from -Inf: with a positive finite upper bound it counts from zero.
    fn split_lowest(&self, bucket: &Bucket) -> (f64, f64) {
        let (at, upper, count) = (self.threshold, bucket.upper, bucket.count);
        let finite = upper != f64::INFINITY;
        match self.keep {
            Keep::Below if at >= upper => (count, 0.0),
            Keep::Below if at > 0.0 && upper > 0.0 && finite => (count * at / upper, at / 2.0),
            Keep::Below if upper <= 0.0 => (count, at),
            Keep::Above if at <= bucket.lower => (count, 0.0),
            Keep::Above if at >= 0.0 && upper > at && finite => {
                (count * (1.0 - at / upper), (at + upper) / 2.0)
            }
            _ => (0.0, zero_if_infinite(upper)),
        }
    }

    /// The bucket up to +Inf.
    fn split_highest(&self, bucket: &Bucket) -> (f64, f64) {
        if self.keep == Keep::Above && self.threshold >= bucket.lower {
            return (bucket.count, self.threshold);
        }
        (0.0, zero_if_infinite(bucket.lower))
    }

    /// The zero bucket, taken for the half where the histogram has buckets when it has them on one side only.
    fn zero(&self, bucket: &Bucket, has_negative: bool, has_positive: bool) -> (f64, f64) {
        let lower = if has_positive && !has_negative { 0.0 } else { bucket.lower };
        let upper = if has_negative && !has_positive { 0.0 } else { bucket.upper };
        let at = self.threshold;
        let all = (bucket.count, (lower + upper) / 2.0);
        match self.keep {
            Keep::Below if at <= lower => (0.0, 0.0),
            Keep::Below if at >= upper => all,
            Keep::Below => (bucket.count * ((at - lower) / (upper - lower)), (lower + at) / 2.0),
            Keep::Above if at <= lower => all,
            Keep::Above if at >= upper => (0.0, 0.0),
            Keep::Above => (bucket.count * ((upper - at) / (upper - lower)), (at + upper) / 2.0),
        }
    }
}

/// The value that stands for all observations between two bounds.
fn midpoint(lower: f64, upper: f64, positive: bool, linear: bool) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if linear => (lower + upper) / 2.0,
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if positive { mean } else { -mean }
        }
    }
}

fn zero_if_infinite(value: f64) -> f64 {
    if value.is_infinite() { 0.0 } else { value }
}
