//! What can go wrong with a block, with the block and the file named.

use std::path::PathBuf;

use tithon_chunks::{ChunkError, ErrorKind};
use tithon_index::{IndexError, IndexHealth, Labels};

use crate::compact::MergeError;
use crate::downsample::DownsampleError;
use crate::{BlockFile, BlockId, MetaError, TombstonesError};

/// Why a block could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// meta.json is damaged or of another version.
    #[error("{path}: {source}")]
    Meta {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: MetaError,
    },
    /// The directory's name and the id in meta.json differ.
    #[error("{path}: meta.json says {found}, the directory {expected}")]
    WrongId {
        /// The directory.
        path: PathBuf,
        /// The id in meta.json.
        found: BlockId,
        /// The directory's name.
        expected: BlockId,
    },
    /// The tombstones file is damaged.
    #[error("block {block}: {source}")]
    Tombstones {
        /// The block.
        block: BlockId,
        /// What is wrong.
        source: TombstonesError,
    },
    /// The index is damaged or of another version.
    #[error("block {block}: index: {source}")]
    Index {
        /// The block.
        block: BlockId,
        /// What is wrong.
        source: IndexError,
    },
    /// A chunk or its segment is damaged.
    #[error("block {block}: {file} at offset {offset}: {source}")]
    Chunk {
        /// The block.
        block: BlockId,
        /// The segment.
        file: BlockFile,
        /// Where the chunk begins.
        offset: u64,
        /// What is wrong.
        source: ChunkError,
    },
    /// The index names a segment that is not there.
    #[error("block {block}: segment {segment} is missing, there are {segments}")]
    NoSegment {
        /// The block.
        block: BlockId,
        /// Index of the segment, from 0.
        segment: u32,
        /// Number of segments there are.
        segments: usize,
    },
    /// A file ends before the bytes that the index promises.
    #[error(
        "block {block}: {file} ends before {what} at offset {offset}: {needed} bytes needed, {left} there"
    )]
    Short {
        /// The block.
        block: BlockId,
        /// The file.
        file: BlockFile,
        /// What was to be read.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// Bytes it takes.
        needed: u64,
        /// Bytes there are.
        left: u64,
    },
    /// A file was cut or overwritten while it was mapped: what was read of it does not count.
    #[error("block {block}: {file} was truncated while mapped")]
    Truncated {
        /// The block.
        block: BlockId,
        /// The file.
        file: BlockFile,
    },
    /// Something is wrong with a part of a series.
    #[error("{source}, in series {labels}")]
    InSeries {
        /// The labels that it is sent with.
        labels: Labels,
        /// What is wrong.
        source: Box<BlockError>,
    },
    /// The counts of an index that was checked while it was read were not accepted.
    #[error("block {block}: index: {}", health.faults().unwrap_or_default())]
    Unhealthy {
        /// The block.
        block: BlockId,
        /// What was counted.
        health: Box<IndexHealth>,
    },
    /// Series or chunks were not given in order.
    #[error("block {block}: {what}")]
    Order {
        /// The block.
        block: BlockId,
        /// What is out of order.
        what: String,
    },
    /// A chunk to be written is damaged.
    #[error("block {block}: a chunk to be written: {source}")]
    Written {
        /// The block under construction.
        block: BlockId,
        /// What is wrong.
        source: ChunkError,
    },
    /// A chunk of a series cannot be decoded.
    #[error("series {labels}: {source}")]
    Series {
        /// The series.
        labels: Labels,
        /// What is wrong.
        source: ChunkError,
    },
    /// The chunks of a series could not be merged.
    #[error("block {block}: merging {labels}: {source}")]
    Merge {
        /// The block under construction.
        block: BlockId,
        /// The series.
        labels: Labels,
        /// What is wrong.
        source: MergeError,
    },
    /// A series could not be downsampled.
    #[error("block {block}: downsampling {labels}: {source}")]
    Downsample {
        /// The source.
        block: BlockId,
        /// The series.
        labels: Labels,
        /// What is wrong.
        source: DownsampleError,
    },
    /// Whoever reads the block's files for us could not.
    #[error("block {block}: {source}")]
    Fetch {
        /// The block.
        block: BlockId,
        /// What the caller should do about it.
        kind: ErrorKind,
        /// What went wrong there.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The driver of a selection handed over something else than was asked for: a bug of ours.
    #[error("block {block}: {got} ranges were handed in, {expected} asked for")]
    Fetched {
        /// The block.
        block: BlockId,
        /// Ranges handed in.
        got: usize,
        /// Ranges asked for.
        expected: usize,
    },
}

impl BlockError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            BlockError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            BlockError::Io { source, .. } if is_full(source) => ErrorKind::LimitExceeded,
            BlockError::Io { .. } => ErrorKind::Unavailable,
            BlockError::Meta { source, .. } => source.kind(),
            BlockError::Tombstones { source, .. } => source.kind(),
            BlockError::Index { source, .. } => source.kind(),
            BlockError::Chunk { source, .. } => source.kind(),
            BlockError::Series { source, .. } | BlockError::Written { source, .. } => source.kind(),
            BlockError::Merge { source, .. } => source.kind(),
            BlockError::Downsample { source, .. } => source.kind(),
            BlockError::WrongId { .. } | BlockError::NoSegment { .. } | BlockError::Short { .. } => {
                ErrorKind::Corrupt
            }
            BlockError::Truncated { .. } => ErrorKind::Unavailable,
            BlockError::InSeries { source, .. } => source.kind(),
            BlockError::Unhealthy { .. } => ErrorKind::Corrupt,
            BlockError::Order { .. } => ErrorKind::Invalid,
            BlockError::Fetch { kind, .. } => *kind,
            BlockError::Fetched { .. } => ErrorKind::Internal,
        }
    }

    /// The labels, as they are sent, of the series that is at fault, where one is.
    pub fn series(&self) -> Option<&Labels> {
        match self {
            BlockError::InSeries { labels, .. } => Some(labels),
            _ => None,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> BlockError {
        let path = path.into();
        move |source| BlockError::Io { path, source }
    }

    pub(crate) fn index(block: BlockId) -> impl FnOnce(IndexError) -> BlockError {
        move |source| BlockError::Index { block, source }
    }
}

/// Whether there is no room left, so that trying again is of no use.
fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
