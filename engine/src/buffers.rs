//! Buffers that the tasks of a job lend each other, so that there are as many as threads and each grows once.

use std::sync::{Mutex, PoisonError};

/// Buffers that no task has at the moment.
#[derive(Debug, Default)]
pub(crate) struct Buffers<T>(Mutex<Vec<T>>);

impl<T: Default> Buffers<T> {
    /// Does some work with a buffer, in which the work before it may have left something.
    pub(crate) fn lend<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = free().pop().unwrap_or_default();
        let result = work(&mut buffer);
        free().push(buffer);
        result
    }
}
