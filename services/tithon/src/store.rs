//! `tithon store`: the StoreAPI over a bucket.

use tithon_bucket::{Bucket, BucketConfig, BucketError, ConfigError};
use tithon_chunks::TimeRange;
use tithon_runtime::{Cpu, RuntimeError};
use tithon_store::{Store, StoreError, StoreOptions, StoreService};

use crate::cli::StoreFlags;
use crate::flags::{BucketFlags, PathOrContentError};
use crate::process::{Process, ProcessError};

/// Why the store gateway ended.
#[derive(Debug, thiserror::Error)]
pub enum StoreProcessError {
    /// The process could not start or its servers broke.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The CPU pool could not start.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The bucket's configuration was given in a way that cannot be read.
    #[error(transparent)]
    Flag(#[from] PathOrContentError),
    /// The bucket's configuration is wrong.
    #[error("{origin}: {source}")]
    Config {
        /// The flag it was given by, with the file's path.
        origin: String,
        /// What is wrong.
        source: ConfigError,
    },
    /// No configuration was given.
    #[error("no bucket is given: use --objstore.config-file=FILE or --objstore.config=YAML")]
    NoBucket,
    /// The bucket cannot be opened.
    #[error(transparent)]
    Bucket(#[from] BucketError),
    /// The store cannot start.
    #[error(transparent)]
    Store(Box<StoreError>),
}

impl From<StoreError> for StoreProcessError {
    fn from(error: StoreError) -> StoreProcessError {
        StoreProcessError::Store(Box::new(error))
    }
}

/// Runs until a signal comes.
pub async fn run(flags: &StoreFlags) -> Result<(), StoreProcessError> {
    let process = Process::start("store", &flags.server).await?;
    let mut bucket = open_bucket(&flags.bucket)?.ok_or(StoreProcessError::NoBucket)?;
    if flags.cache_index_header {
        bucket = bucket.with_headers(flags.data_dir.clone())?;
    }
    process.metrics.register(|registry| bucket.register_metrics(registry));
    let options = StoreOptions {
        time: TimeRange::ALL,
        ignore_deletion_marks_delay: flags.ignore_deletion_marks_delay,
        sync_interval: flags.sync_block_duration,
        series_max_concurrency: flags.series_max_concurrency,
        request_series_max: flags.request_series,
        request_samples_max: flags.request_samples,
        stalled_reader_timeout: flags.stalled_reader_timeout,
    };
    let store = Store::open(bucket, options, Cpu::new(0)?, &process.metrics).await?;
    process.supervisor.spawn("sync", {
        let (store, shutdown) = (store.clone(), process.shutdown.clone());
        async move { store.keep_synced(shutdown).await }
    });
    let routes = StoreService::new(store, process.probes.clone()).routes();
    Ok(process.serve(axum::Router::new(), routes).await?)
}

/// The bucket that the flags describe; `None` when they describe none.
pub fn open_bucket(flags: &BucketFlags) -> Result<Option<Bucket>, StoreProcessError> {
    let Some(yaml) = flags.content()? else { return Ok(None) };
    let wrong = |source| StoreProcessError::Config { origin: flags.origin(), source };
    let config = BucketConfig::parse(&yaml).map_err(wrong)?;
    Ok(Some(Bucket::open(&config)?))
}
