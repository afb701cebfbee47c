//! What a long piece of work asks while it goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::budget::Budget;
use crate::error::QueryError;

/// Whether a long piece of work may hold more bytes, and whether the caller still waits for its result.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// The bytes that may be held.
    pub budget: &'a Arc<Budget>,
    /// Set by the caller when it no longer waits for the result.
    pub cancelled: &'a AtomicBool,
}

impl Watch<'_> {
    /// Fails with [`QueryError::Cancelled`] when the caller no longer waits for the result.
    pub fn check(&self) -> Result<(), QueryError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(QueryError::Cancelled) } else { Ok(()) }
    }
}
