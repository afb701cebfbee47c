//! Calls with stalled readers. They give up their permit of the gate but still hold memory, so their number is limited;
//! beyond the limit, the call that has been stalled longest is ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The stalled calls of a store, in the order in which they stalled.
#[derive(Debug)]
pub(crate) struct Stalls {
    most: usize,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    /// Dropping a sender ends its call.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
    next: u64,
}

/// A stalled call's entry, removed when it is dropped.
pub(crate) struct Stall {
    stalls: Arc<Stalls>,
    number: u64,
    ended: oneshot::Receiver<()>,
}

impl Stalls {
    pub(crate) fn new(most: usize) -> Stalls {
        Stalls { most, calls: Mutex::default() }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a stalled call. Beyond the limit, tells the longest stalled call to end.
    pub(crate) fn enter(self: &Arc<Stalls>) -> Stall {
        let (sender, ended) = oneshot::channel();
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        calls.waiting.insert(number, sender);
        if calls.waiting.len() > self.most {
            calls.waiting.pop_first();
        }
        Stall { stalls: Arc::clone(self), number, ended }
    }
}

impl Stall {
    /// Waits until the call has to end to make room for others.
    pub(crate) async fn told_to_go(&mut self) {
        // Nothing is ever sent; the channel only closes.
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.stalls.calls().waiting.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_longest_goes_first() {
        let stalls = Arc::new(Stalls::new(2));
        let (mut first, mut second) = (stalls.enter(), stalls.enter());
        assert!(first.told_to_go().now_or_never().is_none());
        let mut third = stalls.enter();
        first.told_to_go().await;
        drop(second);
        second = stalls.enter();
        assert!(second.told_to_go().now_or_never().is_none());
        assert!(third.told_to_go().now_or_never().is_none());
    }
}
