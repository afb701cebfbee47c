//! `tithon compact`: the compactor as a process.

mod flags;

use std::error::Error;
use std::time::Duration;

use tithon_bucket::{Bucket, Retry, TransferOptions};
use tithon_compact::{Compactor, CompactorOptions, Leases, RunOptions, router, run as run_compactor};
use tithon_engine::dedup::Algorithm;
use tithon_engine::plan::{LEVELS_MS, Retention};
use tithon_runtime::{Cpu, GrpcServices, RequestLog, now_ms};
use tracing::{error, info};

pub use self::flags::CompactorFlags;
use crate::blocks_page;
use crate::bucket::bucket_config;
use crate::flags::{PolicyError, ScopeError, UsageError, read_policy};
use crate::machine::host_name;
use crate::prefix;
use crate::process::Process;

/// Retries of failed requests: five attempts within some seven seconds.
pub const RETRY: Retry = Retry { attempts: 5, first_pause: Duration::from_millis(500) };

/// Shortest lease: renewing it takes requests to the bucket.
const LEASE_DURATION_MIN: Duration = Duration::from_secs(1);

/// Why the compactor ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum CompactProcessError {
    /// Flags that choose blocks are invalid.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Flags contradict each other.
    #[error("{0}")]
    Flags(String),
    /// Some work could not be done.
    #[error("{0} faults, some of which another run may mend")]
    Unfinished(usize),
    /// A fault, with `--compact.halt-on-error`.
    #[error("halted after a fault: {0}")]
    Halted(String),
}

/// Runs one iteration or, with `--wait`, runs until a signal comes.
pub async fn run(flags: &CompactorFlags) -> Result<(), Box<dyn Error>> {
    let options = options(flags).map_err(UsageError::of)?;
    let config = bucket_config(&flags.bucket).map_err(UsageError::of)?;
    let process = Process::start_http("compact", &flags.http, RequestLog::default()).await?;
    let Some(bucket) = process.unless_stopped(Bucket::connect(&config)).await else {
        return Ok(process.stop().await?);
    };
    let bucket = bucket?.with_retry(RETRY);
    process.metrics.register(|registry| bucket.register_metrics(registry));
    let cpu = Cpu::new(0)?;
    let (metrics, shutdown) = (process.metrics.clone(), process.shutdown.clone());
    let mut compactor = Compactor::new(bucket, options, cpu, &metrics, shutdown.clone(), true);
    if flags.lease {
        compactor = compactor.with_leases(Leases::new(lease_holder(), flags.lease_duration, now_ms));
    }
    let pages = match flags.wait && !flags.web.disable {
        true => pages(
            compactor.clone(),
            &flags.web.label,
            !flags.disable_admin_operations,
            !flags.web.disable_cors,
            &flags.web_route_prefix,
        ),
        false => axum::Router::new(),
    };
    let running = run_compactor(&compactor, run_options(flags), shutdown);
    let report = process.serve_during(pages, GrpcServices::default(), running).await??;
    for fault in &report.faults {
        let block = fault.block.map(|block| block.to_string()).unwrap_or_default();
        info!(block, marked = fault.marked, unfinished = fault.unfinished, what = fault.what, "fault");
    }
    info!(
        compacted = report.compacted,
        downsampled = report.downsampled,
        marked_for_deletion = report.marked_for_deletion,
        deleted = report.deleted,
        faults = report.faults.len(),
        "done"
    );
    match report.faults.first() {
        Some(fault) if flags.halt_on_error => Err(CompactProcessError::Halted(fault.what.clone()).into()),
        Some(_) if report.is_unfinished() => {
            error!("something is left undone");
            Err(CompactProcessError::Unfinished(report.faults.len()).into())
        }
        _ => Ok(()),
    }
}

/// A unique name of this process: the host's name and a random number.
fn lease_holder() -> String {
    format!("{}-{:016x}", host_name(), rand::random::<u64>())
}

/// The web API and its page, below the route prefix; the root redirects to the page.
pub fn pages(compactor: Compactor, label: &str, admin: bool, cors: bool, route_prefix: &str) -> axum::Router {
    let pages = router(compactor, label, admin, cors).merge(blocks_page::of_compactor());
    prefix::below(route_prefix, pages, "blocks")
}

fn run_options(flags: &CompactorFlags) -> RunOptions {
    RunOptions {
        wait: flags.wait,
        wait_interval: flags.wait_interval,
        cleanup_interval: flags.cleanup_interval,
        progress_interval: flags.progress_interval,
        global_interval: match flags.web.disable {
            true => Duration::ZERO,
            false => flags.global_sync_interval,
        },
        global_timeout: flags.global_sync_timeout,
        stay_halted: flags.debug_halt_on_error,
    }
}

/// The compactor's options, checked as in Thanos.
fn options(flags: &CompactorFlags) -> Result<CompactorOptions, CompactProcessError> {
    let refuse = |text: &str| Err(CompactProcessError::Flags(text.to_owned()));
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let defaults = CompactorOptions::default();
    let retention = Retention {
        of_raw_blocks_ms: ms(flags.retention_raw),
        of_5m_blocks_ms: ms(flags.retention_5m),
        of_1h_blocks_ms: ms(flags.retention_1h),
    };
    if !flags.downsampling_disable {
        if retention.of_raw_blocks_ms != 0 && retention.of_raw_blocks_ms < defaults.spans.raw_min_ms {
            return refuse(
                "--retention.resolution-raw must be 40h at least, so that blocks can be downsampled",
            );
        }
        if retention.of_5m_blocks_ms != 0 && retention.of_5m_blocks_ms < defaults.spans.five_minutes_min_ms {
            return refuse(
                "--retention.resolution-5m must be 10d at least, so that blocks can be downsampled",
            );
        }
    }
    let policy = read_policy("compact.policy", &flags.policy_file, &flags.policy, retention)?;
    let mut replica_labels: Vec<String> = flags
        .replica_label
        .iter()
        .flat_map(|list| list.split(','))
        .map(|label| label.trim().to_owned())
        .collect();
    replica_labels.retain(|label| !label.is_empty());
    replica_labels.sort();
    replica_labels.dedup();
    if flags.lease && flags.lease_duration < LEASE_DURATION_MIN {
        return refuse("--compact.lease-duration must be 1s at least");
    }
    let overlap = flags.deduplication;
    if overlap == Algorithm::Penalty && replica_labels.is_empty() {
        return refuse("--deduplication.func=penalty needs --deduplication.replica-label");
    }
    Ok(CompactorOptions {
        data_dir: flags.data_dir.clone(),
        levels_ms: LEVELS_MS[..=flags.max_compaction_level.min(LEVELS_MS.len() - 1)].to_vec(),
        downsampling: !flags.downsampling_disable,
        scope: flags.scope.read(&flags.replica_label, flags.consistency_delay)?,
        delete_delay: flags.delete_delay,
        policy,
        vertical: flags.enable_vertical_compaction || !replica_labels.is_empty(),
        replica_labels,
        overlap,
        concurrency: flags.concurrency,
        downsample_concurrency: flags.downsample_concurrency,
        fetch_concurrency: flags.blocks_fetch_concurrency,
        meta_concurrency: flags.meta_fetch_concurrency,
        transfer: TransferOptions {
            files_concurrency: flags.block_files_concurrency,
            hash: flags.hash_func == "SHA256",
            ..TransferOptions::default()
        },
        index_bytes_max: flags.block_max_index_size,
        split_shards: flags.split_shards,
        verify: flags.verify,
        accept_malformed_index: flags.accept_malformed_index,
        halt_on_error: flags.halt_on_error,
        streaming: flags.streaming,
        upkeep_interval: match flags.cleanup_interval {
            Duration::ZERO => defaults.upkeep_interval,
            interval => interval,
        },
        ..defaults
    })
}
