//! Errors of buckets, with the object named.

use std::path::PathBuf;
use std::sync::Arc;

use tithon_chunks::ErrorKind;
use tithon_engine::{BlockError, BlockId, MetaError, TombstonesError};
use tithon_index::{IndexError, Labels};

use crate::ConfigError;

/// Why a bucket could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory of a FILESYSTEM bucket cannot be read.
    #[error("bucket directory {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
    /// The client of a store over the network cannot be set up.
    #[error("{provider}: {source}")]
    Store {
        /// The provider, in upper case.
        provider: &'static str,
        /// The client's error.
        source: object_store::Error,
    },
    /// A request for an object failed.
    #[error("{path}: {source}")]
    Object {
        /// The object's key, or the prefix that was listed; `bucket` for the whole bucket.
        path: String,
        /// The store's error; shared, since several callers may have waited for one request.
        source: Arc<object_store::Error>,
    },
    /// A meta.json is damaged or has an unsupported version.
    #[error("{block}/meta.json: {source}")]
    Meta {
        /// The block.
        block: BlockId,
        /// What is wrong.
        source: MetaError,
    },
    /// A meta.json has another id than its folder.
    #[error("{block}/meta.json: found ulid {found}, expected {block}")]
    WrongId {
        /// The id of the folder.
        block: BlockId,
        /// The id in meta.json.
        found: BlockId,
    },
    /// A mark has a version that this build does not support.
    #[error("{path}: marker version {found} is not supported, expected 1")]
    MarkVersion {
        /// The object's key.
        path: String,
        /// The version in it.
        found: i64,
    },
    /// An index is damaged.
    #[error("{block}/index: {source}")]
    Index {
        /// The block.
        block: BlockId,
        /// What is wrong.
        source: IndexError,
    },
    /// The tombstones are damaged.
    #[error("{block}/tombstones: {source}")]
    Tombstones {
        /// The block.
        block: BlockId,
        /// What is wrong.
        source: TombstonesError,
    },
    /// A file of a block is missing or has another size than its meta.json says.
    #[error("{block}/{file}: found {found:?} bytes, expected {expected}")]
    Incomplete {
        /// The block.
        block: BlockId,
        /// The path inside the block.
        file: String,
        /// The size in the listing; `None` if the object is missing.
        found: Option<u64>,
        /// The size in meta.json; 0 if unknown.
        expected: u64,
    },
    /// A request to delete series cannot be read.
    #[error("{path}: {source}")]
    Deletion {
        /// The object's key.
        path: String,
        /// What is wrong with it.
        source: crate::DeletionError,
    },
    /// A block that is to be uploaded has no external labels.
    #[error("{block}: a block without external labels is not uploaded")]
    NoLabels {
        /// The block.
        block: BlockId,
    },
    /// A local file cannot be read or written.
    #[error("{path}: {source}")]
    Local {
        /// The file or directory.
        path: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
    /// A cache file on local disk was cut while it was mapped.
    #[error("{block}: the {file} was truncated while mapped")]
    CacheTruncated {
        /// The block.
        block: BlockId,
        /// Name of the file.
        file: &'static str,
    },
    /// A block on local disk cannot be opened.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The index of a block refers to a segment that does not exist.
    #[error("{block}/chunks: segment {segment} is missing, there are {segments}")]
    NoSegment {
        /// The block.
        block: BlockId,
        /// Index of the segment, from 0.
        segment: u32,
        /// Number of segments.
        segments: usize,
    },
}

impl BucketError {
    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            BucketError::Config(error) => error.kind(),
            BucketError::Object { source, .. }
                if matches!(**source, object_store::Error::NotFound { .. }) =>
            {
                ErrorKind::NotFound
            }
            BucketError::Directory { .. } | BucketError::Object { .. } | BucketError::Store { .. } => {
                ErrorKind::Unavailable
            }
            BucketError::Meta { source, .. } => source.kind(),
            BucketError::MarkVersion { .. } => ErrorKind::Unsupported,
            BucketError::WrongId { .. } | BucketError::NoSegment { .. } | BucketError::Incomplete { .. } => {
                ErrorKind::Corrupt
            }
            BucketError::Deletion { source, .. } => source.kind(),
            BucketError::NoLabels { .. } => ErrorKind::Invalid,
            BucketError::Local { .. } | BucketError::CacheTruncated { .. } => ErrorKind::Unavailable,
            BucketError::Index { source, .. } => source.kind(),
            BucketError::Tombstones { source, .. } => source.kind(),
            BucketError::Block(error) => error.kind(),
        }
    }

    /// The labels of the series at fault, if there is one.
    pub fn series(&self) -> Option<&Labels> {
        match self {
            BucketError::Block(error) => error.series(),
            _ => None,
        }
    }

    pub(crate) fn object(path: &object_store::path::Path) -> impl FnOnce(object_store::Error) -> BucketError {
        let path = if path.as_ref().is_empty() { "bucket".to_owned() } else { path.to_string() };
        move |source| BucketError::Object { path, source: Arc::new(source) }
    }
}
