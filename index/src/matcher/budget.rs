//! The memory that all automata of the process may take together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Most bytes that all automata of the process may take; what goes beyond is matched by a slower form.
pub(super) const AUTOMATA_MAX: usize = 192 << 20;

/// Bytes of automata that live.
static LIVING: AtomicUsize = AtomicUsize::new(0);

/// A share of the budget of all automata, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share(usize);

impl Share {
    /// A share of so many bytes; `None` when the budget is used up.
    pub(super) fn take(bytes: usize) -> Option<Share> {
        let share = Share(bytes);
        let before = LIVING.fetch_add(bytes, Ordering::Relaxed);
        (before.saturating_add(bytes) <= AUTOMATA_MAX).then_some(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        LIVING.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back() {
        assert!(Share::take(AUTOMATA_MAX + 1).is_none());
        drop(Share::take(1).unwrap());
    }
}
