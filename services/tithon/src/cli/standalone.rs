//! Flags of `tithon standalone`.

use std::path::PathBuf;

use clap::Args;
use tithon_engine::plan::TimeBound;

use super::AnswerFlags;
use crate::flags::{BucketFlags, Duration, ServerFlags, parse_duration, parse_time};

/// `tithon standalone`.
#[derive(Args, Debug)]
#[command(mut_arg("http_address", |a| a.default_value("127.0.0.1:10902")))]
#[command(mut_arg("grpc_address", |a| a.default_value("127.0.0.1:10901")))]
pub struct StandaloneFlags {
    #[command(flatten)]
    pub server: ServerFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub answers: AnswerFlags,
    /// Data directory of the process; the bucket is the folder `bucket` inside.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./tithon-data")]
    pub data_dir: PathBuf,
    /// Any folder of blocks to serve instead of the bucket, a Prometheus data directory included; never written to.
    #[arg(long = "bucket-dir", value_name = "DIR", conflicts_with = "demo")]
    pub bucket_dir: Option<PathBuf>,
    /// Fill the bucket, if it is empty, with two days of generated data of some 10,000 series that end now.
    #[arg(long = "demo")]
    pub demo: bool,
    /// Hours of demo data.
    #[arg(long = "demo.hours", value_name = "HOURS", default_value_t = 48,
          value_parser = clap::value_parser!(u32).range(1..=336))]
    pub demo_hours: u32,
    /// End of the demo data; equal ends give equal data.
    #[arg(long = "demo.end", value_name = "TIME", default_value = "0s", value_parser = parse_time,
          allow_hyphen_values = true)]
    pub demo_end: TimeBound,
    /// How often the bucket is checked for new and deleted blocks.
    #[arg(long = "sync-block-duration", value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    pub sync_block_duration: Duration,
    /// Also compact, downsample and clean the bucket. By default on for the embedded bucket, off for one configured by
    /// --objstore.config, and never for --bucket-dir.
    #[arg(long = "compact", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub compact: Option<bool>,
    /// Time from the start of one compaction of the bucket to the start of the next.
    #[arg(long = "wait-interval", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub wait_interval: Duration,
    /// With --demo, blocks are merged and downsampled at this fraction of the usual lengths, so that two days are
    /// enough to see blocks of 5 minutes and of an hour.
    #[arg(long = "demo.range-divisor", value_name = "N", default_value_t = 12,
          value_parser = clap::value_parser!(u32).range(1..=60))]
    pub demo_range_divisor: u32,
}
