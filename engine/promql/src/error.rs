//! Why a query fails. The texts are those of Prometheus: clients match on them.

use tithon_chunks::{ChunkError, ErrorKind};

use crate::budget::OverBudget;
use crate::parse_error::ParseErrors;

/// An error of the source of series.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Why a query failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is not a query.
    #[error("{0}")]
    Parse(ParseErrors),
    /// The query has no meaning at these times, or nests too deep.
    #[error("{0}")]
    BadData(String),
    /// Evaluation met values for which the query has no result.
    #[error("{0}")]
    Execution(String),
    /// More samples than [`crate::Options::max_samples`] would be held.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples {
        /// The limit.
        limit: u64,
    },
    /// More bytes would be held than the budget of the query, or of the process, allows.
    #[error(transparent)]
    TooManyBytes(#[from] OverBudget),
    /// The caller no longer waits for the answer.
    #[error("query was canceled in expression evaluation")]
    Cancelled,
    /// The source of a selection failed.
    #[error("expanding series: {0}")]
    Storage(SourceError),
    /// A chunk could not be decoded.
    #[error("expanding series: {0}")]
    Chunk(#[from] ChunkError),
}

impl QueryError {
    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            QueryError::Parse(_) | QueryError::BadData(_) | QueryError::Execution(_) => ErrorKind::Invalid,
            QueryError::TooManySamples { .. } | QueryError::TooManyBytes(_) => ErrorKind::LimitExceeded,
            QueryError::Cancelled => ErrorKind::Cancelled,
            QueryError::Storage(_) => ErrorKind::Unavailable,
            QueryError::Chunk(e) => e.kind(),
        }
    }

    /// Turns the error of a source into the error of the query. A source may exceed the budget, too.
    pub(crate) fn of_source(error: SourceError) -> QueryError {
        match error.downcast::<OverBudget>() {
            Ok(over) => QueryError::TooManyBytes(*over),
            Err(error) => QueryError::Storage(error),
        }
    }

    /// The error that two elements of one step have equal labels.
    pub(crate) fn same_labelset() -> QueryError {
        QueryError::Execution("vector cannot contain metrics with the same labelset".to_owned())
    }
}
