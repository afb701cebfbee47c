//! `tithon store`: the StoreAPI over a bucket.

use std::error::Error;
use std::sync::Arc;

use tithon_chunks::TimeRange;
use tithon_runtime::Cpu;
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::StoreApiServer;

use crate::bucket::open_bucket;
use crate::cli::StoreFlags;
use crate::process::Process;

/// Runs until a signal comes.
pub async fn run(flags: &StoreFlags) -> Result<(), Box<dyn Error>> {
    let process = Process::start("store", &flags.server).await?;
    let mut bucket = open_bucket(&flags.bucket)?;
    if flags.cache_index_header {
        bucket = bucket.with_headers(flags.data_dir.clone())?;
    }
    process.metrics.register(|registry| bucket.register_metrics(registry));
    let cpu = Cpu::new(0)?;
    let store = Store::open(bucket, options(flags), cpu.clone(), &process.metrics).await?;
    keep_synced(&process, &store);
    let pages = store.router();
    let services = StoreApiServer::new(Arc::new(store), cpu, process.probes.clone()).services();
    Ok(process.serve(pages, services).await?)
}

/// Starts the loop that follows the changes of the bucket.
pub fn keep_synced(process: &Process, store: &Store) {
    let (store, shutdown) = (store.clone(), process.shutdown.clone());
    process.supervisor.spawn("sync", async move { store.keep_synced(shutdown).await });
}

fn options(flags: &StoreFlags) -> StoreOptions {
    StoreOptions {
        time: TimeRange::ALL,
        ignore_deletion_marks_delay: flags.ignore_deletion_marks_delay,
        sync_interval: flags.sync_block_duration,
        idle_timeout: flags.idle_timeout,
        series_max_concurrency: flags.series_max_concurrency,
        request_series_max: flags.request_series,
        request_samples_max: flags.request_samples,
        stalled_reader_timeout: flags.stalled_reader_timeout,
    }
}
