//! What an operator may set.

use std::time::Duration;

use tithon_engine::plan::Scope;

/// Options of a [`crate::Store`]; the defaults are those of `thanos store`.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Only these blocks are served, and requests for series are cut to their range.
    pub scope: Scope,
    /// Time after its deletion mark from which a block is no longer served.
    pub ignore_deletion_marks_delay: Duration,
    /// Interval between synchronisations with the bucket.
    pub sync_interval: Duration,
    /// Metas and marks read at the same time.
    pub meta_concurrency: usize,
    /// Blocks opened at the same time.
    pub block_concurrency: usize,
    /// A block is closed when no request has needed it for this long; 0 is never.
    pub idle_timeout: Duration,
    /// The most calls of `Series` that are answered at the same time; 0 is no limit.
    pub series_max_concurrency: usize,
    /// The most series one request may select over all blocks; 0 is no limit.
    pub request_series_max: u64,
    /// The most samples one request may select, counted as 120 a chunk; 0 is no limit.
    pub request_samples_max: u64,
    /// The most bytes of indexes and chunks one request may read; 0 is no limit.
    pub downloaded_bytes_max: u64,
    /// Bytes that all calls may hold together of blocks and answers; 0 is no limit.
    pub memory_max: u64,
    /// Bytes that the cache of what matchers selected may take; 0 is no cache.
    pub index_cache_bytes: usize,
    /// A call ends when its reader has taken nothing for this long.
    pub stalled_reader_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            scope: Scope::default(),
            ignore_deletion_marks_delay: Duration::from_secs(24 * 3600),
            sync_interval: Duration::from_secs(15 * 60),
            meta_concurrency: 32,
            block_concurrency: 20,
            idle_timeout: Duration::from_secs(5 * 60),
            series_max_concurrency: 20,
            request_series_max: 0,
            request_samples_max: 0,
            downloaded_bytes_max: 0,
            memory_max: 0,
            index_cache_bytes: 250 << 20,
            stalled_reader_timeout: Duration::from_secs(60),
        }
    }
}
