//! Whether a histogram from outside makes sense. Prometheus `Validate` of both kinds.

use super::schema::{CUSTOM_BUCKETS_SCHEMA, is_valid_schema};
use super::{FloatHistogram, Histogram, HistogramError, Span};

impl FloatHistogram {
    /// Checks schema, spans, bounds and that no count is negative.
    pub fn validate(&self) -> Result<(), HistogramError> {
        self.validate_shape()?;
        check_counts("negative", self.negative_buckets.iter().copied())?;
        if self.zero_count < 0.0 && self.schema != CUSTOM_BUCKETS_SCHEMA {
            return Err(HistogramError::NegativeZeroCount { count: self.zero_count });
        }
        if self.count < 0.0 {
            return Err(HistogramError::NegativeCount { count: self.count });
        }
        check_counts("positive", self.positive_buckets.iter().copied())
    }

    /// Checks schema, spans and bounds. Counts are not looked at: those of a difference may be negative.
    pub fn validate_shape(&self) -> Result<(), HistogramError> {
        let shape = Shape {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            has_zero_count: self.zero_count != 0.0,
            positive: (&self.positive_spans, self.positive_buckets.len()),
            negative: (&self.negative_spans, self.negative_buckets.len()),
            custom_values: &self.custom_values,
        };
        shape.check()
    }
}

impl Histogram {
    /// Checks schema, spans, bounds, that no bucket is negative, and that the buckets add up to the count (or to no
    /// more than it when the sum is NaN).
    pub fn validate(&self) -> Result<(), HistogramError> {
        let shape = Shape {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            has_zero_count: self.zero_count != 0,
            positive: (&self.positive_spans, self.positive_buckets.len()),
            negative: (&self.negative_spans, self.negative_buckets.len()),
            custom_values: &self.custom_values,
        };
        shape.check()?;
        let negative = check_deltas("negative", &self.negative_buckets)?;
        let positive = check_deltas("positive", &self.positive_buckets)?;
        let in_buckets = negative.wrapping_add(positive).wrapping_add(self.zero_count);
        let count = self.count;
        if self.sum.is_nan() {
            if in_buckets > count {
                return Err(HistogramError::CountNotBigEnough { in_buckets, count });
            }
        } else if in_buckets != count {
            return Err(HistogramError::CountMismatch { in_buckets, count });
        }
        Ok(())
    }
}

/// What both kinds have in common.
struct Shape<'a> {
    schema: i32,
    zero_threshold: f64,
    has_zero_count: bool,
    positive: (&'a [Span], usize),
    negative: (&'a [Span], usize),
    custom_values: &'a [f64],
}

impl Shape<'_> {
    fn check(&self) -> Result<(), HistogramError> {
        if !is_valid_schema(self.schema) {
            return Err(HistogramError::InvalidSchema { schema: self.schema });
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            return self.check_custom();
        }
        check_spans(self.positive.0, self.positive.1)?;
        check_spans(self.negative.0, self.negative.1)?;
        if !self.custom_values.is_empty() {
            return Err(HistogramError::ExponentialWithCustomBounds);
        }
        Ok(())
    }

    fn check_custom(&self) -> Result<(), HistogramError> {
        check_bounds(self.custom_values)?;
        if let Some(span) = self.positive.0.first().filter(|span| span.offset < 0) {
            return Err(HistogramError::SpanNegativeOffset { number: 1, offset: span.offset });
        }
        check_spans(self.positive.0, self.positive.1)?;
        let extent = |span: &Span| i64::from(span.offset) + i64::from(span.length);
        let needed: i64 = self.positive.0.iter().map(extent).sum();
        if (self.custom_values.len() as i64) + 1 < needed {
            return Err(HistogramError::TooFewBounds { bounds: self.custom_values.len(), needed });
        }
        if self.has_zero_count {
            return Err(HistogramError::CustomZeroCount);
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramError::CustomZeroThreshold);
        }
        if !self.negative.0.is_empty() || self.negative.1 > 0 {
            return Err(HistogramError::CustomNegativeBuckets);
        }
        Ok(())
    }
}

fn check_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    if bounds.iter().any(|bound| bound.is_nan()) {
        return Err(HistogramError::BoundNan);
    }
    if let Some(pair) = bounds.windows(2).find(|pair| pair[1] <= pair[0]) {
        return Err(HistogramError::BoundsNotAscending { previous: pair[0], current: pair[1] });
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err(HistogramError::BoundInfinite);
    }
    Ok(())
}

/// Checks that no span but the first has a negative offset and that the lengths add up to `have` buckets.
pub(crate) fn check_spans(spans: &[Span], have: usize) -> Result<(), HistogramError> {
    if let Some(at) = spans.iter().skip(1).position(|span| span.offset < 0) {
        return Err(HistogramError::SpanNegativeOffset { number: at + 2, offset: spans[at + 1].offset });
    }
    let needed = crate::histogram_chunk::count_buckets(spans);
    if needed != have as u64 {
        return Err(HistogramError::SpansBucketsMismatch { needed, have });
    }
    Ok(())
}

fn check_counts(side: &'static str, counts: impl Iterator<Item = f64>) -> Result<(), HistogramError> {
    match counts.enumerate().find(|(_, count)| *count < 0.0) {
        Some((at, count)) => Err(HistogramError::NegativeBucket { side, number: at + 1, count }),
        None => Ok(()),
    }
}

fn check_deltas(side: &'static str, deltas: &[i64]) -> Result<u64, HistogramError> {
    let mut count = 0i64;
    let mut total = 0u64;
    for (at, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        if count < 0 {
            return Err(HistogramError::NegativeBucket { side, number: at + 1, count: count as f64 });
        }
        total = total.wrapping_add(count as u64);
    }
    Ok(total)
}
