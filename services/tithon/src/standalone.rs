//! `tithon standalone`: store, query and compactor in one process on one bucket.

mod compaction;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tithon_bucket::{Bucket, BucketConfig};
use tithon_chunks::TimeRange;
use tithon_engine::BlockError;
use tithon_query::{QueryOptions, QueryService, Source, router};
use tithon_runtime::Cpu;
use tithon_store::{Store, StoreOptions, StoreService};
use tracing::info;

use crate::cli::StandaloneFlags;
use crate::demo;
use crate::local::LocalBlocks;
use crate::process::Process;
use crate::query::answer_options;
use crate::store::{StoreProcessError, open_bucket};

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    /// What can stop a store stops this too.
    #[error(transparent)]
    Store(#[from] StoreProcessError),
    /// The data directory cannot be used.
    #[error("--data-dir: {path}: {source}")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Demo data goes into an embedded bucket only.
    #[error("--demo fills the embedded bucket: leave out --objstore.config")]
    DemoElsewhere,
    /// The demo's blocks cannot be written.
    #[error("demo data: {0}")]
    Demo(#[from] BlockError),
    /// The work was cut short.
    #[error("demo data: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs until a signal comes.
pub async fn run(flags: &StandaloneFlags) -> Result<(), StandaloneError> {
    let process = Process::start("standalone", &flags.server).await.map_err(StoreProcessError::from)?;
    let bucket = bucket(flags).await?;
    process.metrics.register(|registry| bucket.register_metrics(registry));
    let store_options = StoreOptions {
        time: TimeRange::ALL,
        sync_interval: flags.sync_block_duration,
        ..StoreOptions::default()
    };
    let cpu = Cpu::new(0).map_err(StoreProcessError::from)?;
    let store = Store::open(bucket.clone(), store_options, cpu.clone(), &process.metrics)
        .await
        .map_err(StoreProcessError::from)?;
    process.supervisor.spawn("sync", {
        let (store, shutdown) = (store.clone(), process.shutdown.clone());
        async move { store.keep_synced(shutdown).await }
    });
    let compactor = compaction::start(flags, bucket, &cpu, &process, &store);
    let source = Source::Local(Arc::new(LocalBlocks::new(store.clone())));
    let service = QueryService::new(options(flags), vec![source], cpu, &process.metrics);
    info!(blocks = store.n_blocks(), url = format!("http://{}", flags.server.http.http_address), "serving");
    let routes = StoreService::new(store, process.probes.clone()).routes();
    let mut pages = router(service);
    if let Some(compactor) = compactor {
        pages = pages.merge(tithon_compact::router(compactor, "", true, true));
    }
    process.serve(pages, routes).await.map_err(StoreProcessError::from)?;
    Ok(())
}

/// The demo's replicas are told apart by a label of its own making, so it is dropped unless others are given.
fn options(flags: &StandaloneFlags) -> QueryOptions {
    let mut options = answer_options(&flags.answers);
    if flags.demo && options.replica_labels.is_empty() {
        options.replica_labels.push("replica".into());
    }
    options
}

/// The bucket that the flags name; the embedded one is made, and filled where the demo is asked for.
async fn bucket(flags: &StandaloneFlags) -> Result<Bucket, StandaloneError> {
    if let Some(bucket) = open_bucket(&flags.bucket)? {
        return if flags.demo { Err(StandaloneError::DemoElsewhere) } else { Ok(bucket) };
    }
    let dir = match &flags.bucket_dir {
        Some(dir) => dir.clone(),
        None => embedded(flags).await?,
    };
    Ok(Bucket::open(&BucketConfig::filesystem(dir)).map_err(StoreProcessError::from)?)
}

async fn embedded(flags: &StandaloneFlags) -> Result<PathBuf, StandaloneError> {
    let dir = flags.data_dir.join("bucket");
    let failed = |source| StandaloneError::DataDir { path: dir.clone(), source };
    std::fs::create_dir_all(&dir).map_err(failed)?;
    if flags.demo && is_empty(&dir).map_err(failed)? {
        let (target, hours) = (dir.clone(), flags.demo_hours);
        // Before 1970 there is no demo.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let end = flags.demo_end.at_ms(now).max(0);
        // Filled beside the bucket and renamed: an interrupted fill leaves an empty bucket, never half a demo.
        let filling = flags.data_dir.join("bucket.tmp-demo");
        if filling.exists() {
            std::fs::remove_dir_all(&filling).map_err(failed)?;
        }
        std::fs::create_dir(&filling).map_err(failed)?;
        let folder = filling.clone();
        tokio::task::spawn_blocking(move || demo::fill(&folder, end, hours)).await??;
        std::fs::remove_dir(&target).and_then(|()| std::fs::rename(&filling, &target)).map_err(failed)?;
    }
    Ok(dir)
}

fn is_empty(dir: &Path) -> std::io::Result<bool> {
    Ok(std::fs::read_dir(dir)?.next().is_none())
}
