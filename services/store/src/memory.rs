//! The memory limit of all calls together (`--store.memory-limit`). A call that needs more memory waits for others to
//! release theirs, and fails when that takes too long, so that the process does not run out of memory.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::StoreError;

/// Memory is counted in units of a KiB.
const UNIT_BYTES: u64 = 1 << 10;
/// Memory charged for each call besides what it reads: the answer waiting for its reader, and frames being sent.
const CALL_BYTES: u64 = 4 << 20;
/// How long a call waits for memory before it fails.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The limit and what is held. A quarter is for the fixed charge of each call, so it limits the number of calls. Half
/// is for what calls read. The last quarter is reserved for reads of the call that began first, so that calls that hold
/// memory and wait for more cannot all wait for each other.
#[derive(Debug)]
pub(crate) struct Memory {
    places: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    /// 0 means no limit.
    max_bytes: u64,
    wait_max: Duration,
    held_bytes: Gauge,
    calls: Mutex<Calls>,
    /// Notified when a call ended or stepped back.
    ended: Notify,
}

/// The calls under way, numbered in the order they began.
#[derive(Debug, Default)]
struct Calls {
    running: BTreeSet<u64>,
    next: u64,
}

/// A call under way, with its fixed charge.
#[derive(Debug)]
pub(crate) struct Call {
    memory: Arc<Memory>,
    number: AtomicU64,
    _place: Charge,
}

/// Memory that is charged until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    permit: Option<OwnedSemaphorePermit>,
    bytes: i64,
    held_bytes: Gauge,
}

impl Memory {
    /// A limit of `max_bytes`; 0 means no limit. What is held is counted in `held_bytes` either way.
    pub(crate) fn new(max_bytes: u64, held_bytes: Gauge) -> Memory {
        let semaphore = |bytes: u64, unit: u64| {
            let permits = usize::try_from(bytes / unit).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS)))
        };
        Memory {
            places: semaphore(max_bytes / 4, CALL_BYTES),
            reads: semaphore(max_bytes / 2, UNIT_BYTES),
            reserve: semaphore(max_bytes / 4, UNIT_BYTES),
            max_bytes,
            wait_max: WAIT_MAX,
            held_bytes,
            calls: Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// Begins a call, after waiting for its fixed charge. Fails when that takes too long.
    pub(crate) async fn begin(self: &Arc<Memory>) -> Result<Call, StoreError> {
        let mut permit = None;
        if self.max_bytes > 0 {
            let place = Arc::clone(&self.places).acquire_owned();
            // The semaphore is never closed.
            permit =
                tokio::time::timeout(self.wait_max, place).await.map_err(|_| self.exceeded(CALL_BYTES))?.ok();
        }
        let place = self.held(permit, CALL_BYTES);
        let mut calls = self.calls();
        calls.next += 1;
        let number = calls.next;
        calls.running.insert(number);
        Ok(Call { memory: Arc::clone(self), number: AtomicU64::new(number), _place: place })
    }

    /// Waits for memory of `bytes` bytes for what an open block keeps, of the half for what calls read. Fails when that takes too
    /// long, or at once when the limit can never allow it.
    pub(crate) async fn keep(&self, bytes: u64) -> Result<Charge, StoreError> {
        if self.max_bytes == 0 {
            return Ok(self.held(None, bytes));
        }
        let n = self.units(bytes)?;
        let permit = tokio::time::timeout(self.wait_max, Arc::clone(&self.reads).acquire_many_owned(n)).await;
        // The semaphore is never closed.
        Ok(self.held(permit.map_err(|_| self.exceeded(bytes))?.ok(), bytes))
    }

    /// The units of memory that `bytes` are, if the limit can ever allow so many.
    fn units(&self, bytes: u64) -> Result<u32, StoreError> {
        let units = bytes.div_ceil(UNIT_BYTES);
        let n = u32::try_from(units).ok().filter(|_| units <= self.max_bytes / 2 / UNIT_BYTES);
        n.ok_or_else(|| self.exceeded(bytes))
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exceeded(&self, bytes: u64) -> StoreError {
        let held = u64::try_from(self.held_bytes.get()).unwrap_or(0);
        StoreError::Limit { what: "memory", limit: self.max_bytes, got: held.saturating_add(bytes) }
    }

    fn held(&self, permit: Option<OwnedSemaphorePermit>, bytes: u64) -> Charge {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.held_bytes.inc_by(bytes);
        Charge { permit, bytes, held_bytes: self.held_bytes.clone() }
    }
}

impl Call {
    /// Waits for memory of `bytes` bytes for what the call reads. Fails when that takes too long, or at once when the
    /// limit can never allow it.
    pub(crate) async fn charge(&self, bytes: u64) -> Result<Charge, StoreError> {
        let memory = &self.memory;
        if memory.max_bytes == 0 {
            return Ok(memory.held(None, bytes));
        }
        let n = memory.units(bytes)?;
        let reserved = async {
            self.is_first().await;
            Arc::clone(&memory.reserve).acquire_many_owned(n).await
        };
        let permit = tokio::select! {
            biased;
            permit = Arc::clone(&memory.reads).acquire_many_owned(n) => permit,
            permit = reserved => permit,
            () = tokio::time::sleep(memory.wait_max) => return Err(memory.exceeded(bytes)),
        };
        // The semaphores are never closed.
        Ok(memory.held(permit.ok(), bytes))
    }

    /// Makes this call the last in the order, because its reader has stalled.
    pub(crate) fn step_back(&self) {
        let mut calls = self.memory.calls();
        calls.next += 1;
        let number = calls.next;
        calls.running.remove(&self.number.swap(number, Ordering::Relaxed));
        calls.running.insert(number);
        drop(calls);
        self.memory.ended.notify_waiters();
    }

    /// Waits until all calls that began earlier have ended.
    async fn is_first(&self) {
        loop {
            let ended = self.memory.ended.notified();
            let first = self.memory.calls().running.first().copied();
            if first == Some(self.number.load(Ordering::Relaxed)) {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.memory.calls().running.remove(&self.number.load(Ordering::Relaxed));
        self.memory.ended.notify_waiters();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.held_bytes.dec_by(self.bytes);
    }
}

impl Charge {
    /// Gives back what is charged beyond so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub_unsigned(bytes).max(0);
        if let Some(permit) = &mut self.permit {
            // Units are rounded up when they are taken, so that enough are left.
            drop(permit.split((less.unsigned_abs() / UNIT_BYTES) as usize));
        }
        self.held_bytes.dec_by(less);
        self.bytes -= less;
    }

    /// Returns the same bytes, which hold the charge until their last slice is dropped.
    pub(crate) fn put_on(self, fetched: Vec<Bytes>) -> Vec<Bytes> {
        let charge = Arc::new(self);
        let put_on = |bytes| Bytes::from_owner(Charged { bytes, _charge: Arc::clone(&charge) });
        fetched.into_iter().map(put_on).collect()
    }
}

/// Bytes that hold their charge.
struct Charged {
    bytes: Bytes,
    _charge: Arc<Charge>,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(max_bytes: u64) -> Arc<Memory> {
        let wait_max = Duration::from_millis(20);
        Arc::new(Memory { wait_max, ..Memory::new(max_bytes, Gauge::default()) })
    }

    #[tokio::test]
    async fn what_is_held_is_given_back() {
        let memory = memory(64 << 20);
        let (first, second) = (memory.begin().await.unwrap(), memory.begin().await.unwrap());
        let begun = 2 * CALL_BYTES as i64;
        assert_eq!(memory.held_bytes.get(), begun);
        let charge = second.charge(31 << 20).await.unwrap();
        let mut fetched = charge.put_on(vec![Bytes::from_static(b"abc"), Bytes::from_static(b"def")]);
        let slice = fetched.pop().unwrap().slice(1..2);
        drop(fetched);
        assert_eq!((memory.held_bytes.get(), &slice[..]), (begun + (31 << 20), b"e".as_slice()));
        let error = second.charge(2 << 20).await.unwrap_err();
        assert_eq!(error.to_string(), "exceeded memory limit: limit 67108864 violated (got 42991616)");
        // The call that began first may use the reserve.
        drop(first.charge(2 << 20).await.unwrap());
        let waiting = second.charge(32 << 20);
        let give_back = async {
            tokio::task::yield_now().await;
            drop(slice);
        };
        drop(futures::join!(waiting, give_back).0.unwrap());
        drop((first, second));
        assert_eq!(memory.held_bytes.get(), 0);
    }

    #[tokio::test]
    async fn a_part_is_given_back() {
        let memory = memory(64 << 20);
        let (first, second) = (memory.begin().await.unwrap(), memory.begin().await.unwrap());
        let begun = memory.held_bytes.get();
        let mut charge = second.charge((31 << 20) + 1).await.unwrap();
        assert!(second.charge(2 << 20).await.is_err());
        charge.shrink_to(1 << 20);
        assert_eq!(memory.held_bytes.get(), begun + (1 << 20));
        let other = second.charge(30 << 20).await.unwrap();
        charge.shrink_to(2 << 20);
        assert!(second.charge(1 << 20).await.is_err(), "nothing more is given back");
        drop((charge, other));
        drop(second.charge(32 << 20).await.unwrap());
        drop((first, second));
        assert_eq!(memory.held_bytes.get(), 0);
    }

    #[tokio::test]
    async fn what_open_blocks_keep_leaves_less_for_calls() {
        let memory = memory(64 << 20);
        let kept = memory.keep(20 << 20).await.unwrap();
        assert_eq!(memory.held_bytes.get(), 20 << 20);
        let (first, second) = (memory.begin().await.unwrap(), memory.begin().await.unwrap());
        assert!(second.charge(13 << 20).await.is_err());
        // The call that began first has its reserve nevertheless.
        drop(first.charge(13 << 20).await.unwrap());
        assert!(memory.keep(13 << 20).await.is_err() && memory.keep(33 << 20).await.is_err());
        drop(kept);
        assert!(second.charge(13 << 20).await.is_ok());
    }

    #[tokio::test]
    async fn the_next_becomes_the_first() {
        let memory = memory(64 << 20);
        let (first, second) = (memory.begin().await.unwrap(), memory.begin().await.unwrap());
        let all = first.charge(32 << 20).await.unwrap();
        let waiting = second.charge(1 << 20);
        let end = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        // The memory that the first call read is still held by its reader.
        assert!(futures::join!(waiting, end).0.is_ok());
        drop(all);
    }

    #[tokio::test]
    async fn more_than_there_is_fails_at_once_and_no_limit_is_none() {
        let small = memory(20 << 10);
        let call = small.begin().await.unwrap();
        assert!(call.charge(11 << 10).await.is_err() && call.charge(u64::MAX).await.is_err());
        // One call can begin under any limit.
        assert!(small.begin().await.is_err());
        drop(call);
        assert!(small.begin().await.is_ok());
        let none = memory(0);
        let call = none.begin().await.unwrap();
        let charge = call.charge(1 << 50).await.unwrap();
        assert_eq!(none.held_bytes.get(), (1 << 50) + CALL_BYTES as i64);
        drop((charge.put_on(vec![Bytes::from_static(b"x")]), call));
        assert_eq!(none.held_bytes.get(), 0);
    }
}
