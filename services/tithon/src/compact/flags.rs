//! The flags of `tithon compact`: Thanos's names, defaults and units, and some flags of our own.

use std::path::PathBuf;

use clap::Args;
use tithon_compact::Verify;
use tithon_engine::dedup::Algorithm;
use tithon_engine::plan::SHARDS_MAX;

use crate::flags::{
    BlocksWebFlags, BucketFlags, Duration, HttpFlags, ScopeFlags, compact_algorithm, parse_duration,
    parse_size, verify,
};

/// `tithon compact`.
#[derive(Args, Debug)]
pub struct CompactorFlags {
    #[command(flatten)]
    pub http: HttpFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// Scratch space for copies of blocks that are merged and downsampled; may be deleted while the process is down.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Time after its upload during which a block of another writer is left alone.
    #[arg(long = "consistency-delay", value_name = "DURATION", default_value = "30m", value_parser = parse_duration)]
    pub consistency_delay: Duration,
    /// How long raw blocks are kept; 0d is for ever.
    #[arg(long = "retention.resolution-raw", value_name = "DURATION", default_value = "0d", value_parser = parse_duration)]
    pub retention_raw: Duration,
    /// How long blocks of 5 minutes are kept; 0d is for ever.
    #[arg(long = "retention.resolution-5m", value_name = "DURATION", default_value = "0d", value_parser = parse_duration)]
    pub retention_5m: Duration,
    /// How long blocks of an hour are kept; 0d is for ever.
    #[arg(long = "retention.resolution-1h", value_name = "DURATION", default_value = "0d", value_parser = parse_duration)]
    pub retention_1h: Duration,
    /// Path of a YAML file with rules of how long series are kept, such as `- {match: '{team="x"}', raw: 30d, 5m: 180d, 1h: 5y}`.
    ///
    /// The first rule that matches a series counts, by its labels and the external ones of its block; times that a rule does not
    /// have, and series that no rule matches, are as --retention.resolution-* say; 0d is for ever. A block goes when none of its
    /// series is kept any longer; when that is so of some only, and all of the block lies beyond their time, the block is written
    /// anew without them. Nothing goes before a coarser resolution has it that is to be kept longer.
    #[arg(long = "compact.policy-file", value_name = "FILE", default_value = "", hide_default_value = true)]
    pub policy_file: String,
    /// The same YAML given inline.
    #[arg(long = "compact.policy", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub policy: String,
    /// Keep running after the first iteration, until a signal comes.
    #[arg(short = 'w', long = "wait", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub wait: bool,
    /// Time from the start of one iteration to the start of the next.
    #[arg(long = "wait-interval", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub wait_interval: Duration,
    /// Do not downsample. Queries over long ranges are slow then.
    #[arg(long = "downsampling.disable", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub downsampling_disable: bool,
    /// Metas and marks read at the same time.
    #[arg(long = "block-meta-fetch-concurrency", value_name = "N", default_value_t = 32)]
    pub meta_fetch_concurrency: usize,
    /// Files of one block fetched at the same time.
    #[arg(long = "block-files-concurrency", value_name = "N", default_value_t = 1, value_parser = positive)]
    pub block_files_concurrency: usize,
    /// Interval between refreshes of the view of the whole bucket.
    #[arg(long = "block-viewer.global.sync-block-interval", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub global_sync_interval: Duration,
    /// Longest time of a refresh.
    #[arg(long = "block-viewer.global.sync-block-timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub global_sync_timeout: Duration,
    /// Interval between searches for partial uploads (with --wait), and between runs of retention and deletion during merges.
    #[arg(long = "compact.cleanup-interval", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub cleanup_interval: Duration,
    /// Interval between measurements of the thanos_compact_todo_* metrics (with --wait); 0s is never.
    #[arg(long = "compact.progress-interval", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub progress_interval: Duration,
    /// Groups of blocks merged at the same time.
    #[arg(long = "compact.concurrency", value_name = "N", default_value_t = 1, value_parser = positive)]
    pub concurrency: usize,
    /// Number of blocks of a merge fetched at the same time.
    #[arg(long = "compact.blocks-fetch-concurrency", value_name = "N", default_value_t = 1, value_parser = positive)]
    pub blocks_fetch_concurrency: usize,
    /// Blocks downsampled at the same time.
    #[arg(long = "downsample.concurrency", value_name = "N", default_value_t = 1, value_parser = positive)]
    pub downsample_concurrency: usize,
    /// Time from the mark of a block to its deletion; readers must notice its successor meanwhile.
    #[arg(long = "delete-delay", value_name = "DURATION", default_value = "48h", value_parser = parse_duration)]
    pub delete_delay: Duration,
    /// Merge overlapping blocks. Cannot be undone.
    #[arg(long = "compact.enable-vertical-compaction", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL", hide = true)]
    pub enable_vertical_compaction: bool,
    /// How samples of overlapping blocks are merged: nothing for all samples, or penalty for one replica at a time.
    #[arg(
        long = "deduplication.func",
        value_name = "FUNC",
        value_parser = compact_algorithm(),
        default_value = "",
        hide_default_value = true
    )]
    pub deduplication: Algorithm,
    /// A label that tells replicas apart; their blocks are merged into one. May be given several times or with commas.
    #[arg(long = "deduplication.replica-label", value_name = "LABEL")]
    pub replica_label: Vec<String>,
    /// Most bytes that the indexes of a merge may have for each block that it makes: above 85 % of this the merge makes
    /// as many shards as needed, as with --compact.split-shards.
    #[arg(long = "compact.block-max-index-size", value_name = "SIZE", default_value = "64GB", value_parser = parse_size, hide = true)]
    pub block_max_index_size: u64,
    /// Hash of each file to write into meta.json: empty or SHA256. Local files with the right hash are not fetched.
    #[arg(long = "hash-func", value_name = "FUNC", default_value = "", hide_default_value = true, value_parser = ["", "SHA256"])]
    pub hash_func: String,
    #[command(flatten)]
    pub scope: ScopeFlags,
    #[command(flatten)]
    pub web: BlocksWebFlags,
    /// Prefix of the paths of the web API and its page, for a proxy that forwards whole paths. Links of the page are
    /// relative, so that a proxy may also remove a prefix.
    #[arg(long = "web.route-prefix", value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub web_route_prefix: String,
    /// Refuse marks over the web API.
    #[arg(long = "disable-admin-operations", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub disable_admin_operations: bool,
    /// Merge without local disk: read sources by ranges instead of copying them to scratch space first. (Results always
    /// go straight into the bucket.)
    #[arg(long = "compact.streaming", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub streaming: bool,
    /// Split each merge into this many blocks, called shards, by the hash of the series; 0 and 1 do not split.
    ///
    /// Only shards of equal numbers are merged with each other, and shards are downsampled when all shards of their
    /// time exist. They have the labels of the blocks they were split from, so Thanos's store and querier read them
    /// like any blocks; the shard's number is in its meta.json under thanos.extensions.tithon_shard. The source blocks
    /// stay readable until all shards are uploaded, and are then marked for deletion. The number may be changed or set
    /// to 0 later; existing shards stay as they are. Do not let Thanos's compactor work on a bucket with shards: it
    /// takes them for overlapping blocks. Over the network, each shard of a merge takes up to 48 MiB of memory while it
    /// is written.
    #[arg(long = "compact.split-shards", value_name = "N", default_value_t = 0, value_parser = shards)]
    pub split_shards: u32,
    /// Share the bucket with other compactors that have this flag: each merge and each downsampling is done by one of
    /// them at a time, under a lease in the bucket, `leases/GROUP/START` for the blocks of a group in two weeks.
    ///
    /// The leases of a compactor that ends without returning them are taken over when they expire. A compactor that
    /// lost its lease publishes nothing, however late it notices and whatever the clocks say. The bucket must support
    /// conditional writes (If-Match and If-None-Match); in a directory, file locks are used. All compactors of the
    /// bucket must have the flag, and none may be Thanos's.
    #[arg(long = "compact.lease", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub lease: bool,
    /// Time after which a lease that is not renewed can be taken over; it is renewed three times in this time.
    #[arg(long = "compact.lease-duration", value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub lease_duration: Duration,
    /// Stop at the first fault, as Thanos does, instead of leaving out the faulty block and going on.
    #[arg(long = "compact.halt-on-error", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub halt_on_error: bool,
    /// With --compact.halt-on-error and --wait: keep running after a fault, to show it, instead of ending.
    #[arg(long = "debug.halt-on-error", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL", hide = true)]
    pub debug_halt_on_error: bool,
    /// What is read back from the bucket before the sources of a block are marked for deletion, and again before they
    /// are deleted: full is the index and every chunk with its checksum, index is only the index.
    #[arg(long = "compact.verify", value_name = "HOW", default_value = "full", value_parser = verify())]
    pub verify: Verify,
    /// Accept wrong orders of labels in an index, and no other faults.
    #[arg(long = "debug.accept-malformed-index", alias = "compact.accept-malformed-index", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL", hide = true)]
    pub accept_malformed_index: bool,
    /// Largest compaction level of merged blocks: 4 is up to 14 days, 0 only merges overlapping blocks.
    #[arg(long = "debug.max-compaction-level", value_name = "N", default_value_t = 4, hide = true, value_parser = level)]
    pub max_compaction_level: usize,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("expected a number above 0, found {text:?}"))
}

fn shards(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|n| *n <= SHARDS_MAX)
        .ok_or_else(|| format!("expected a number from 0 to {SHARDS_MAX}, found {text:?}"))
}

fn level(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| *n <= 4)
        .ok_or_else(|| format!("expected a number from 0 to 4, found {text:?}"))
}
