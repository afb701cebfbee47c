//! Why the tool stopped. What goes wrong with one subject in one case is a [`crate::run::Failure`] instead.

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
        /// What the system says.
        source: io::Error,
    },
    /// Standard output is closed or full.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// The system refuses something that the tool needs.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What it says.
        source: io::Error,
    },
    /// Flags that contradict each other or hold something wrong.
    #[error("{0}")]
    Flags(String),
    /// A program named by `--subject` cannot be used.
    #[error("--subject={name}: {reason}")]
    Subject {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The disk is too small.
    #[error("{path}: {free} free, {needed} needed for {what}; choose another folder with --data-dir")]
    Disk {
        /// The folder.
        path: PathBuf,
        /// What is free.
        free: String,
        /// What is needed.
        needed: String,
        /// What for.
        what: String,
    },
    /// A folder holds something else than what is to be made there.
    #[error("{path} holds {found}, not {wanted}; remove it or choose another folder")]
    OtherData {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What was to be made.
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
