//! Flags of `tithon tools block`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use tithon_chunks::Aggregate;

/// `tithon tools block`.
#[derive(Args, Debug)]
pub struct BlockFlags {
    #[command(subcommand)]
    pub command: BlockCommand,
}

/// The tools for blocks.
#[derive(Subcommand, Debug)]
pub enum BlockCommand {
    /// Print what is in a block: range, series, chunks, samples, bytes, per encoding.
    Inspect {
        /// The block's directory.
        dir: PathBuf,
        /// A table for people or JSON for programs.
        #[arg(long, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Print every sample as text, one per line: labels, value, milliseconds (as `promtool tsdb dump` prints them). For
    /// a downsampled block, print every aggregate of every window, with its name after the labels.
    Dump {
        /// The block's directory.
        dir: PathBuf,
        /// Print one JSON line per series with digests of its samples instead: blocks with equal lines hold equal data.
        #[arg(long)]
        digest: bool,
        /// For a downsampled block, print only this aggregate: count, sum, min, max or counter; may be given several
        /// times.
        #[arg(long = "aggregate", value_name = "NAME", value_parser = aggregate, conflicts_with = "digest")]
        aggregates: Vec<Aggregate>,
    },
    /// Merge blocks into one, as the compactor does; the inputs stay as they are.
    ///
    /// Chunks that do not overlap are copied, overlapping ones merged, deletions applied. Example: the two replicas of
    /// one Prometheus, merged offline:
    ///
    ///   tithon tools block compact --dedup=penalty --replica-label=replica --out=merged a/01HW... b/01HW...
    #[command(verbatim_doc_comment)]
    Compact(CompactFlags),
    /// Downsample a block to 5 minutes or an hour per sample.
    Downsample(DownsampleFlags),
    /// Read every byte of blocks and count what is wrong; the exit code is 1 if anything is.
    Verify {
        /// Block directories, or folders of blocks.
        #[arg(required = true, value_name = "IN")]
        blocks: Vec<PathBuf>,
        #[command(flatten)]
        job: JobFlags,
    },
    /// Prove two sets of blocks equal sample by sample, or list the differences; the exit code is 1 if there are any.
    ///
    /// Blocks are compared stream by stream (resolution and external labels), however the samples are cut into
    /// blocks and chunks.
    Diff(DiffFlags),
}

fn aggregate(text: &str) -> Result<Aggregate, String> {
    let names = || Aggregate::ALL.map(Aggregate::name).join(", ");
    let found = Aggregate::ALL.into_iter().find(|aggregate| aggregate.name() == text);
    found.ok_or_else(|| format!("found {text:?}, expected one of {}", names()))
}

/// Flags that jobs on blocks share.
#[derive(Args, Debug)]
pub struct JobFlags {
    /// Threads to work with; all cores unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// A table for people or JSON for programs.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// `tithon tools block compact`.
#[derive(Args, Debug)]
pub struct CompactFlags {
    /// Block directories, or folders of blocks; their order does not matter.
    #[arg(required = true, value_name = "IN")]
    pub blocks: Vec<PathBuf>,
    /// The folder for the new block.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How replicas are merged.
    #[arg(long, value_enum, default_value_t = Dedup::None)]
    pub dedup: Dedup,
    /// An external label that tells replicas apart, dropped from the result; may be given several times.
    #[arg(long = "replica-label", value_name = "LABEL")]
    pub replica_label: Vec<String>,
    /// Encoding of floats in chunks that have to be re-encoded.
    #[arg(long = "float-encoding", value_enum, default_value_t = Floats::Xor)]
    pub float_encoding: Floats,
    #[command(flatten)]
    pub job: JobFlags,
}

/// `tithon tools block downsample`.
#[derive(Args, Debug)]
pub struct DownsampleFlags {
    /// The block's directory.
    #[arg(value_name = "IN")]
    pub block: PathBuf,
    /// The folder for the new blocks.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Resolution of the new blocks; an hour is made from 5 minutes, and both in one pass from a raw block.
    #[arg(long, value_enum)]
    pub resolution: Resolutions,
    #[command(flatten)]
    pub job: JobFlags,
}

/// `tithon tools block diff`.
#[derive(Args, Debug)]
pub struct DiffFlags {
    /// A block directory, or a folder of blocks: the first set.
    #[arg(value_name = "FIRST")]
    pub first: PathBuf,
    /// The second set of blocks.
    #[arg(value_name = "SECOND")]
    pub second: PathBuf,
    /// A further part of the first set; may be given several times.
    #[arg(long = "first", value_name = "DIR")]
    pub more_first: Vec<PathBuf>,
    /// A further part of the second set; may be given several times.
    #[arg(long = "second", value_name = "DIR")]
    pub more_second: Vec<PathBuf>,
    /// An external label to ignore when blocks are matched; may be given several times.
    #[arg(long = "replica-label", value_name = "LABEL")]
    pub replica_label: Vec<String>,
    /// Stop after this many differences.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub most: usize,
    #[command(flatten)]
    pub job: JobFlags,
}

/// `--dedup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dedup {
    /// All inputs must have the same external labels; where they overlap, all samples are kept, one per timestamp.
    None,
    /// The same, for inputs whose replica labels differ.
    OneToOne,
    /// One replica at a time, switching when it falls silent: for Prometheus servers that scrape the same targets.
    Penalty,
}

/// `--float-encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Floats {
    /// The encoding that every Prometheus and Thanos reads.
    Xor,
    /// The newer encoding of Prometheus 3.14.
    Xor2,
}

/// `--resolution`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Resolutions {
    /// One sample per 5 minutes, from a raw block.
    #[value(name = "5m")]
    FiveMinutes,
    /// One sample per hour, from a block of 5 minutes (or from a raw block by way of 5 minutes).
    #[value(name = "1h")]
    OneHour,
    /// Both, from a raw block.
    Both,
}

/// Format of a tool's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}
