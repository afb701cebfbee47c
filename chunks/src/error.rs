//! What can go wrong with chunk bytes, and the one classification of errors that every crate maps to.

use crate::{Encoding, HistogramError};

/// What a caller should do about an error; each crate's error has a `kind()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong: fix it.
    Invalid,
    /// What was asked for is not there.
    NotFound,
    /// Stored or received bytes are damaged.
    Corrupt,
    /// A version, encoding or feature that this build lacks.
    Unsupported,
    /// A configured budget is used up.
    LimitExceeded,
    /// A dependency does not answer now: retry.
    Unavailable,
    /// Part of the data cannot be read, and the caller accepts no partial answer.
    Aborted,
    /// It took longer than allowed.
    TimedOut,
    /// The caller gave up.
    Cancelled,
    /// No other kind fits; used where Thanos answers without a code.
    Unknown,
    /// A fault of ours.
    Internal,
}

/// Why chunk bytes could not be read or written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes end before `what`.
    #[error("{what}: needs {needed} bytes at offset {offset}, {left} left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where, in bytes from the start of the buffer.
        offset: usize,
        /// How many bytes it takes at least.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A bit stream ends before the sample count of its header is reached.
    #[error("{encoding:?} chunk ends in sample {sample} of {expected}")]
    TruncatedSamples {
        /// The chunk's encoding.
        encoding: Encoding,
        /// Index of the sample being read.
        sample: usize,
        /// The count in the header.
        expected: usize,
    },
    /// A field holds a value that the format does not allow.
    #[error("{what} at offset {offset}: found {found}, expected {expected}")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// Where, in bytes from the start of the buffer.
        offset: usize,
        /// What is there.
        found: u64,
        /// What may be there.
        expected: &'static str,
    },
    /// A stored checksum differs from the bytes' own.
    #[error("{what} at offset {offset}: checksum {got:#010x}, expected {expected:#010x}")]
    Checksum {
        /// What was being read.
        what: &'static str,
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// Computed over the bytes.
        got: u32,
        /// Stored beside them.
        expected: u32,
    },
    /// A decoded histogram that makes no sense.
    #[error("histogram in chunk: {0}")]
    Histogram(#[from] HistogramError),
    /// An encoding that this call cannot decode.
    #[error("chunk encoding {} is not supported here", named(.0))]
    UnsupportedEncoding(Encoding),
    /// An aggregate that a downsampled chunk does not hold.
    #[error("aggregate {0} does not exist in this chunk")]
    NoAggregate(&'static str),
}

impl ChunkError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            ChunkError::UnsupportedEncoding(_) => ErrorKind::Unsupported,
            ChunkError::NoAggregate(_) => ErrorKind::NotFound,
            _ => ErrorKind::Corrupt,
        }
    }
}

/// A known encoding by its name, an unknown one by its byte.
fn named(encoding: &Encoding) -> String {
    match encoding {
        Encoding::Unknown(byte) => format!("{byte} (unknown)"),
        known => format!("{known:?}"),
    }
}
