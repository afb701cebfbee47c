//! Walking the buckets of a histogram: index, bounds, count. Prometheus `model/histogram/generic.go`.

use super::bounds::bound;
use super::reduce::target_index;
use super::schema::CUSTOM_BUCKETS_SCHEMA;
use super::{FloatHistogram, Span};

/// One bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound itself is inside.
    pub lower_inclusive: bool,
    /// Whether the upper bound itself is inside.
    pub upper_inclusive: bool,
    /// Observations.
    pub count: f64,
    /// Index in the schema; 0 for the zero bucket.
    pub index: i64,
}

impl Bucket {
    pub(super) fn new(index: i64, count: f64, schema: i32, positive: bool, custom_values: &[f64]) -> Bucket {
        let outer = bound(index, schema, custom_values);
        let inner = bound(index - 1, schema, custom_values);
        let (lower, upper) = if positive { (inner, outer) } else { (-outer, -inner) };
        let custom = schema == CUSTOM_BUCKETS_SCHEMA;
        Bucket {
            lower,
            upper,
            lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
            upper_inclusive: custom || upper > 0.0,
            count,
            index,
        }
    }
}

/// Index and count of each bucket, ascending by index; ends with the shorter of spans and buckets.
pub(crate) fn placed<'a, T: Copy>(
    spans: &'a [Span],
    buckets: &'a [T],
) -> impl Iterator<Item = (i64, T)> + 'a {
    let mut next = 0i64;
    let indexes = spans.iter().flat_map(move |span| {
        let start = next + i64::from(span.offset);
        next = start + i64::from(span.length);
        start..next
    });
    indexes.zip(buckets.iter().copied())
}

/// Like [`placed`], with the counts of schema `from` merged into the buckets of the coarser schema `to`.
pub(crate) fn placed_in_schema(spans: &[Span], buckets: &[f64], from: i32, to: i32) -> Vec<(i64, f64)> {
    let mut out: Vec<(i64, f64)> = Vec::with_capacity(buckets.len());
    for (index, count) in placed(spans, buckets) {
        let index = if from == to { index } else { i64::from(target_index(index as i32, from, to)) };
        match out.last_mut() {
            Some(last) if from != to && last.0 == index => last.1 += count,
            // A merged bucket starts from zero and adds, which turns a negative zero positive.
            _ => out.push((index, if from == to { count } else { 0.0 + count })),
        }
    }
    out
}

impl FloatHistogram {
    /// The buckets above zero (or the custom ones), ascending.
    pub fn positive_side(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let buckets: Vec<_> = placed(&self.positive_spans, &self.positive_buckets).collect();
        buckets.into_iter().map(|(i, count)| Bucket::new(i, count, self.schema, true, &self.custom_values))
    }

    /// The buckets below zero, from zero downwards.
    pub fn negative_side(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let buckets: Vec<_> = placed(&self.negative_spans, &self.negative_buckets).collect();
        buckets.into_iter().map(|(i, count)| Bucket::new(i, count, self.schema, false, &[]))
    }

    /// The bucket around zero; a histogram with custom buckets has an empty one of no width.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    /// All buckets from the lowest to the highest; reverse it for the other way.
    ///
    /// The zero bucket is there when it has observations; its neighbours are clipped to its edges.
    pub fn all_buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> + '_ {
        let zero = (self.zero_count > 0.0).then(|| self.zero_bucket());
        let below = self.negative_side().rev().map(|bucket| self.clip(bucket));
        let above = self.positive_side().map(|bucket| self.clip(bucket));
        below.chain(zero).chain(above)
    }

    fn clip(&self, mut bucket: Bucket) -> Bucket {
        let threshold = self.zero_threshold;
        if bucket.upper < 0.0 && bucket.upper > -threshold {
            bucket.upper = -threshold;
        } else if bucket.lower > 0.0 && bucket.lower < threshold {
            bucket.lower = threshold;
        }
        bucket
    }
}
