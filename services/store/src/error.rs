//! Why a request cannot be answered.

use std::time::Duration;

use tithon_bucket::BucketError;
use tithon_chunks::ErrorKind;
use tithon_engine::{BlockError, BlockId};
use tithon_index::{Labels, MatcherError};
use tithon_proto::ConvertError;
use tithon_runtime::RuntimeError;

/// An error of a request or of a sync with the bucket. The texts are Thanos's where Thanos has the case.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A block is damaged.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A block was found damaged when it was opened.
    #[error("block {block} is not served: {reason}")]
    NotServed {
        /// The block.
        block: BlockId,
        /// What was wrong with it.
        reason: String,
    },
    /// A downsampled chunk lacks an aggregate that was asked for, or has an encoding that cannot be sent.
    #[error(
        "receive series from {block}: load chunks: populate chunk: {source}{}",
        in_series(source, labels)
    )]
    Chunk {
        /// The block.
        block: BlockId,
        /// The series, with the labels it is sent with.
        labels: Labels,
        /// What is wrong.
        source: ConvertError,
    },
    /// More than the operator allows.
    #[error("exceeded {what} limit{}: limit {limit} violated (got {got})", where_counted(what))]
    Limit {
        /// `series`, `chunks`, `bytes` or `memory`.
        what: &'static str,
        /// The most there may be.
        limit: u64,
        /// How many there are at least.
        got: u64,
    },
    /// The task that reads a block failed, for example by a panic.
    #[error("block {block}: its reader failed: {source}")]
    Reader {
        /// The block.
        block: BlockId,
        /// What happened.
        source: Box<RuntimeError>,
    },
    /// The task that reads a block ended before the block did, for example by a panic.
    #[error("block {block}: its reader ended before the block did")]
    ReaderLost {
        /// The block.
        block: BlockId,
    },
    /// The task that makes an answer ended before the answer did, for example by a panic.
    #[error("the answer was broken off before its end")]
    BrokenOff,
    /// The reader of an answer took nothing for so long that the answer was given up.
    #[error("the answer was given up: its reader took nothing for {:.1} s", after.as_secs_f64())]
    Stalled {
        /// The time that it was waited for.
        after: Duration,
    },
    /// The regular expressions of a request are too large.
    #[error(transparent)]
    Patterns(#[from] MatcherError),
    /// The CPU pool failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// Names the series of a damaged chunk; the text about a missing aggregate stays as in Thanos.
fn in_series(source: &ConvertError, labels: &Labels) -> String {
    match source {
        ConvertError::NoAggregate(_) => String::new(),
        _ => format!(", in series {labels}"),
    }
}

/// Thanos says of bytes where the limit was met.
fn where_counted(what: &str) -> &'static str {
    if what == "bytes" { " while reading index and chunks" } else { "" }
}

impl StoreError {
    /// What the caller should do about it.
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

    /// Whether the fault lies in one block, so that an answer from the others is still worth something.
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

    /// The labels, as they are sent, of the series that is at fault, where one is.
    pub(crate) fn series(&self) -> Option<&Labels> {
        match self {
            StoreError::Block(error) => error.series(),
            StoreError::Bucket(error) => error.series(),
            _ => None,
        }
    }
}
