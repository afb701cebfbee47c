//! Errors of requests and of syncs with the bucket.

use std::time::Duration;

use tithon_bucket::BucketError;
use tithon_chunks::ErrorKind;
use tithon_engine::{BlockError, BlockId};
use tithon_index::{Labels, MatcherError};
use tithon_proto::ConvertError;
use tithon_runtime::RuntimeError;

/// Why a request or a sync with the bucket failed. Where Thanos has the same error, the text is Thanos's.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A block is damaged.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A block is not served because it was found damaged when it was opened.
    #[error("block {block} is not served: {reason}")]
    NotServed {
        /// The block.
        block: BlockId,
        /// The error in the request.
        reason: String,
    },
    /// A downsampled chunk lacks a requested aggregate, or its encoding cannot be sent.
    #[error(
        "receive series from {block}: load chunks: populate chunk: {source}{}",
        in_series(source, labels)
    )]
    Chunk {
        /// The block.
        block: BlockId,
        /// The labels that the series is sent with.
        labels: Labels,
        /// What is wrong with the chunk.
        source: ConvertError,
    },
    /// A request exceeded a limit of the operator.
    #[error("exceeded {what} limit{}: limit {limit} violated (got {got})", where_counted(what))]
    Limit {
        /// `series`, `chunks`, `bytes` or `memory`.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// The number reached, at least.
        got: u64,
    },
    /// The task that reads a block failed, for example by a panic.
    #[error("block {block}: its reader failed: {source}")]
    Reader {
        /// The block.
        block: BlockId,
        /// The error of the task.
        source: Box<RuntimeError>,
    },
    /// The task that reads a block ended before all its series were sent, for example by a panic.
    #[error("block {block}: its reader ended before the block did")]
    ReaderLost {
        /// The block.
        block: BlockId,
    },
    /// The task that makes an answer ended before the answer was complete, for example by a panic.
    #[error("the answer ended before its last part")]
    BrokenOff,
    /// The client read nothing for so long that the answer was given up.
    #[error("the answer was given up: its reader took nothing for {:.1} s", after.as_secs_f64())]
    Stalled {
        /// How long the store waited for the client.
        after: Duration,
    },
    /// The regular expressions of a request exceed their budget.
    #[error(transparent)]
    Patterns(#[from] MatcherError),
    /// Work on the CPU pool failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Names the series of a damaged chunk; the text of a missing aggregate stays Thanos's.
fn in_series(source: &ConvertError, labels: &Labels) -> String {
    match source {
        ConvertError::NoAggregate(_) => String::new(),
        _ => format!(", in series {labels}"),
    }
}

/// Thanos's text says where the limit on bytes is counted.
fn where_counted(what: &str) -> &'static str {
    if what == "bytes" { " while reading index and chunks" } else { "" }
}

impl StoreError {
    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StoreError::Bucket(error) => error.kind(),
            StoreError::Block(error) => error.kind(),
            StoreError::NotServed { .. } => ErrorKind::Corrupt,
            StoreError::Chunk { source, .. } => source.kind(),
            StoreError::Limit { .. } | StoreError::Stalled { .. } => ErrorKind::LimitExceeded,
            StoreError::Patterns(error) => error.kind(),
            StoreError::ReaderLost { .. } | StoreError::BrokenOff => ErrorKind::Internal,
            StoreError::Runtime(error) => error.kind(),
            StoreError::Reader { source, .. } => source.kind(),
        }
    }

    /// Whether the fault lies in one block, so that the answer from the other blocks is still useful.
    pub(crate) fn spares_other_blocks(&self) -> bool {
        match self {
            StoreError::Bucket(_)
            | StoreError::Block(_)
            | StoreError::NotServed { .. }
            | StoreError::Reader { .. }
            | StoreError::ReaderLost { .. } => true,
            StoreError::Chunk { source, .. } => !matches!(source, ConvertError::NoAggregate(_)),
            _ => false,
        }
    }

    /// The labels that the series at fault is sent with, if there is one.
    pub(crate) fn series(&self) -> Option<&Labels> {
        match self {
            StoreError::Block(error) => error.series(),
            StoreError::Bucket(error) => error.series(),
            _ => None,
        }
    }
}
