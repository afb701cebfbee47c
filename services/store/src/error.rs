//! Why a request cannot be answered.

use tithon_bucket::BucketError;
use tithon_chunks::ErrorKind;
use tithon_engine::{BlockError, BlockId};
use tithon_proto::ConvertError;
use tithon_runtime::RuntimeError;

/// An error of a request or of a look at the bucket. The texts are Thanos's where Thanos has the case.
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
    #[error("receive series from {block}: load chunks: populate chunk: {source}")]
    Chunk {
        /// The block.
        block: BlockId,
        /// What is wrong.
        source: ConvertError,
    },
    /// A part of a request that cannot be understood.
    #[error("{place}{source}")]
    Request {
        /// Which part, ending in a colon and a space, or nothing.
        place: &'static str,
        /// What is wrong.
        source: ConvertError,
    },
    /// A number of a request that may not be negative.
    #[error("{field} must not be negative: {value}")]
    Negative {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// More than the operator allows.
    #[error("exceeded {what} limit: limit {limit} violated (got {got})")]
    Limit {
        /// `series` or `chunks`.
        what: &'static str,
        /// The most there may be.
        limit: u64,
        /// How many there are at least.
        got: u64,
    },
    /// The CPU pool failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl StoreError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StoreError::Bucket(error) => error.kind(),
            StoreError::Block(error) => error.kind(),
            StoreError::NotServed { .. } => ErrorKind::Corrupt,
            StoreError::Chunk { source, .. } => source.kind(),
            StoreError::Request { .. } | StoreError::Negative { .. } => ErrorKind::Invalid,
            StoreError::Limit { .. } => ErrorKind::LimitExceeded,
            StoreError::Runtime(error) => error.kind(),
        }
    }

    /// Whether the fault lies in one block, so that an answer from the others is still worth something.
    pub(crate) fn spares_other_blocks(&self) -> bool {
        match self {
            StoreError::Bucket(_) | StoreError::Block(_) | StoreError::NotServed { .. } => true,
            StoreError::Chunk { source, .. } => matches!(source, ConvertError::Chunk(_)),
            _ => false,
        }
    }
}
