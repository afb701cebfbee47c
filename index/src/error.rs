//! What can go wrong with an index, with the place and the numbers.

use tithon_chunks::ErrorKind;

/// Why an index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The bytes end before `what`.
    #[error("{what} at offset {offset}: needs {needed} bytes, {left} left")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where, in bytes from the start of the file.
        offset: u64,
        /// How many bytes it takes at least.
        needed: u64,
        /// How many there are.
        left: u64,
    },
    /// A field holds a value that the format does not allow.
    #[error("{what} at offset {offset}: found {found}, expected {expected}")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// Where, in bytes from the start of the file.
        offset: u64,
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
    /// A version of the index or of its header that this build lacks.
    #[error("{what} version {version} is not supported")]
    Version {
        /// Which format.
        what: &'static str,
        /// The version found.
        version: u8,
    },
    /// A symbol reference that the table does not hold.
    #[error("symbol {symbol} is not in the table of {symbols}")]
    NoSymbol {
        /// The reference.
        symbol: u32,
        /// Number of symbols in the table.
        symbols: u32,
    },
    /// Input of the writer that does not follow what was written before it.
    #[error("{what} of item {item} is out of order")]
    Order {
        /// What is out of order.
        what: &'static str,
        /// Number of the symbol or series, from 0.
        item: u64,
    },
    /// A string that a series uses but that is no symbol.
    #[error("label text {0:?} was not added as a symbol")]
    MissingSymbol(String),
    /// A section or file would outgrow its format.
    #[error("{what} takes {bytes} bytes, the format allows {max}")]
    TooLarge {
        /// The section.
        what: &'static str,
        /// How large it would be.
        bytes: u64,
        /// How large it may be.
        max: u64,
    },
    /// The caller handed back other ranges than were asked for.
    #[error("fetched {what} {got}, asked for {expected}")]
    Fetched {
        /// What differs: the number of ranges, or the length of one.
        what: &'static str,
        /// What came.
        got: u64,
        /// What was asked for.
        expected: u64,
    },
    /// The sink of a writer failed.
    #[error("index could not be written: {0}")]
    Write(#[from] std::io::Error),
}

impl IndexError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            IndexError::Truncated { .. }
            | IndexError::Invalid { .. }
            | IndexError::Checksum { .. }
            | IndexError::NoSymbol { .. } => ErrorKind::Corrupt,
            IndexError::Version { .. } => ErrorKind::Unsupported,
            IndexError::Order { .. } | IndexError::MissingSymbol(_) => ErrorKind::Invalid,
            IndexError::TooLarge { .. } => ErrorKind::LimitExceeded,
            IndexError::Fetched { .. } => ErrorKind::Internal,
            IndexError::Write(_) => ErrorKind::Unavailable,
        }
    }
}
