//! One request being answered: its place at the gate, its timeout and its memory budget.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tithon_promql::{Budget, Charge, Watch};
use tithon_runtime::Priority;
use tokio::sync::Notify;
use tracing::{Instrument, info_span};

use crate::QueryService;
use crate::api::Call;
use crate::error::ApiError;

/// The flag that sets the memory budget of one query.
const QUERY_FLAG: &str = "--query.max-bytes";

/// The state that the parts of a request share.
pub(crate) struct Job {
    budget: Arc<Budget>,
    cancelled: AtomicBool,
    /// Charges that are held until the request ends.
    held: Mutex<Charge>,
    /// Bytes that stores have sent so far.
    received: AtomicU64,
    has_much: Notify,
}

/// Number of received bytes from which on evaluation begins while more is on its way; smaller in tests, whose answers
/// are small.
const MUCH_BYTES: u64 = if cfg!(debug_assertions) { 1 << 10 } else { 2 << 20 };

impl Job {
    /// The budget and the cancellation flag, for long work to check.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch { budget: &self.budget, cancelled: &self.cancelled }
    }

    /// Whether the caller has gone, so that work can stop.
    pub(crate) fn cancelled(&self) -> &AtomicBool {
        &self.cancelled
    }

    /// An empty charge on the request's budget.
    pub(crate) fn charge(&self) -> Charge {
        self.budget.empty_charge()
    }

    /// Counts bytes that a store has sent.
    pub(crate) fn received(&self, bytes: u64) {
        let before = self.received.fetch_add(bytes, Ordering::Relaxed);
        if before < MUCH_BYTES && before + bytes >= MUCH_BYTES {
            self.has_much.notify_one();
        }
    }

    /// Bytes that stores have sent so far.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until stores have sent so much that evaluation may begin.
    pub(crate) async fn has_much(&self) {
        if self.received.load(Ordering::Relaxed) < MUCH_BYTES {
            self.has_much.notified().await;
        }
    }

    /// Holds a charge until the request ends.
    pub(crate) fn keep(&self, charge: Charge) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).absorb(charge);
    }
}

/// Cancels the work of a request when it is dropped, so that work stops once the caller has gone.
pub(crate) struct StopOnDrop(Arc<Job>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }
}

impl QueryService {
    /// Begins a request; its work is cancelled when the guard is dropped.
    pub(crate) fn begin(&self) -> (Arc<Job>, StopOnDrop) {
        let budget = self.inner.memory.inside(self.inner.options.max_bytes, QUERY_FLAG);
        let held = Mutex::new(budget.empty_charge());
        let job = Arc::new(Job {
            budget,
            cancelled: AtomicBool::new(false),
            held,
            received: AtomicU64::new(0),
            has_much: Notify::new(),
        });
        let stop = StopOnDrop(Arc::clone(&job));
        (job, stop)
    }

    /// Does a request's work once it has passed the gate. Fails when the timeout, which includes the wait at the gate,
    /// is over.
    pub(crate) async fn admitted<T>(
        &self,
        timeout: Duration,
        work: impl AsyncFnOnce(Arc<Job>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let (job, _stop) = self.begin();
        let in_turn = async {
            let begun = Instant::now();
            let waiting = self.inner.gate.acquire().instrument(info_span!("query_gate"));
            let _permit = waiting.await.map_err(|e| ApiError::execution(e.to_string()))?;
            self.inner.metrics.waited(begun.elapsed());
            work(job).await
        };
        let timed_out = || ApiError::timeout("query timed out in expression evaluation");
        tokio::time::timeout(timeout, in_turn).await.unwrap_or_else(|_| Err(timed_out()))
    }

    /// Runs work on the CPU pool for queries.
    pub(crate) async fn on_pool<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let done = self.inner.cpu.run(Priority::Query, work).await;
        done.unwrap_or_else(|error| Err(ApiError::execution(format!("unexpected error: {error}"))))
    }

    /// The timeout of a call: what its `timeout` asks for, at most the configured one. A value that is no duration or
    /// is too short is refused later, when the parameters are read.
    pub(crate) fn timeout_of(&self, call: &Call) -> Duration {
        let longest = self.inner.options.timeout;
        let asked = crate::params::parse_duration(call.params.get("timeout")).ok();
        let asked = asked.and_then(|d| u64::try_from(d.0).ok()).map(Duration::from_nanos);
        asked.filter(|asked| *asked >= Duration::from_micros(1)).map_or(longest, |asked| asked.min(longest))
    }
}
