//! The compactor inside `tithon standalone`: it runs in the background, and the store syncs after each iteration.

use std::time::Duration;

use tithon_bucket::Bucket;
use tithon_compact::{Compactor, CompactorOptions, RunOptions, run};
use tithon_engine::plan::{DownsampleSpans, LEVELS_MS};
use tithon_runtime::Cpu;
use tithon_store::Store;
use tracing::{error, warn};

use crate::cli::StandaloneFlags;
use crate::compact::RETRY;
use crate::process::Process;

/// Starts the compactor if the flags ask for it.
pub fn start(
    flags: &StandaloneFlags,
    bucket: Bucket,
    cpu: &Cpu,
    process: &Process,
    store: &Store,
) -> Option<Compactor> {
    if !is_wanted(flags) {
        return None;
    }
    let shutdown = process.shutdown.clone();
    let bucket = bucket.with_retry(RETRY);
    let compactor =
        Compactor::new(bucket, options(flags), cpu.clone(), &process.metrics, shutdown.clone(), false);
    let run_options = RunOptions {
        wait: true,
        wait_interval: flags.wait_interval,
        cleanup_interval: Duration::from_secs(5 * 60),
        progress_interval: Duration::from_secs(5 * 60),
        global_interval: Duration::from_secs(60),
        global_timeout: Duration::from_secs(5 * 60),
        stay_halted: false,
    };
    let mut iterations = compactor.iterations();
    let (running, store) = (compactor.clone(), store.clone());
    process.supervisor.spawn("compaction", async move {
        let refresh = async {
            while iterations.changed().await.is_ok() {
                if let Err(error) = store.sync().await {
                    warn!(error = %error, "sync after a compaction failed");
                }
            }
        };
        tokio::select! {
            result = run(&running, run_options, shutdown) => {
                if let Err(error) = result {
                    error!(error = %error, "the compactor ended");
                }
            }
            () = refresh => {}
        }
    });
    Some(compactor)
}

/// Whether to compact: never a folder given by --bucket-dir, and a configured bucket only if --compact is given.
fn is_wanted(flags: &StandaloneFlags) -> bool {
    let elsewhere = !flags.bucket.config.0.is_empty() || !flags.bucket.config_file.is_empty();
    flags.bucket_dir.is_none() && flags.compact.unwrap_or(!elsewhere)
}

fn options(flags: &StandaloneFlags) -> CompactorOptions {
    let divisor = if flags.demo { i64::from(flags.demo_range_divisor) } else { 1 };
    let spans = DownsampleSpans::default();
    CompactorOptions {
        data_dir: flags.data_dir.join("compactor"),
        levels_ms: LEVELS_MS.iter().map(|level| level / divisor).collect(),
        spans: DownsampleSpans {
            raw_min_ms: spans.raw_min_ms / divisor,
            five_minutes_min_ms: spans.five_minutes_min_ms / divisor,
        },
        ..CompactorOptions::default()
    }
}
