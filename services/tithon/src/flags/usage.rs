//! Errors in the command line that appear only when flags are checked together, or with the files they name.

use std::error::Error;
use std::fmt;

/// An error in the command line: the program ends with exit code 2, before any port is bound.
#[derive(Debug)]
pub struct UsageError(Box<dyn Error + Send + Sync>);

impl UsageError {
    /// Makes a usage error of `source`.
    pub fn of(source: impl Into<Box<dyn Error + Send + Sync>>) -> UsageError {
        UsageError(source.into())
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for UsageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
