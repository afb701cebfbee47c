//! What can be wrong with a histogram, or with an operation on two of them.

use crate::ErrorKind;

/// Why a histogram is not valid or cannot take part in an operation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HistogramError {
    /// A span after the first has a negative offset.
    #[error("span number {number} with offset {offset}: histogram has a span whose offset is negative")]
    SpanNegativeOffset {
        /// Number of the span, from 1.
        number: usize,
        /// Its offset.
        offset: i32,
    },
    /// The lengths of the spans do not add up to the number of buckets.
    #[error(
        "spans need {needed} buckets, have {have} buckets: histogram spans specify different number of buckets than provided"
    )]
    SpansBucketsMismatch {
        /// Sum of the span lengths.
        needed: u64,
        /// Buckets given.
        have: usize,
    },
    /// A bucket index does not fit 32 bits.
    #[error("bucket index beyond 32 bits")]
    IndexOverflow,
    /// One histogram has custom buckets, the other has not.
    #[error("cannot apply this operation on histograms with a mix of exponential and custom bucket schemas")]
    IncompatibleSchema,
    /// A schema that may not be stored.
    #[error(
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema {schema}"
    )]
    InvalidSchema {
        /// The schema.
        schema: i32,
    },
    /// A bucket with fewer than no observations.
    #[error(
        "{side} side: bucket number {number} has observation count of {count}: histogram has a bucket whose observation count is negative"
    )]
    NegativeBucket {
        /// `positive` or `negative`.
        side: &'static str,
        /// Number of the bucket, from 1.
        number: usize,
        /// Its count.
        count: f64,
    },
    /// A zero bucket with fewer than no observations.
    #[error(
        "zero bucket has observation count of {count}: histogram has a bucket whose observation count is negative"
    )]
    NegativeZeroCount {
        /// Its count.
        count: f64,
    },
    /// Fewer than no observations.
    #[error("observation count is {count}: histogram's observation count is negative")]
    NegativeCount {
        /// The count.
        count: f64,
    },
    /// The buckets do not add up to the count.
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
    )]
    CountMismatch {
        /// Sum over all buckets.
        in_buckets: u64,
        /// The count.
        count: u64,
    },
    /// The buckets add up to more than the count.
    #[error(
        "{in_buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should be at least the number of observations found in the buckets"
    )]
    CountNotBigEnough {
        /// Sum over all buckets.
        in_buckets: u64,
        /// The count.
        count: u64,
    },
    /// More custom buckets than bounds allow.
    #[error(
        "custom buckets: only {bounds} custom bounds defined which is insufficient to cover total span length of {needed}: histogram custom bounds are too few"
    )]
    TooFewBounds {
        /// Bounds given.
        bounds: usize,
        /// Buckets from index 0 to the last one.
        needed: i64,
    },
    /// Custom bounds out of order.
    #[error(
        "custom buckets: previous bound is {previous} and current is {current}: histogram custom bounds must be in strictly increasing order"
    )]
    BoundsNotAscending {
        /// A bound.
        previous: f64,
        /// The one after it.
        current: f64,
    },
    /// The last custom bound is +Inf.
    #[error(
        "custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
    )]
    BoundInfinite,
    /// A custom bound is NaN.
    #[error("custom buckets: histogram custom bounds must not be NaN")]
    BoundNan,
    /// Custom buckets with a zero count.
    #[error("custom buckets: must have zero count of 0")]
    CustomZeroCount,
    /// Custom buckets with a zero threshold.
    #[error("custom buckets: must have zero threshold of 0")]
    CustomZeroThreshold,
    /// Custom buckets with a negative side.
    #[error("custom buckets: must not have negative buckets")]
    CustomNegativeBuckets,
    /// Custom bounds beside an exponential schema.
    #[error("histogram with exponential schema must not have custom bounds")]
    ExponentialWithCustomBounds,
    /// A schema that cannot be reduced to the one asked for.
    #[error("cannot reduce resolution from schema {from} to {to}")]
    Resolution {
        /// The histogram's schema.
        from: i32,
        /// The schema asked for.
        to: i32,
    },
}

impl HistogramError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
