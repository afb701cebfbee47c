//! `tithon tools bucket downsample`, `cleanup` and `retention`: single jobs of the compactor.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use tithon_bucket::TransferOptions;
use tithon_compact::{Compactor, CompactorOptions, Report};
use tithon_engine::plan::{Retention, RetentionPolicy};
use tithon_runtime::{Cpu, GrpcServices, Metrics, RequestLog, Shutdown};
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::bucket::open_bucket;
use crate::cli::{CleanupFlags, DeletionFlags, DownsampleBucketFlags, RetentionFlags};
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
    finished(&compactor(&flags.common, Retention::default()).await?.clean().await?)
}

/// Marks what is past its retention, once.
pub async fn retain(flags: &RetentionFlags) -> Result<(), Box<dyn Error>> {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let retention = Retention {
        of_raw_blocks_ms: ms(flags.raw),
        of_5m_blocks_ms: ms(flags.five_minutes),
        of_1h_blocks_ms: ms(flags.one_hour),
    };
    warn!("no compactor should be running on the same bucket");
    finished(&compactor(&flags.common, retention).await?.expire().await?)
}

async fn compactor(flags: &DeletionFlags, retention: Retention) -> Result<Compactor, Box<dyn Error>> {
    let options = CompactorOptions {
        scope: flags.scope.read(&[], flags.consistency_delay)?,
        delete_delay: flags.delete_delay,
        meta_concurrency: flags.block_sync_concurrency,
        policy: RetentionPolicy::plain(retention),
        ..CompactorOptions::default()
    };
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
    Ok(Compactor::new(bucket, options, Cpu::new(0)?, &metrics, Shutdown::default(), true))
}

/// Tells what was done; an error when something is left undone.
fn finished(report: &Report) -> Result<(), Box<dyn Error>> {
    let Report { downsampled, marked_for_deletion, deleted, faults, .. } = report;
    info!(downsampled, marked_for_deletion, deleted, faults = faults.len(), "done");
    match faults.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} faults, first: {}", faults.len(), first.what).into()),
    }
}
