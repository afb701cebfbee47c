//! Why a data directory gives no answer.

use tithon_chunks::{ChunkError, ErrorKind};
use tithon_engine::BlockError;
use tithon_head::HeadError;
use tithon_index::MatcherError;
use tithon_runtime::RuntimeError;
use tithon_storeapi::StoreApiError;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TsdbError {
    /// The head or the directory cannot be used.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A block cannot be read.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A chunk cannot be read.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// Work on the CPU pool failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The patterns of a call take too much memory.
    #[error(transparent)]
    Matcher(#[from] MatcherError),
    /// All matchers are on external labels.
    #[error("no matchers specified (excluding external labels)")]
    NoMatchers,
    /// The values of no label are asked for.
    #[error("label name parameter cannot be empty")]
    NoLabel,
    /// A reader took nothing for too long.
    #[error("the reader took nothing for more than a minute")]
    Stalled,
    /// A call selects more than is allowed.
    #[error("failed to send {what}: limit {limit} violated (got {got})")]
    Limit {
        /// `series` or `samples`.
        what: &'static str,
        /// The most.
        limit: u64,
        /// What was selected so far.
        got: u64,
    },
}

impl TsdbError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TsdbError::Head(error) => error.kind(),
            TsdbError::Block(error) => error.kind(),
            TsdbError::Chunk(error) => error.kind(),
            TsdbError::Runtime(error) => error.kind(),
            TsdbError::NoMatchers | TsdbError::NoLabel => ErrorKind::Invalid,
            TsdbError::Stalled => ErrorKind::TimedOut,
            TsdbError::Matcher(_) | TsdbError::Limit { .. } => ErrorKind::LimitExceeded,
        }
    }
}

impl From<TsdbError> for StoreApiError {
    fn from(error: TsdbError) -> StoreApiError {
        StoreApiError::new(error.kind(), error)
    }
}
