//! Why a rule gives nothing.

use crate::query::QueryError;

/// Why the evaluation of a rule failed.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// No querier answered.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// Two results of a recording rule have the same labels.
    #[error("vector contains metrics with the same labelset after applying rule labels")]
    SameSeries,
    /// Two alerts of a rule have the same labels.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    SameAlert,
    /// A recording rule makes more series than its group allows.
    #[error("exceeded limit of {limit} with {found} series")]
    SeriesLimit {
        /// The most.
        limit: u64,
        /// How many there are.
        found: usize,
    },
    /// An alerting rule has more alerts than its group allows.
    #[error("exceeded limit of {limit} with {found} alerts")]
    AlertLimit {
        /// The most.
        limit: u64,
        /// How many there are.
        found: usize,
    },
    /// The results cannot be stored.
    #[error("storing results: {0}")]
    Storage(String),
}
