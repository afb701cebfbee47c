//! Supervises the loops that a process needs: syncs, compaction, endpoint checks, cleaning.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::error;

use crate::{Probes, RuntimeError, Shutdown};

/// Supervises loops that must run until the shutdown. When one panics or ends early, the process becomes unready and
/// shuts down, and [`Supervisor::failure`] returns the reason. Clones share everything.
#[derive(Clone)]
pub struct Supervisor {
    probes: Probes,
    shutdown: Shutdown,
    failure: Arc<Mutex<Option<RuntimeError>>>,
}

impl Supervisor {
    /// A supervisor without loops.
    pub fn new(probes: Probes, shutdown: Shutdown) -> Supervisor {
        Supervisor { probes, shutdown, failure: Arc::default() }
    }

    /// Starts a loop; `name` appears in the error if it dies. Must be called inside a tokio runtime.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(work);
        let supervisor = self.clone();
        tokio::spawn(async move {
            let reason = match task.await {
                Ok(()) if supervisor.shutdown.is_triggered() => return,
                Ok(()) => "it ended by itself".to_owned(),
                // The panic's message was printed when it occurred.
                Err(error) => error.to_string(),
            };
            supervisor.fail(RuntimeError::LoopDied { name, reason });
        });
    }

    fn fail(&self, failure: RuntimeError) {
        error!(error = %failure, "the process stops because of a failure");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.probes.set_ready(false);
        self.shutdown.trigger();
    }

    /// The first failure of a loop; `None` while all loops run.
    pub fn failure(&self) -> Option<RuntimeError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervisor() -> Supervisor {
        let supervisor = Supervisor::new(Probes::default(), Shutdown::default());
        supervisor.probes.set_ready(true);
        supervisor
    }

    #[tokio::test]
    async fn a_panic_makes_the_process_unready_and_stops_it() {
        let supervisor = supervisor();
        supervisor.spawn("sync", async { panic!("boom") });
        supervisor.shutdown.wait().await;
        assert!(!supervisor.probes.is_ready());
        let text = supervisor.failure().unwrap().to_string();
        assert!(text.starts_with("the sync loop died: ") && text.contains("boom"), "{text}");
    }

    #[tokio::test]
    async fn a_loop_that_ends_early_counts_too() {
        let supervisor = supervisor();
        supervisor.spawn("endpoints", async {});
        supervisor.shutdown.wait().await;
        assert_eq!(supervisor.failure().unwrap().to_string(), "the endpoints loop died: it ended by itself");
    }

    #[tokio::test]
    async fn ends_at_the_shutdown_are_no_failures() {
        let supervisor = supervisor();
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let shutdown = supervisor.shutdown.clone();
        supervisor.spawn("sync", async move {
            shutdown.wait().await;
            drop(ended);
        });
        supervisor.shutdown.trigger();
        // The loop has ended when its side of the channel is dropped.
        assert!(end.await.is_err());
        tokio::task::yield_now().await;
        assert!(supervisor.failure().is_none());
    }
}
