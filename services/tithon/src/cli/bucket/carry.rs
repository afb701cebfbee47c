//! Flags of the tools that transfer blocks: `replicate`, `upload-blocks`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tithon_engine::BlockId;
use tithon_engine::plan::TimeBound;
use tithon_index::Matcher;

use crate::flags::{
    BucketFlags, HttpFlags, ToBucketFlags, parse_duration, parse_label, parse_matchers, parse_time,
};

/// `tithon tools bucket replicate`.
#[derive(Args, Debug)]
pub struct ReplicateFlags {
    #[command(flatten)]
    pub http: HttpFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub to: ToBucketFlags,
    /// Only blocks of this resolution; may be given several times.
    #[arg(long = "resolution", value_name = "DURATION", default_values = ["0s", "5m", "1h"], value_parser = parse_duration)]
    pub resolutions: Vec<Duration>,
    /// Only blocks of this compaction level or above.
    #[arg(long = "compaction-min", value_name = "LEVEL", default_value_t = 1)]
    pub compaction_min: i64,
    /// Only blocks of this compaction level or below.
    #[arg(long = "compaction-max", value_name = "LEVEL", default_value_t = 4)]
    pub compaction_max: i64,
    /// Only blocks of this compaction level, regardless of the two flags before; may be given several times.
    #[arg(long = "compaction", value_name = "LEVEL")]
    pub compactions: Vec<i64>,
    /// Only blocks whose external labels match, such as 'cluster="eu", replica!="b"'.
    #[arg(long = "matcher", value_name = "MATCHERS", value_parser = parse_matchers, default_value = "", hide_default_value = true)]
    pub matchers: Matchers,
    /// Copy once, then end.
    #[arg(long = "single-run")]
    pub single_run: bool,
    /// Only blocks that end at or after it: RFC 3339, or a duration from now such as -2w.
    #[arg(long = "min-time", value_name = "TIME", default_value = "0000-01-01T00:00:00Z", value_parser = parse_time,
          allow_hyphen_values = true)]
    pub min_time: TimeBound,
    /// Only blocks that begin at or before it.
    #[arg(long = "max-time", value_name = "TIME", default_value = "9999-12-31T23:59:59Z", value_parser = parse_time,
          allow_hyphen_values = true)]
    pub max_time: TimeBound,
    /// Only this block, regardless of the other flags, and only once; may be given several times.
    #[arg(long = "id", value_name = "ULID")]
    pub ids: Vec<BlockId>,
    /// Leave out blocks that are marked for deletion.
    #[arg(long = "ignore-marked-for-deletion")]
    pub ignore_marked: bool,
    /// Objects of one block copied at the same time. Thanos has no such flag.
    #[arg(long = "block-files-concurrency", value_name = "N", default_value_t = 4)]
    pub block_files_concurrency: usize,
}

/// The matchers in a flag.
pub type Matchers = std::sync::Arc<[Matcher]>;

/// `tithon tools bucket upload-blocks`.
#[derive(Args, Debug)]
pub struct UploadBlocksFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// The folder of blocks, such as the data directory of a Prometheus.
    #[arg(long = "path", value_name = "DIR", default_value = "./data")]
    pub path: PathBuf,
    /// External label of the uploaded blocks, such as 'cluster="eu"'; may be given several times.
    #[arg(long = "label", value_name = "NAME=\"VALUE\"", value_parser = parse_label, required = true)]
    pub labels: Vec<(String, String)>,
    /// Upload blocks that Prometheus has merged too.
    #[arg(long = "shipper.upload-compacted")]
    pub upload_compacted: bool,
    /// Number of files of a block uploaded at the same time.
    #[arg(long = "shipper.upload-concurrency", value_name = "N", default_value_t = 5)]
    pub upload_concurrency: usize,
}
