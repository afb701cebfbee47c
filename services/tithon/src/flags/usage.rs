//! Mistakes in the command line that show only when flags are looked at together, or the files that they name.

use std::error::Error;
use std::fmt;

/// A mistake in the command line: the program ends with exit code 2, before any port is taken.
#[derive(Debug)]
pub struct UsageError(Box<dyn Error + Send + Sync>);

impl UsageError {
    /// The mistake that `source` tells.
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
