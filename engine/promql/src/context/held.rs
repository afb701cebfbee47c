//! The samples and bytes that an evaluation holds in memory, and the limits on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::budget::Budget;
use crate::error::QueryError;
use crate::result::QueryStats;

/// The most samples and bytes held at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peaks {
    pub(crate) samples: u64,
    pub(crate) bytes: u64,
}

/// Counts the samples and bytes held by one evaluation, on all its threads. The bytes also count against the budget of
/// the query, until the evaluation ends.
#[derive(Debug)]
pub(crate) struct Held {
    samples_max: u64,
    budget: Arc<Budget>,
    samples: AtomicU64,
    bytes: AtomicU64,
    peak: AtomicU64,
    /// The most held since [`Held::begin_peaks`].
    recent_samples: AtomicU64,
    recent_bytes: AtomicU64,
    total: AtomicU64,
    read: AtomicU64,
}

impl Held {
    /// Counters at zero.
    pub(crate) fn new(samples_max: u64, budget: &Arc<Budget>) -> Held {
        Held {
            samples_max,
            budget: Arc::clone(budget),
            samples: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            recent_samples: AtomicU64::new(0),
            recent_bytes: AtomicU64::new(0),
            total: AtomicU64::new(0),
            read: AtomicU64::new(0),
        }
    }

    /// The budget of the query.
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Refuses more steps than samples may be held: a single series would exceed the limit.
    pub(crate) fn check_steps(&self, n_steps: usize) -> Result<(), QueryError> {
        if n_steps as u64 > self.samples_max {
            return Err(QueryError::TooManySamples { limit: self.samples_max });
        }
        Ok(())
    }

    /// Counts samples and bytes as held.
    pub(crate) fn add(&self, samples: u64, bytes: u64) -> Result<(), QueryError> {
        let held = self.samples.fetch_add(samples, Ordering::Relaxed) + samples;
        self.peak.fetch_max(held, Ordering::Relaxed);
        self.recent_samples.fetch_max(held, Ordering::Relaxed);
        if held > self.samples_max {
            return Err(QueryError::TooManySamples { limit: self.samples_max });
        }
        self.budget.add(bytes)?;
        let bytes_held = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.recent_bytes.fetch_max(bytes_held, Ordering::Relaxed);
        Ok(())
    }

    /// Counts samples and bytes as released.
    pub(crate) fn release(&self, samples: u64, bytes: u64) {
        let less = |held: u64, n: u64| Some(held.saturating_sub(n));
        // `fetch_update` cannot fail, since the function never returns `None`.
        let _ = self.samples.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| less(held, samples));
        let held = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| less(held, bytes));
        self.budget.release(held.unwrap_or_default().min(bytes));
    }

    /// The samples and bytes held now.
    pub(crate) fn held(&self) -> (u64, u64) {
        (self.samples.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Called when an operator is done: releases its intermediate data, so that besides the data held `before` it
    /// began, only its result is held.
    pub(crate) fn settle(&self, before: (u64, u64), (samples, bytes): (u64, u64)) -> Result<(), QueryError> {
        self.samples.store(before.0, Ordering::Relaxed);
        let held = self.bytes.swap(before.1, Ordering::Relaxed);
        self.budget.release(held.saturating_sub(before.1));
        self.budget.add(before.1.saturating_sub(held))?;
        self.add(samples, bytes)
    }

    /// Starts a new measurement of the most held, at `held`; returns the measurement so far, to be handed to
    /// [`Held::end_peaks`].
    pub(crate) fn begin_peaks(&self, held: (u64, u64)) -> Peaks {
        Peaks {
            samples: self.recent_samples.swap(held.0, Ordering::Relaxed),
            bytes: self.recent_bytes.swap(held.1, Ordering::Relaxed),
        }
    }

    /// The most held since [`Held::begin_peaks`]; the measurement that it interrupted goes on.
    pub(crate) fn end_peaks(&self, outer: Peaks) -> Peaks {
        Peaks {
            samples: self.recent_samples.fetch_max(outer.samples, Ordering::Relaxed),
            bytes: self.recent_bytes.fetch_max(outer.bytes, Ordering::Relaxed),
        }
    }

    /// Counts so many samples as held for a moment, by another process that works for this evaluation.
    pub(crate) fn peaked(&self, samples: u64) -> Result<(), QueryError> {
        let held = self.samples.load(Ordering::Relaxed).saturating_add(samples);
        self.peak.fetch_max(held, Ordering::Relaxed);
        self.recent_samples.fetch_max(held, Ordering::Relaxed);
        if held > self.samples_max {
            return Err(QueryError::TooManySamples { limit: self.samples_max });
        }
        Ok(())
    }

    /// Counts samples that an operator looked at (`total`), and samples that were decoded for it (`read`).
    pub(crate) fn touch(&self, total: u64, read: u64) {
        self.total.fetch_add(total, Ordering::Relaxed);
        self.read.fetch_add(read, Ordering::Relaxed);
    }

    /// The counts so far.
    pub(crate) fn stats(&self) -> QueryStats {
        QueryStats {
            total_samples: self.total.load(Ordering::Relaxed),
            samples_read: self.read.load(Ordering::Relaxed),
            peak_samples: self.peak.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.release(self.bytes.load(Ordering::Relaxed));
    }
}
