//! The error of calls to stores.

use std::error::Error;
use std::fmt;

use tithon_chunks::ErrorKind;

/// Why a call to a store failed: the text of the store's own error, and a kind, which decides the gRPC code.
#[derive(Debug)]
pub struct StoreApiError {
    kind: ErrorKind,
    source: Box<dyn Error + Send + Sync>,
}

impl StoreApiError {
    /// An error of this kind with the text of `source`.
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreApiError {
        StoreApiError { kind, source: source.into() }
    }

    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl Error for StoreApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}
