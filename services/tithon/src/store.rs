//! `tithon store`: the StoreAPI over a bucket.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use tithon_bucket::Bucket;
use tithon_query::{PartEvaluator, PartLimits};
use tithon_runtime::Cpu;
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::{PartsServer, StoreApiServer};
use tracing::info;

use crate::blocks_page;
use crate::bucket::bucket_config;
use crate::cli::StoreFlags;
use crate::flags::{ScopeError, UsageError};
use crate::machine;
use crate::process::Process;

/// Runs until a signal comes.
pub async fn run(flags: &StoreFlags) -> Result<(), Box<dyn Error>> {
    let options = options(flags).map_err(UsageError::of)?;
    let caches = flags.caches.read(flags.index_cache_size).map_err(UsageError::of)?;
    let config = bucket_config(&flags.bucket).map_err(UsageError::of)?;
    let log = flags.request_logging.read().map_err(UsageError::of)?;
    let process = Process::start("store", &flags.server, log).await?;
    let open = async {
        let mut bucket = Bucket::connect(&config).await?;
        if flags.cache_index_header {
            bucket = bucket.with_headers(flags.data_dir.clone())?;
        }
        let bucket = caches.put_before(bucket, &process.metrics)?;
        process.metrics.register(|registry| bucket.register_metrics(registry));
        let cpu = Cpu::new(0)?;
        let name = bucket.name().to_owned();
        let store = Store::open(bucket, options, cpu.clone(), &process.metrics).await?;
        info!(bucket = name, blocks = store.n_blocks(), "serving the blocks of a bucket");
        Ok::<_, Box<dyn Error>>((store, cpu))
    };
    let Some(opened) = process.unless_stopped(open).await else { return Ok(process.stop().await?) };
    let (store, cpu) = opened?;
    keep_synced(&process, &store);
    let pages = match flags.web.disable {
        true => Router::new(),
        false => store.router(&flags.web.label, !flags.web.disable_cors).merge(blocks_page::of_store()),
    };
    let store = Arc::new(store);
    let server = StoreApiServer::new(store.clone(), cpu.clone(), process.probes.clone());
    let services = if flags.pushdown {
        let parts = PartEvaluator::new(store, part_limits(flags), cpu, &process.metrics);
        PartsServer::new(move |request| parts.evaluate(request)).and(server.with_parts().services())
    } else {
        server.services()
    };
    Ok(process.serve(pages, services).await?)
}

/// Starts the loop that syncs with the bucket.
pub fn keep_synced(process: &Process, store: &Store) {
    let (store, shutdown) = (store.clone(), process.shutdown.clone());
    process.supervisor.spawn("sync", async move { store.keep_synced(shutdown).await });
}

fn part_limits(flags: &StoreFlags) -> PartLimits {
    PartLimits {
        concurrent: flags.series_max_concurrency,
        bytes: match flags.pushdown_memory_limit {
            0 => machine::usable_bytes().map_or(0, |bytes| bytes / 4),
            bytes => bytes,
        },
    }
}

fn options(flags: &StoreFlags) -> Result<StoreOptions, ScopeError> {
    Ok(StoreOptions {
        scope: flags.scope.read(&[], flags.consistency_delay)?,
        ignore_deletion_marks_delay: flags.ignore_deletion_marks_delay,
        sync_interval: flags.sync_block_duration,
        meta_concurrency: flags.meta_concurrency,
        block_concurrency: flags.block_concurrency,
        idle_timeout: flags.idle_timeout,
        series_max_concurrency: flags.series_max_concurrency,
        request_series_max: flags.request_series,
        request_samples_max: flags.request_samples,
        downloaded_bytes_max: flags.downloaded_bytes,
        memory_max: flags.memory_limit,
        index_cache_bytes: usize::try_from(flags.index_cache_size).unwrap_or(usize::MAX),
        stalled_reader_timeout: flags.stalled_reader_timeout,
    })
}
