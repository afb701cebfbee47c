//! The limits that long work checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::budget::Budget;
use crate::error::QueryError;

/// The limits of long work: its budget of bytes, and the flag by which the caller cancels it.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// The bytes that may be held.
    pub budget: &'a Arc<Budget>,
    /// The caller sets this when it no longer waits for the result.
    pub cancelled: &'a AtomicBool,
}

impl Watch<'_> {
    /// Fails with [`QueryError::Cancelled`] when the caller no longer waits for the result.
    pub fn check(&self) -> Result<(), QueryError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(QueryError::Cancelled) } else { Ok(()) }
    }
}
