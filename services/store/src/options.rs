//! Settings of a store.

use std::time::Duration;

use tithon_engine::plan::Scope;

/// Options of a [`crate::Store`]; the defaults are those of `thanos store`.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Which blocks are served; series requests are cut to its time range.
    pub scope: Scope,
    /// Time after its deletion mark from which a block is no longer served.
    pub ignore_deletion_marks_delay: Duration,
    /// Interval between synchronisations with the bucket.
    pub sync_interval: Duration,
    /// Number of metas and marks read at the same time.
    pub meta_concurrency: usize,
    /// Number of blocks opened at the same time.
    pub block_concurrency: usize,
    /// A block is closed when no request has needed it for this long; 0 means never.
    pub idle_timeout: Duration,
    /// Number of `Series` calls answered at the same time; 0 means no limit.
    pub series_max_concurrency: usize,
    /// Series that one request may select over all blocks; 0 means no limit.
    pub request_series_max: u64,
    /// Samples that one request may select, counted as 120 per chunk; 0 means no limit.
    pub request_samples_max: u64,
    /// Bytes of indexes and chunks that one request may read; 0 means no limit.
    pub downloaded_bytes_max: u64,
    /// Bytes of blocks and answers that all calls together may hold; 0 means no limit.
    pub memory_max: u64,
    /// Bytes of the cache of postings and series that matchers selected; 0 turns it off.
    pub index_cache_bytes: usize,
    /// A call ends when its reader has read nothing for this long.
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
