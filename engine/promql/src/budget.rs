//! Bytes held in memory, counted against limits: that of a query, and that of the process around it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A limit on the bytes held at the same time, perhaps inside another limit. Code that holds bytes keeps a [`Charge`] for
/// them.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    flag: &'static str,
    held: AtomicU64,
    outer: Option<Arc<Budget>>,
}

/// More bytes would be held than a budget allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("query processing would use too many bytes in memory: more than the limit of {limit} bytes ({flag})")]
pub struct OverBudget {
    /// The limit.
    pub limit: u64,
    /// The flag that sets the limit, for the error text.
    pub flag: &'static str,
}

impl Budget {
    /// Allows `limit` bytes; `flag` names the flag that sets the limit.
    pub fn new(limit: u64, flag: &'static str) -> Arc<Budget> {
        Arc::new(Budget { limit, flag, held: AtomicU64::new(0), outer: None })
    }

    /// A budget whose bytes count against this one too.
    pub fn inside(self: &Arc<Budget>, limit: u64, flag: &'static str) -> Arc<Budget> {
        Arc::new(Budget { limit, flag, held: AtomicU64::new(0), outer: Some(Arc::clone(self)) })
    }

    /// Holds bytes until the charge is dropped.
    ///
    /// Errors: [`OverBudget`] of the budget that would be exceeded; nothing is held then.
    pub fn charge(self: &Arc<Budget>, bytes: u64) -> Result<Charge, OverBudget> {
        self.add(bytes)?;
        Ok(Charge { budget: Arc::clone(self), bytes })
    }

    /// A charge of 0 bytes, to grow later.
    pub fn empty_charge(self: &Arc<Budget>) -> Charge {
        Charge { budget: Arc::clone(self), bytes: 0 }
    }

    /// The bytes held now.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// The bytes that may be held at most, in this budget and those around it.
    pub fn limit(&self) -> u64 {
        self.outer.as_ref().map_or(self.limit, |outer| self.limit.min(outer.limit()))
    }

    pub(crate) fn add(&self, bytes: u64) -> Result<(), OverBudget> {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let added = match &self.outer {
            _ if held > self.limit => Err(OverBudget { limit: self.limit, flag: self.flag }),
            Some(outer) => outer.add(bytes),
            None => Ok(()),
        };
        if added.is_err() {
            self.held.fetch_sub(bytes, Ordering::Relaxed);
        }
        added
    }

    pub(crate) fn release(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(outer) = &self.outer {
            outer.release(bytes);
        }
    }
}

/// Bytes that count against a [`Budget`] until the charge is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Charge {
    /// Holds more bytes.
    ///
    /// Errors: [`OverBudget`]; the charge stays as it was.
    pub fn grow(&mut self, bytes: u64) -> Result<(), OverBudget> {
        self.budget.add(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes over what another charge of the same budget holds.
    pub fn absorb(&mut self, mut other: Charge) {
        assert!(Arc::ptr_eq(&self.budget, &other.budget), "both charges are of one budget");
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// The bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_counts_in_all_budgets_around_it_until_it_is_dropped() {
        let process = Budget::new(100, "--all");
        let (one, other) = (process.inside(80, "--one"), process.inside(80, "--one"));
        let mut charge = one.charge(50).expect("within both");
        assert_eq!((one.held(), process.held()), (50, 50));
        assert_eq!(charge.grow(31), Err(OverBudget { limit: 80, flag: "--one" }));
        assert_eq!(other.charge(60).expect_err("over"), OverBudget { limit: 100, flag: "--all" });
        assert_eq!((one.held(), other.held(), process.held()), (50, 0, 50));
        charge.grow(30).expect("up to the limit");
        drop(charge);
        assert_eq!((one.held(), process.held()), (0, 0));
    }
}
