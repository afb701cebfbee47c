//! The command line of `tithon tools bench`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand, ValueEnum};

use crate::subject::SubjectArg;

/// `tithon tools bench`.
#[derive(Args, Debug)]
pub struct BenchFlags {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

/// The command.
#[derive(Subcommand, Debug)]
pub(crate) enum BenchCommand {
    /// Make blocks from a seed: the same bytes for the same flags.
    ///
    /// With --clone, make many cheap blocks of one: links to its files under names of their own, for measuring starts.
    Gen(GenFlags),
    /// Store gateways: raw StoreAPI calls over blocks of a million series, 400,000 label values, 10 million samples.
    Store(StoreFlags),
    /// Store gateways: time and memory until they are ready, with 200 to 10,000 blocks, cold and warm.
    Start(MeasureFlags),
    /// Compactors: one iteration over a bucket of four blocks in a row, or of two replicas.
    Compact(MeasureFlags),
    /// Compactors: one iteration that makes blocks of 5 minutes and an hour.
    Downsample(MeasureFlags),
    /// Sidecars beside a Prometheus: raw StoreAPI calls for 100,000 series, uploads of a block of a gigabyte.
    Sidecar(SidecarFlags),
    /// Rulers over a querier: 10,000 rules a minute.
    Rule(RuleFlags),
    /// Queriers over store gateways (and Prometheus servers over the same blocks): PromQL over HTTP.
    Query(QueryFlags),
    /// Replaces this process by another program, which ends with the process PARENT.
    #[command(hide = true)]
    Exec {
        /// The process that started this one.
        parent: u32,
        /// The program.
        program: PathBuf,
        /// The program's arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// `tithon tools bench gen`.
#[derive(Args, Debug)]
pub(crate) struct GenFlags {
    /// Kind of data.
    #[arg(long, value_enum, default_value_t = ProfileArg::K8s)]
    pub profile: ProfileArg,
    /// Series that exist at the same time.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    pub series: u32,
    /// Interval between scrapes.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_span)]
    pub interval: Duration,
    /// Length of the data.
    #[arg(long, value_name = "DURATION", default_value = "26h", value_parser = parse_span)]
    pub range: Duration,
    /// Start of the data.
    #[arg(long, value_name = "TIME", default_value = "2025-01-01T00:00:00Z", value_parser = humantime::parse_rfc3339)]
    pub start: SystemTime,
    /// Servers that scrape the same; their blocks have the external labels replica="a" and replica="b".
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub replicas: u8,
    /// Length of a block.
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = parse_span)]
    pub blocks: Duration,
    /// Seed that determines all values.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Make this many copies of the block SMALL instead.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub clone: Option<u32>,
    /// The new folder OUT for the blocks; with --clone, the folder of a block SMALL and OUT.
    #[arg(required = true, num_args = 1..=2, value_name = "OUT")]
    pub paths: Vec<PathBuf>,
}

/// `--profile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileArg {
    /// A Kubernetes cluster: 100 series a pod, 60 jobs, pods that end and begin.
    K8s,
    /// Native histograms.
    Native,
    /// One label value for each series.
    Cardinality,
    /// Gauges, made for few series with many samples.
    OneSeries,
    /// Random values at random times.
    Noise,
}

/// Flags of all measurements.
#[derive(Args, Debug)]
pub(crate) struct MeasureFlags {
    /// A program to measure: tithon (this one), an older tithon, thanos, or prometheus; may be given several times. The
    /// first one is what the others are compared with. This program alone unless given.
    #[arg(long = "subject", value_name = "[NAME=]PROGRAM")]
    pub subject: Vec<SubjectArg>,
    /// Measure only cases whose name holds this text; may be given several times.
    #[arg(long = "case", value_name = "TEXT")]
    pub case: Vec<String>,
    /// Largest number of rounds that count; a case stops early when it takes long.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub rounds: u16,
    /// Factor for the usual numbers of series.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub scale: f64,
    /// A tenth of the usual numbers of series and two rounds: under a minute.
    #[arg(long)]
    pub quick: bool,
    /// Longest time of a subject's start, and of one run.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_span)]
    pub limit: Duration,
    /// Folder that keeps generated data for the next run; `tithon-bench` in the system's temporary folder unless given.
    #[arg(long = "data-dir", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Seed of the data.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Format of the results.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
    /// Exit with status 0 even if answers differ.
    #[arg(long = "allow-differences")]
    pub allow_differences: bool,
}

/// How calls are made.
#[derive(Args, Debug)]
pub(crate) struct CallFlags {
    #[command(flatten)]
    pub measure: MeasureFlags,
    /// Number of calls in a run.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub calls: u32,
    /// Number of concurrent calls.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub concurrency: u16,
    /// Largest number of calls per second; unlimited unless given.
    #[arg(long, value_name = "RATE")]
    pub qps: Option<f64>,
    /// Send equal requests each time, so that caches answer; otherwise patterns and times change from call to call.
    #[arg(long)]
    pub repeat: bool,
}

/// `tithon tools bench store`.
#[derive(Args, Debug)]
pub(crate) struct StoreFlags {
    #[command(flatten)]
    pub call: CallFlags,
    /// The S3 server to read the blocks from; they are read from a directory unless given.
    #[arg(long, value_name = "PROGRAM")]
    pub versitygw: Option<PathBuf>,
    /// How much later each request arrives at the S3 server.
    #[arg(long, value_name = "DURATION", requires = "versitygw", value_parser = parse_span)]
    pub delay: Option<Duration>,
}

/// `tithon tools bench query`.
#[derive(Args, Debug)]
pub(crate) struct QueryFlags {
    #[command(flatten)]
    pub call: CallFlags,
    /// A file of expressions, one a line, instead of the built-in ones; # begins a comment.
    #[arg(long, value_name = "FILE")]
    pub queries: Option<PathBuf>,
    /// Evaluate at the end of the range only, instead of over the range.
    #[arg(long)]
    pub instant: bool,
    /// Send parameters in the body.
    #[arg(long)]
    pub post: bool,
    /// Ask for compressed answers.
    #[arg(long)]
    pub gzip: bool,
    /// Open a connection for each call.
    #[arg(long)]
    pub fresh: bool,
}

/// `tithon tools bench sidecar`.
#[derive(Args, Debug)]
pub(crate) struct SidecarFlags {
    #[command(flatten)]
    pub call: CallFlags,
    /// The Prometheus that the sidecars stand beside.
    #[arg(long, value_name = "PROGRAM", default_value = "prometheus")]
    pub prometheus: PathBuf,
    /// The S3 server to upload to; there are no uploads to S3 unless given.
    #[arg(long, value_name = "PROGRAM")]
    pub versitygw: Option<PathBuf>,
}

/// `tithon tools bench rule`.
#[derive(Args, Debug)]
pub(crate) struct RuleFlags {
    #[command(flatten)]
    pub measure: MeasureFlags,
    /// Interval of all groups; there are as many rules as make 10,000 evaluations a minute.
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = parse_span)]
    pub interval: Duration,
}

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// A table for people.
    Table,
    /// JSON for programs, one object per line.
    Json,
    /// An HTML page.
    Html,
}

/// A duration of at least a millisecond.
fn parse_span(text: &str) -> Result<Duration, String> {
    /// A thousand years.
    const MOST: Duration = Duration::from_secs(1000 * 365 * 86_400);
    let span = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if span.as_millis() == 0 || span > MOST { Err("expected 1ms to 1000y".to_owned()) } else { Ok(span) }
}
