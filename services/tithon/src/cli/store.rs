//! Flags of `tithon store`.

use std::path::PathBuf;

use clap::Args;

use crate::flags::{
    BlocksWebFlags, BucketFlags, CacheFlags, Duration, RequestLoggingFlags, ScopeFlags, ServerFlags,
    parse_duration, parse_size,
};

/// `tithon store`.
#[derive(Args, Debug)]
pub struct StoreFlags {
    #[command(flatten)]
    pub server: ServerFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// Folder in which index headers and label filters are kept between starts.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Keep index headers on disk; without them every start reads the indexes of all blocks.
    #[arg(long = "cache-index-header", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub cache_index_header: bool,
    /// How often the bucket is checked for new and deleted blocks.
    #[arg(long = "sync-block-duration", value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    pub sync_block_duration: Duration,
    /// Metas and marks of blocks read at the same time.
    #[arg(long = "block-meta-fetch-concurrency", value_name = "N", default_value_t = 32)]
    pub meta_concurrency: usize,
    /// Blocks opened at the same time.
    #[arg(long = "block-sync-concurrency", value_name = "N", default_value_t = 20)]
    pub block_concurrency: usize,
    #[command(flatten)]
    pub scope: ScopeFlags,
    #[command(flatten)]
    pub web: BlocksWebFlags,
    #[command(flatten)]
    pub request_logging: RequestLoggingFlags,
    /// Leave blocks alone for this long after their upload, except those of compactors.
    #[arg(long = "consistency-delay", value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub consistency_delay: Duration,
    /// Drop blocks this long after they were marked for deletion.
    #[arg(long = "ignore-deletion-marks-delay", value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub ignore_deletion_marks_delay: Duration,
    /// Close a block that no call has needed for this long until the next call needs it; 0 is never.
    #[arg(long = "store.index-header-lazy-reader-idle-timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub idle_timeout: Duration,
    #[command(flatten)]
    pub caches: CacheFlags,
    /// Series calls answered at the same time; others wait.
    #[arg(long = "store.grpc.series-max-concurrency", value_name = "N", default_value_t = 20)]
    pub series_max_concurrency: usize,
    /// Most series one call may touch; 0 is no limit.
    #[arg(
        long = "store.limits.request-series",
        value_name = "N",
        default_value_t = 0,
        alias = "store.grpc.touched-series-limit"
    )]
    pub request_series: u64,
    /// Most samples one call may touch, counted as 120 a chunk; 0 is no limit.
    #[arg(
        long = "store.limits.request-samples",
        value_name = "N",
        default_value_t = 0,
        alias = "store.grpc.series-sample-limit"
    )]
    pub request_samples: u64,
    /// Most bytes of indexes and chunks one call may read; 0 is no limit.
    #[arg(long = "store.grpc.downloaded-bytes-limit", value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub downloaded_bytes: u64,
    /// Memory for the postings and series that matchers selected, so that the next request with the same matchers need
    /// not read the index; and as much again for parts of indexes, where blocks are read over the network.
    #[arg(long = "index-cache-size", value_name = "SIZE", default_value = "250MB", value_parser = parse_size)]
    pub index_cache_size: u64,
    /// Most memory that all calls together may hold for blocks and answers; 0 is no limit. A call that needs more waits
    /// up to ten seconds for others to end, and then fails with ResourceExhausted. Memory of caches and mapped files is
    /// not counted. Thanos has no such flag.
    #[arg(long = "store.memory-limit", value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub memory_limit: u64,
    /// Evaluate parts of queries for queriers of Tithon, next to the data, so that only the results travel. Servers of Thanos
    /// see nothing of it. Thanos has no such flag.
    #[arg(long = "store.pushdown", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub pushdown: bool,
    /// Most memory that such parts may hold together; their queriers evaluate what needs more. 0 is a quarter of the memory that
    /// the process may use: of its cgroup, or of the machine. As many are evaluated at the same time as Series calls are
    /// answered. Thanos has no such flag.
    #[arg(long = "store.pushdown.memory-limit", value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub pushdown_memory_limit: u64,
    /// How long the reader of a Series call may read nothing before the call is ended. Thanos has no such flag.
    #[arg(long = "store.stalled-reader-timeout", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub stalled_reader_timeout: Duration,
}
