//! What can go wrong with a log or a head.

use std::path::{Path, PathBuf};

use tithon_chunks::{ChunkError, ErrorKind};
use tithon_engine::BlockError;

/// What is wrong with the bytes of a segment.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum WalDamage {
    /// The rest of a page behind the last fragment is not zero.
    #[error("unused bytes of a page are not zero")]
    Padding,
    /// A fragment's header has bits that mean nothing.
    #[error("fragment header {0:#04x} is not known")]
    Header(u8),
    /// A fragment does not follow on the one before.
    #[error("fragment of type {found} while {expected} was expected")]
    Sequence {
        /// 1 full, 2 first, 3 middle, 4 last.
        found: u8,
        /// What may stand there.
        expected: &'static str,
    },
    /// A fragment reaches over the end of its page.
    #[error("fragment of {len} bytes, {left} are left in its page")]
    Length {
        /// As its header says.
        len: usize,
        /// What there is.
        left: usize,
    },
    /// A stored checksum differs from the bytes' own.
    #[error("fragment checksum {got:#010x}, expected {expected:#010x}")]
    Checksum {
        /// Computed over the bytes.
        got: u32,
        /// Stored beside them.
        expected: u32,
    },
    /// The file ends inside a record.
    #[error("the last record is torn")]
    Torn,
    /// A record cannot be unpacked.
    #[error("record cannot be unpacked: {0}")]
    Packed(String),
    /// The content of a record makes no sense.
    #[error("{kind} record: {source}")]
    Content {
        /// What the record is of.
        kind: &'static str,
        /// What is wrong.
        source: ChunkError,
    },
}

/// Why a write-ahead log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Bytes are damaged.
    #[error("{path}: damaged behind offset {offset}: {damage}")]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where the last good record ends, in bytes from the start of the file.
        offset: u64,
        /// What is wrong.
        damage: WalDamage,
    },
    /// A segment is missing between others.
    #[error("{dir}: segment {expected} is missing, the next one is {found}")]
    Gap {
        /// The folder of the log.
        dir: PathBuf,
        /// The number that should come.
        expected: u64,
        /// The number that comes.
        found: u64,
    },
    /// An earlier write failed in a way that left the end of the log unknown.
    #[error("{path}: an earlier write failed, and what it left could not be removed")]
    Broken {
        /// The segment.
        path: PathBuf,
    },
}

impl WalError {
    /// An error of the file system at this path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> WalError + '_ {
        move |source| WalError::Io { path: path.to_owned(), source }
    }
}

/// Why a head, or the data directory around it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The log cannot be read or written.
    #[error("write-ahead log: {0}")]
    Wal(#[from] WalError),
    /// A block cannot be read or written.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Another process has the directory.
    #[error("{path}: another process uses this directory")]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
}

impl HeadError {
    /// An error of the file system at this path.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> HeadError + '_ {
        move |source| HeadError::Io { path: path.to_owned(), source }
    }

    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            HeadError::Wal(WalError::Corrupt { .. } | WalError::Gap { .. }) => ErrorKind::Corrupt,
            HeadError::Block(error) => error.kind(),
            HeadError::Wal(_) | HeadError::Io { .. } | HeadError::Locked { .. } => ErrorKind::Unavailable,
        }
    }
}
