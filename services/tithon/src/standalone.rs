//! `tithon standalone`: store, query and compactor in one process on one bucket.

mod compaction;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tithon_bucket::{Bucket, BucketConfig};
use tithon_query::{QueryOptions, QueryService, router};
use tithon_runtime::{Cpu, RequestLog, now_ms};
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::StoreApiServer;
use tracing::info;

use crate::blocks_page;
use crate::bucket::bucket_config;
use crate::cli::StandaloneFlags;
use crate::demo;
use crate::flags::UsageError;
use crate::process::Process;
use crate::query::answer_options;
use crate::store::keep_synced;

/// Why the folders or flags cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    /// The data directory cannot be created or read.
    #[error("--data-dir: {path}: {source}")]
    DataDir {
        /// Path of the folder.
        path: PathBuf,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// Demo data can only be written to the embedded bucket.
    #[error("--demo fills the embedded bucket: leave out --objstore.config")]
    DemoElsewhere,
}

/// Runs until a signal comes.
pub async fn run(flags: &StandaloneFlags) -> Result<(), Box<dyn Error>> {
    let bucket = wanted(flags).map_err(UsageError::of)?;
    let process = Process::start("standalone", &flags.server, RequestLog::default()).await?;
    let open = async {
        let bucket = open(bucket, flags).await?;
        process.metrics.register(|registry| bucket.register_metrics(registry));
        let options = StoreOptions { sync_interval: flags.sync_block_duration, ..StoreOptions::default() };
        let cpu = Cpu::new(0)?;
        let store = Store::open(bucket.clone(), options, cpu.clone(), &process.metrics).await?;
        Ok::<_, Box<dyn Error>>((bucket, store, cpu))
    };
    let Some(opened) = process.unless_stopped(open).await else { return Ok(process.stop().await?) };
    let (bucket, store, cpu) = opened?;
    keep_synced(&process, &store);
    let compactor = compaction::start(flags, bucket, &cpu, &process, &store);
    info!(blocks = store.n_blocks(), url = format!("http://{}", flags.server.http.http_address), "serving");
    let store = Arc::new(store);
    let service = QueryService::new(options(flags), vec![store.clone()], cpu.clone(), &process.metrics);
    let mut pages = router(service);
    if let Some(compactor) = compactor {
        pages = pages.merge(tithon_compact::router(compactor, "", true, true)).merge(blocks_page::lists());
    }
    let services = StoreApiServer::new(store, cpu, process.probes.clone()).services();
    if flags.demo {
        demo::show_the_way(&flags.server.http.http_address.to_string());
    }
    Ok(process.serve(pages, services).await?)
}

/// The options of queries. The demo's replicas differ in a label of its own, which is the replica label unless others
/// are given.
fn options(flags: &StandaloneFlags) -> QueryOptions {
    let mut options = answer_options(&flags.answers);
    if flags.demo && options.replica_labels.is_empty() {
        options.replica_labels.push("replica".into());
    }
    options
}

/// The bucket that the flags choose.
enum Wanted {
    /// The configured bucket.
    Named(BucketConfig),
    /// The bucket in the data directory.
    Embedded,
}

fn wanted(flags: &StandaloneFlags) -> Result<Wanted, Box<dyn Error + Send + Sync>> {
    if flags.bucket.is_given() {
        let config = bucket_config(&flags.bucket)?;
        return if flags.demo {
            Err(StandaloneError::DemoElsewhere.into())
        } else {
            Ok(Wanted::Named(config))
        };
    }
    Ok(match &flags.bucket_dir {
        Some(dir) => Wanted::Named(BucketConfig::filesystem(dir.clone())),
        None => Wanted::Embedded,
    })
}

/// Opens the bucket. The embedded one is created, and filled if the demo is asked for.
async fn open(wanted: Wanted, flags: &StandaloneFlags) -> Result<Bucket, Box<dyn Error>> {
    let config = match wanted {
        Wanted::Named(config) => config,
        Wanted::Embedded => BucketConfig::filesystem(embedded(flags).await?),
    };
    Ok(Bucket::connect(&config).await?)
}

async fn embedded(flags: &StandaloneFlags) -> Result<PathBuf, Box<dyn Error>> {
    let dir = flags.data_dir.join("bucket");
    let failed = |source| StandaloneError::DataDir { path: dir.clone(), source };
    std::fs::create_dir_all(&dir).map_err(failed)?;
    if flags.demo && is_empty(&dir).map_err(failed)? {
        let (target, hours) = (dir.clone(), flags.demo_hours);
        // The demo does not support times before 1970.
        let end = flags.demo_end.at_ms(now_ms()).max(0);
        // The demo is written to a temporary folder and renamed, so that an interrupted demo leaves an empty bucket.
        let filling = flags.data_dir.join("bucket.tmp-demo");
        if filling.exists() {
            std::fs::remove_dir_all(&filling).map_err(failed)?;
        }
        std::fs::create_dir(&filling).map_err(failed)?;
        let folder = filling.clone();
        let filled = tokio::task::spawn_blocking(move || demo::fill(&folder, end, hours)).await;
        filled.map_err(|e| format!("demo data: {e}"))?.map_err(|e| format!("demo data: {e}"))?;
        std::fs::remove_dir(&target).and_then(|()| std::fs::rename(&filling, &target)).map_err(failed)?;
    }
    Ok(dir)
}

fn is_empty(dir: &Path) -> std::io::Result<bool> {
    Ok(std::fs::read_dir(dir)?.next().is_none())
}
