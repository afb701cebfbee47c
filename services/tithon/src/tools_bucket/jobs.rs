//! `tithon tools bucket downsample` and `cleanup`: single jobs of the compactor.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use indicatif::ProgressBar;
use tithon_bucket::TransferOptions;
use tithon_compact::{Compactor, CompactorOptions, Report, Watched};
use tithon_engine::plan::RetentionPolicy;
use tithon_runtime::{Cpu, GrpcServices, Metrics, RequestLog, Shutdown};
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::bucket::open_bucket;
use crate::cli::{CleanupFlags, DeletionFlags, DownsampleBucketFlags};
use crate::compact::RETRY;
use crate::process::Process;

/// Downsamples until a signal comes, or once.
pub async fn downsample(flags: &DownsampleBucketFlags) -> Result<(), Box<dyn Error>> {
    let options = CompactorOptions {
        data_dir: flags.data_dir.clone(),
        scope: flags.scope.read(&[], Duration::ZERO)?,
        downsample_concurrency: flags.downsample_concurrency,
        transfer: TransferOptions {
            files_concurrency: flags.block_files_concurrency,
            hash: flags.hash_func == "SHA256",
            ..TransferOptions::default()
        },
        ..CompactorOptions::default()
    };
    let process = Process::start_http("downsample", &flags.http, RequestLog::default()).await?;
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    process.metrics.register(|registry| bucket.register_metrics(registry));
    let (metrics, shutdown) = (process.metrics.clone(), process.shutdown.clone());
    let compactor = Compactor::new(bucket, options, Cpu::new(0)?, &metrics, shutdown.clone(), true);
    let compactor = compactor.watched(bar());
    let runs = async {
        if flags.single_run {
            return finished(&compactor.downsample().await?);
        }
        let mut ticks = tokio::time::interval(flags.wait_interval.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match compactor.downsample().await {
                Ok(report) => {
                    info!(downsampled = report.downsampled, faults = report.faults.len(), "run done");
                }
                Err(error) => warn!(error = %error, "run failed, the next one tries again"),
            }
        }
    };
    let work = async {
        tokio::select! {
            result = runs => result,
            // What is cut short leaves the bucket as a crash would: consistent.
            () = shutdown.wait() => Ok(()),
        }
    };
    process.serve_during(Router::new(), GrpcServices::default(), work).await?
}

/// Deletes partial uploads and marked blocks, once.
pub async fn clean_up(flags: &CleanupFlags) -> Result<(), Box<dyn Error>> {
    // No block is written.
    let scratch = std::env::temp_dir();
    finished(&compactor(&flags.common, RetentionPolicy::default(), scratch).await?.clean().await?)
}

/// A compactor for one job, which shows a bar at a terminal.
pub(super) async fn compactor(
    flags: &DeletionFlags,
    policy: RetentionPolicy,
    data_dir: PathBuf,
) -> Result<Compactor, Box<dyn Error>> {
    let options = CompactorOptions {
        data_dir,
        scope: flags.scope.read(&[], flags.consistency_delay)?,
        delete_delay: flags.delete_delay,
        meta_concurrency: flags.block_sync_concurrency,
        policy,
        ..CompactorOptions::default()
    };
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
    let compactor = Compactor::new(bucket, options, Cpu::new(0)?, &metrics, Shutdown::default(), true);
    Ok(compactor.watched(bar()))
}

/// A bar of the pieces of work, hidden by itself where standard error is no terminal.
fn bar() -> impl Fn(Watched) + Send + Sync + 'static {
    let bar = ProgressBar::new(0);
    move |watched| match watched {
        Watched::More(n) if bar.is_finished() => {
            bar.reset();
            bar.set_length(n as u64);
        }
        Watched::More(n) => bar.inc_length(n as u64),
        Watched::Done => {
            bar.inc(1);
            if bar.length().is_none_or(|n| bar.position() >= n) {
                bar.finish_and_clear();
            }
        }
    }
}

/// Tells what was done; an error when something is left undone.
pub(super) fn finished(report: &Report) -> Result<(), Box<dyn Error>> {
    let Report { downsampled, rewritten, marked_for_deletion, deleted, faults, .. } = report;
    info!(downsampled, rewritten, marked_for_deletion, deleted, faults = faults.len(), "done");
    match faults.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} faults, first: {}", faults.len(), first.what).into()),
    }
}
