//! Flags of the tools that do one job of the compactor: `downsample`, `cleanup`, `retention`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::Output;
use crate::flags::{BucketFlags, HttpFlags, ScopeFlags, parse_duration};

/// `tithon tools bucket downsample`.
#[derive(Args, Debug)]
pub struct DownsampleBucketFlags {
    #[command(flatten)]
    pub http: HttpFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub scope: ScopeFlags,
    /// Time from the start of one run to the start of the next.
    #[arg(long = "wait-interval", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub wait_interval: Duration,
    /// Run once, then end; the exit code is 1 when something is left to do. Thanos has no such flag.
    #[arg(long = "single-run")]
    pub single_run: bool,
    /// Blocks downsampled at the same time.
    #[arg(long = "downsample.concurrency", value_name = "N", default_value_t = 1)]
    pub downsample_concurrency: usize,
    /// Number of files of a block transferred at the same time.
    #[arg(long = "block-files-concurrency", value_name = "N", default_value_t = 1)]
    pub block_files_concurrency: usize,
    /// Scratch space; the folder downsample inside belongs to this tool.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Hash of each file that is written into meta.json: nothing or SHA256.
    #[arg(long = "hash-func", value_name = "FUNC", default_value = "", hide_default_value = true, value_parser = ["", "SHA256"])]
    pub hash_func: String,
}

/// Flags that `cleanup` and `retention` share.
#[derive(Args, Debug)]
pub struct DeletionFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub scope: ScopeFlags,
    /// Time from the mark of a block to its deletion.
    #[arg(long = "delete-delay", value_name = "DURATION", default_value = "48h", value_parser = parse_duration)]
    pub delete_delay: Duration,
    /// Time after its upload during which a block of another writer than a compactor is left alone.
    #[arg(long = "consistency-delay", value_name = "DURATION", default_value = "30m", value_parser = parse_duration)]
    pub consistency_delay: Duration,
    /// Metas and marks read at the same time.
    #[arg(long = "block-sync-concurrency", value_name = "N", default_value_t = 20)]
    pub block_sync_concurrency: usize,
}

/// `tithon tools bucket cleanup`.
#[derive(Args, Debug)]
pub struct CleanupFlags {
    #[command(flatten)]
    pub common: DeletionFlags,
}

/// `tithon tools bucket retention`.
#[derive(Args, Debug)]
pub struct RetentionFlags {
    #[command(flatten)]
    pub common: DeletionFlags,
    /// How long raw blocks are kept; 0d is for ever.
    #[arg(long = "retention.resolution-raw", value_name = "DURATION", default_value = "0d", value_parser = parse_duration)]
    pub raw: Duration,
    /// How long blocks of 5 minutes are kept; 0d is for ever.
    #[arg(long = "retention.resolution-5m", value_name = "DURATION", default_value = "0d", value_parser = parse_duration)]
    pub five_minutes: Duration,
    /// How long blocks of an hour are kept; 0d is for ever.
    #[arg(long = "retention.resolution-1h", value_name = "DURATION", default_value = "0d", value_parser = parse_duration)]
    pub one_hour: Duration,
    /// Path of a YAML file with rules of how long series are kept, as --compact.policy-file of tithon compact has it.
    #[arg(long = "policy-file", value_name = "FILE", default_value = "", hide_default_value = true)]
    pub policy_file: String,
    /// The same YAML given inline.
    #[arg(long = "policy", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub policy: String,
    /// Only say what each rule would free; reads indexes, and changes nothing.
    #[arg(long = "dry-run")]
    pub dry_run: bool,
    /// How a dry run is printed.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
    /// Scratch space for copies of blocks that are written anew.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    pub data_dir: PathBuf,
}
