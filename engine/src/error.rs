//! Errors of blocks, which name the block and the file.

use std::path::PathBuf;

use tithon_chunks::{ChunkError, ErrorKind};
use tithon_index::{IndexError, IndexHealth, Labels};

use crate::compact::MergeError;
use crate::downsample::DownsampleError;
use crate::{BlockFile, BlockId, MetaError, TombstonesError};

/// Why a block could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// The file system returned an error.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Error of the file system.
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
    /// The directory's name differs from the id in meta.json.
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
        /// Offset at which the chunk begins.
        offset: u64,
        /// What is wrong.
        source: ChunkError,
    },
    /// The index names a segment that does not exist.
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
        /// The part that was read.
        what: &'static str,
        /// Offset at which the part begins.
        offset: u64,
        /// Length of the part, bytes.
        needed: u64,
        /// Bytes up to the end of the file.
        left: u64,
    },
    /// A file was cut or overwritten while it was mapped: the data read from it is not valid.
    #[error("block {block}: {file} was truncated while mapped")]
    Truncated {
        /// The block.
        block: BlockId,
        /// The file.
        file: BlockFile,
    },
    /// A part of a series has an error.
    #[error("{source}, in series {labels}")]
    InSeries {
        /// The labels as a selection returns them.
        labels: Labels,
        /// What is wrong.
        source: Box<BlockError>,
    },
    /// The counts of an index that was checked while it was read were refused.
    #[error("block {block}: index: {}", health.faults().unwrap_or_default())]
    Unhealthy {
        /// The block.
        block: BlockId,
        /// The counts.
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
    /// The caller's function that reads the block's files failed.
    #[error("block {block}: {source}")]
    Fetch {
        /// The block.
        block: BlockId,
        /// The kind of the error, which tells callers what to do about it.
        kind: ErrorKind,
        /// The error of that function.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The caller of a selection handed in other ranges than it was asked for: a bug in this program.
    #[error("block {block}: got {got} ranges, asked for {expected}")]
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
    /// The kind of the error, which tells callers what to do about it.
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

    /// The labels of the series with the error, if the error is about one.
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

/// Whether the disk or quota is full, so that trying again does not help.
fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
