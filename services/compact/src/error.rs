//! Why something could not be done.

use std::path::{Path, PathBuf};

use tithon_bucket::BucketError;
use tithon_chunks::ErrorKind;
use tithon_engine::{BlockError, BlockId};
use tithon_runtime::RuntimeError;

/// An error of the compactor, with the block or the group named.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// A block is damaged or cannot be written.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The CPU pool failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Scratch space cannot be used.
    #[error("{path}: {source}")]
    Scratch {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bucket did not answer for some blocks, so that nothing can be planned.
    #[error("the bucket did not answer for {failed} blocks, first {block}: {source}")]
    NoAnswer {
        /// How many.
        failed: usize,
        /// One of them.
        block: BlockId,
        /// What it said.
        source: Box<BucketError>,
    },
    /// An index can be walked but breaks its promises.
    #[error("block {block}: index: {what}")]
    Unhealthy {
        /// The block.
        block: BlockId,
        /// Counts of what is wrong.
        what: String,
    },
    /// Work on one block panicked, and panicked again.
    #[error("block {block}: work on it panicked twice: {what}")]
    Panic {
        /// The block.
        block: BlockId,
        /// What the panic says.
        what: String,
    },
    /// A lease in the bucket cannot be used.
    #[error("lease {name}: {what}")]
    Lease {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// Another compactor took the lease of this work over.
    #[error("another compactor took the lease of this work over, nothing is published")]
    LeaseLost,
    /// A block with chunks outside its time range cannot be repaired.
    #[error("block {block}: {what}")]
    NotRepairable {
        /// The block.
        block: BlockId,
        /// Why nothing can be made of it.
        what: &'static str,
    },
}

impl CompactError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            CompactError::Bucket(error) => error.kind(),
            CompactError::Block(error) => error.kind(),
            CompactError::Runtime(error) => error.kind(),
            CompactError::Scratch { .. } | CompactError::NoAnswer { .. } | CompactError::LeaseLost => {
                ErrorKind::Unavailable
            }
            CompactError::Lease { .. } => ErrorKind::Unavailable,
            CompactError::Unhealthy { .. } | CompactError::Panic { .. } => ErrorKind::Corrupt,
            CompactError::NotRepairable { .. } => ErrorKind::Unsupported,
        }
    }

    /// The block that the error is about, where it is about one.
    pub fn block(&self) -> Option<BlockId> {
        match self {
            CompactError::Block(error) => block_of(error),
            CompactError::Unhealthy { block, .. }
            | CompactError::Panic { block, .. }
            | CompactError::NotRepairable { block, .. } => Some(*block),
            CompactError::Bucket(error) => match error {
                BucketError::Meta { block, .. }
                | BucketError::WrongId { block, .. }
                | BucketError::Index { block, .. }
                | BucketError::Tombstones { block, .. }
                | BucketError::NoSegment { block, .. }
                | BucketError::Incomplete { block, .. } => Some(*block),
                BucketError::Block(error) => block_of(error),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a later attempt may succeed with the same blocks. A full disk is no fault of theirs; a panic and what is called
    /// internal are, as they come again with the same bytes.
    pub fn is_transient(&self) -> bool {
        let full = matches!(self, CompactError::Block(BlockError::Io { .. }))
            && self.kind() == ErrorKind::LimitExceeded;
        let is_ours =
            matches!(self, CompactError::Runtime(error) if !matches!(error, RuntimeError::Panic(_)));
        full || is_ours || matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::Cancelled)
    }

    pub(crate) fn scratch(path: &Path) -> impl FnOnce(std::io::Error) -> CompactError {
        let path = path.to_owned();
        move |source| CompactError::Scratch { path, source }
    }
}

fn block_of(error: &BlockError) -> Option<BlockId> {
    match error {
        BlockError::Tombstones { block, .. }
        | BlockError::Index { block, .. }
        | BlockError::Chunk { block, .. }
        | BlockError::NoSegment { block, .. }
        | BlockError::Short { block, .. }
        | BlockError::Unhealthy { block, .. }
        | BlockError::Order { block, .. }
        | BlockError::Fetch { block, .. }
        | BlockError::Downsample { block, .. } => Some(*block),
        BlockError::WrongId { expected, .. } => Some(*expected),
        BlockError::Meta { path, .. } | BlockError::Io { path, .. } => {
            path.ancestors().find_map(|dir| dir.file_name()?.to_str()?.parse().ok())
        }
        _ => None,
    }
}
