//! Errors that end the tool. The failure of one subject in one case is part of the results instead.

use std::io;
use std::path::PathBuf;

use tithon_engine::BlockError;

/// Why the tool stopped.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A block cannot be made.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// Standard output is closed or full.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// A system call failed.
    #[error("{what}: {source}")]
    System {
        /// The request of the tool.
        what: &'static str,
        /// Error of the system.
        source: io::Error,
    },
    /// Flags contradict each other or have invalid values.
    #[error("{0}")]
    Flags(String),
    /// A program named by `--subject` cannot be used.
    #[error("--subject={name}: {reason}")]
    Subject {
        /// Name of the subject.
        name: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// The disk has too little free space.
    #[error("{path}: {free} free, {needed} needed for {what}; choose another folder with --data-dir")]
    Disk {
        /// The folder.
        path: PathBuf,
        /// Free space.
        free: String,
        /// Needed space.
        needed: String,
        /// The purpose for which it is needed.
        what: String,
    },
    /// A folder holds other data than what is to be generated there.
    #[error("{path} holds {found}, not {wanted}; remove it or choose another folder")]
    OtherData {
        /// The folder.
        path: PathBuf,
        /// The data it holds.
        found: String,
        /// The data to be generated.
        wanted: String,
    },
}

impl BenchError {
    /// An error of reading or writing `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> BenchError {
        let path = path.into();
        move |source| BenchError::Io { path, source }
    }
}
