//! The life of a compactor: one iteration, or one after another until the shutdown. Thanos `cmd/thanos/compact.go`.

use std::time::Duration;

use tithon_runtime::Shutdown;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use crate::{CompactError, Compactor, Report};

/// How a compactor is kept running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Whether to go on after the first iteration.
    pub wait: bool,
    /// Interval between the starts of two iterations.
    pub wait_interval: Duration,
    /// Interval between searches for partial uploads; 0 is never.
    pub cleanup_interval: Duration,
    /// Interval between measurements of progress; 0 is never.
    pub progress_interval: Duration,
    /// Interval between refreshes of the view of the whole bucket; 0 is never.
    pub global_interval: Duration,
    /// The longest a refresh may take.
    pub global_timeout: Duration,
    /// Whether a halted compactor stays to show why, rather than end.
    pub stay_halted: bool,
}

/// Runs iterations. Without `wait` the report of the only one is the answer; with it, the report of the last, once the
/// shutdown comes, which cuts short what is under way. An iteration that fails is tried again with the next.
pub async fn run(
    compactor: &Compactor,
    options: RunOptions,
    shutdown: Shutdown,
) -> Result<Report, CompactError> {
    if !options.wait {
        return tokio::select! {
            result = compactor.iterate() => result,
            () = shutdown.wait() => Ok(Report::default()),
        };
    }
    tokio::select! {
        result = iterations(compactor, options, &shutdown) => result,
        () = every(options.cleanup_interval, || clean_up(compactor)) => Ok(Report::default()),
        () = every(options.progress_interval, || progress(compactor)) => Ok(Report::default()),
        () = every(options.global_interval, || global(compactor, options)) => Ok(Report::default()),
    }
}

async fn iterations(
    compactor: &Compactor,
    options: RunOptions,
    shutdown: &Shutdown,
) -> Result<Report, CompactError> {
    let mut ticks = tokio::time::interval(options.wait_interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Report::default();
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(last),
            _ = ticks.tick() => {}
        }
        let metrics = &compactor.inner.metrics;
        // An iteration that is cut short leaves the bucket as a crash would: consistent; the next run goes on from there.
        let result = tokio::select! {
            result = compactor.iterate() => result,
            () = shutdown.wait() => return Ok(last),
        };
        match result {
            Ok(report) => {
                let halts = compactor.inner.options.halt_on_error && !report.faults.is_empty();
                if report.is_unfinished() {
                    metrics.retries.inc()
                } else {
                    metrics.iterations.inc()
                };
                let faults = report.faults.len();
                let Report { compacted, downsampled, marked_for_deletion, deleted, .. } = report;
                info!(compacted, downsampled, marked_for_deletion, deleted, faults, "iteration done");
                last = report;
                if halts {
                    metrics.halted.set(1);
                    error!("halted after a fault, as --compact.halt-on-error asks for");
                    if options.stay_halted {
                        shutdown.wait().await;
                    }
                    return Ok(last);
                }
            }
            Err(error) => {
                metrics.retries.inc();
                warn!(kind = ?error.kind(), error = %error, "iteration failed, the next one tries again");
            }
        }
    }
}

/// Calls `act` once an interval, for ever; an interval of 0 is never.
async fn every<F: Future<Output = ()>>(interval: Duration, act: impl Fn() -> F) {
    if interval.is_zero() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        act().await;
    }
}

async fn clean_up(compactor: &Compactor) {
    if let Err(error) = compactor.clean_up().await {
        warn!(error = %error, "partial uploads cannot be looked for");
    }
}

async fn progress(compactor: &Compactor) {
    if let Err(error) = compactor.measure_progress().await {
        warn!(error = %error, "progress cannot be measured");
    }
}

async fn global(compactor: &Compactor, options: RunOptions) {
    if tokio::time::timeout(options.global_timeout, compactor.look_globally()).await.is_err() {
        warn!("the view of the whole bucket was not refreshed in time");
    }
}
