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
