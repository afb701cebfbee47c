//! Reducing the resolution: buckets of a finer schema merged into those of a coarser one.

use std::ops::AddAssign;

use super::schema::{CUSTOM_BUCKETS_SCHEMA, SCHEMA_MAX, SCHEMA_MAX_RESERVED};
use super::{FloatHistogram, Histogram, HistogramError, Span};

/// Index of the bucket that holds bucket `index` of schema `from` after reducing to the coarser schema `to`.
pub(crate) const fn target_index(index: i32, from: i32, to: i32) -> i32 {
    let shift = from - to;
    let shifted = if shift > 31 { 31 } else { shift };
    (index.wrapping_sub(1) >> shifted).wrapping_add(1)
}

/// Merges absolute bucket counts of schema `from` into those of the coarser schema `to`.
pub(crate) fn reduce<T: Copy + AddAssign>(
    spans: &[Span],
    buckets: &[T],
    from: i32,
    to: i32,
) -> Result<(Vec<Span>, Vec<T>), HistogramError> {
    let needed = crate::histogram_chunk::count_buckets(spans);
    if needed != buckets.len() as u64 {
        return Err(HistogramError::SpansBucketsMismatch { needed, have: buckets.len() });
    }
    let mut out_spans: Vec<Span> = Vec::new();
    let mut out: Vec<T> = Vec::with_capacity(buckets.len());
    let mut rest = buckets.iter();
    let mut index = 0i32;
    let mut last = 0i32;
    for (n, span) in spans.iter().enumerate() {
        if n > 0 && span.offset < 0 {
            return Err(HistogramError::SpanNegativeOffset { number: n + 1, offset: span.offset });
        }
        index = index.checked_add(span.offset).ok_or(HistogramError::IndexOverflow)?;
        for count in rest.by_ref().take(span.length as usize) {
            let target = target_index(index, from, to);
            match (out.last_mut(), out_spans.last_mut()) {
                (Some(bucket), Some(_)) if target == last => *bucket += *count,
                (Some(_), Some(span)) if target == last + 1 => {
                    span.length += 1;
                    out.push(*count);
                }
                (Some(_), Some(_)) => {
                    out_spans.push(Span { offset: target - last - 1, length: 1 });
                    out.push(*count);
                }
                _ => {
                    out_spans.push(Span { offset: target, length: 1 });
                    out.push(*count);
                }
            }
            last = target;
            index = index.checked_add(1).ok_or(HistogramError::IndexOverflow)?;
        }
    }
    Ok((out_spans, out))
}

impl FloatHistogram {
    /// Merges buckets until the schema is `to`, which must be coarser; not for custom buckets.
    pub fn reduce_resolution(&mut self, to: i32) -> Result<(), HistogramError> {
        check_reducible(self.schema, to)?;
        let positive = reduce(&self.positive_spans, &self.positive_buckets, self.schema, to)?;
        let negative = reduce(&self.negative_spans, &self.negative_buckets, self.schema, to)?;
        (self.positive_spans, self.positive_buckets) = positive;
        (self.negative_spans, self.negative_buckets) = negative;
        self.schema = to;
        Ok(())
    }

    /// Reduces a schema that is known but finer than those in use, as readers do.
    pub(crate) fn limit_schema(&mut self) -> Result<(), HistogramError> {
        if self.schema > SCHEMA_MAX && self.schema <= SCHEMA_MAX_RESERVED {
            return self.reduce_resolution(SCHEMA_MAX);
        }
        Ok(())
    }
}

impl Histogram {
    /// Merges buckets until the schema is `to`, which must be coarser; not for custom buckets.
    pub fn reduce_resolution(&mut self, to: i32) -> Result<(), HistogramError> {
        check_reducible(self.schema, to)?;
        let reduce_side = |spans: &[Span], deltas: &[i64]| {
            let counts = absolute(deltas);
            let (spans, counts) = reduce(spans, &counts, self.schema, to)?;
            Ok::<_, HistogramError>((spans, deltas_of(counts.iter().map(|count| count.0))))
        };
        let positive = reduce_side(&self.positive_spans, &self.positive_buckets)?;
        let negative = reduce_side(&self.negative_spans, &self.negative_buckets)?;
        (self.positive_spans, self.positive_buckets) = positive;
        (self.negative_spans, self.negative_buckets) = negative;
        self.schema = to;
        Ok(())
    }

    /// Reduces a schema that is known but finer than those in use, as readers do.
    pub(crate) fn limit_schema(&mut self) -> Result<(), HistogramError> {
        if self.schema > SCHEMA_MAX && self.schema <= SCHEMA_MAX_RESERVED {
            return self.reduce_resolution(SCHEMA_MAX);
        }
        Ok(())
    }
}

fn check_reducible(from: i32, to: i32) -> Result<(), HistogramError> {
    if from == CUSTOM_BUCKETS_SCHEMA || to == CUSTOM_BUCKETS_SCHEMA || to >= from {
        return Err(HistogramError::Resolution { from, to });
    }
    Ok(())
}

type Wrapping = std::num::Wrapping<i64>;

fn absolute(deltas: &[i64]) -> Vec<Wrapping> {
    let mut count = std::num::Wrapping(0i64);
    deltas
        .iter()
        .map(|delta| {
            count += *delta;
            count
        })
        .collect()
}

/// Counts as differences to the bucket before.
pub(crate) fn deltas_of(counts: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut last = 0i64;
    counts
        .map(|count| {
            let delta = count.wrapping_sub(last);
            last = count;
            delta
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_buckets_become_one() {
        let mut histogram = Histogram {
            schema: 9,
            positive_spans: vec![Span { offset: 0, length: 4 }, Span { offset: 4, length: 1 }],
            positive_buckets: vec![1, 1, -1, 4, 0],
            ..Histogram::default()
        };
        histogram.limit_schema().unwrap();
        // Indexes 0 1 2 3 8 hold 1 2 1 5 5; halved, rounding up: 0 1 1 2 4.
        assert_eq!(histogram.schema, 8);
        assert_eq!(histogram.positive_spans, [Span { offset: 0, length: 3 }, Span { offset: 1, length: 1 }]);
        assert_eq!(histogram.positive_buckets, [1, 2, 2, 0]);
    }

    #[test]
    fn what_cannot_be_reduced_is_an_error() {
        let spans = vec![Span { offset: 0, length: 1 }, Span { offset: -1, length: 1 }];
        let base = FloatHistogram { schema: 3, positive_spans: spans, ..FloatHistogram::default() };
        let mut few = base.clone();
        assert!(matches!(few.reduce_resolution(2), Err(HistogramError::SpansBucketsMismatch { .. })));
        let mut negative = FloatHistogram { positive_buckets: vec![1.0, 2.0], ..base.clone() };
        assert!(matches!(negative.reduce_resolution(2), Err(HistogramError::SpanNegativeOffset { .. })));
        assert!(negative.reduce_resolution(3).is_err());
        assert!(negative.reduce_resolution(CUSTOM_BUCKETS_SCHEMA).is_err());
    }
}
