//! `--index-cache.config` and `--store.caching-bucket.config`: caches for parts of blocks that are read over the
//! network.

use clap::Args;
use tithon_bucket::{Bucket, CacheConfig, CacheConfigError, RangeCache};
use tithon_runtime::Metrics;

use super::{PathOrContentError, path_or_content};

/// Flags of `store` for caches.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Caches")]
pub struct CacheFlags {
    /// Path of a YAML file that configures the cache for parts of indexes: IN-MEMORY, MEMCACHED or REDIS. Without it
    /// they are cached in memory, up to --index-cache-size. A bucket in a directory needs no cache.
    #[arg(
        long = "index-cache.config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub index_config_file: String,
    /// The same YAML given inline.
    #[arg(long = "index-cache.config", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub index_config: String,
    /// Path of a YAML file that configures the cache for parts of segments: IN-MEMORY, MEMCACHED or REDIS, with
    /// Thanos's keys. Without it they are not cached.
    #[arg(
        long = "store.caching-bucket.config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub bucket_config_file: String,
    /// The same YAML given inline.
    #[arg(
        long = "store.caching-bucket.config",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    pub bucket_config: String,
}

/// Shows only the files, since the configurations may contain secrets.
impl std::fmt::Debug for CacheFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (index, bucket) = (&self.index_config_file, &self.bucket_config_file);
        f.debug_struct("CacheFlags").field("index", index).field("bucket", bucket).finish()
    }
}

/// Why a cache cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CacheFlagsError {
    /// The YAML was given twice, or its file cannot be read.
    #[error(transparent)]
    Content(#[from] PathOrContentError),
    /// The YAML is invalid.
    #[error("--{flag}: {source}")]
    Config {
        /// Name of the flag without dashes.
        flag: &'static str,
        /// What is wrong with the YAML.
        source: CacheConfigError,
    },
}

const INDEX: &str = "index-cache.config";
const BUCKET: &str = "store.caching-bucket.config";

/// The configured caches.
#[derive(Clone, Debug)]
pub struct Caches {
    index: CacheConfig,
    chunks: Option<CacheConfig>,
}

impl CacheFlags {
    /// Reads the flags. By default indexes are cached in memory, up to `index_bytes`.
    pub fn read(&self, index_bytes: u64) -> Result<Caches, CacheFlagsError> {
        let named = |flag| move |source| CacheFlagsError::Config { flag, source };
        let index = path_or_content(INDEX, &self.index_config_file, &self.index_config, true)?;
        let index = match index.filter(|text| !text.trim().is_empty()) {
            Some(text) => CacheConfig::parse_index(&text).map_err(named(INDEX))?,
            None => CacheConfig::index_in_memory(index_bytes),
        };
        let chunks = path_or_content(BUCKET, &self.bucket_config_file, &self.bucket_config, true)?;
        let chunks = chunks.filter(|text| !text.trim().is_empty());
        let chunks = chunks.map(|text| CacheConfig::parse_caching_bucket(&text)).transpose();
        Ok(Caches { index, chunks: chunks.map_err(named(BUCKET))? })
    }
}

impl Caches {
    /// Adds these caches to the bucket, unless its blocks are mapped. Must be called inside a tokio runtime.
    pub fn put_before(&self, bucket: Bucket, metrics: &Metrics) -> Result<Bucket, CacheFlagsError> {
        if bucket.is_mapped() {
            if self.chunks.is_some() {
                tracing::warn!("--{BUCKET} has no effect: the bucket is a directory, whose files are mapped");
            }
            return Ok(bucket);
        }
        let open = |flag, what, config: &CacheConfig| {
            let cache =
                RangeCache::open(config).map_err(|source| CacheFlagsError::Config { flag, source })?;
            metrics.register(|registry| cache.register_metrics(what, registry));
            Ok::<_, CacheFlagsError>(cache)
        };
        let index = open(INDEX, "index", &self.index)?;
        let chunks = self.chunks.as_ref().map(|config| open(BUCKET, "chunks", config)).transpose()?;
        Ok(bucket.with_range_caches(Some(index), chunks))
    }
}
