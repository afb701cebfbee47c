//! Flags of `tithon tools bucket`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use tithon_bucket::MarkKind;
use tithon_engine::BlockId;

mod carry;
mod delete_series;
mod jobs;
mod parquet;
mod rewrite;
mod survey;
mod verify;
mod web;

pub use self::carry::*;
pub use self::delete_series::*;
pub use self::jobs::*;
pub use self::parquet::*;
pub use self::rewrite::*;
pub use self::survey::*;
pub use self::verify::*;
pub use self::web::*;
use super::Output;
use crate::flags::{BucketFlags, ScopeFlags, parse_duration, parse_label};

/// `tithon tools bucket`.
#[derive(Args, Debug)]
pub struct BucketToolFlags {
    #[command(subcommand)]
    pub command: BucketToolCommand,
}

/// The tools.
#[derive(Subcommand, Debug)]
pub enum BucketToolCommand {
    /// List the blocks, one per line.
    Ls(LsFlags),
    /// Print a table of the blocks: times, sizes, labels, when they are downsampled.
    Inspect(InspectFlags),
    /// Serve a page of the blocks.
    Web(Box<WebFlags>),
    /// Mark blocks to be deleted, not to be merged, or not to be downsampled, or take such marks away.
    Mark(MarkFlags),
    /// Count blocks and bytes by external labels, resolution, level and age, and show what the compactor would do next.
    Stat(StatFlags),
    /// Show what each metric takes: series, chunks, bytes, and the churn of its series; reads only indexes.
    Analyze(AnalyzeFlags),
    /// Prove two buckets equal sample by sample, or list the differences; the exit code is 1 if there are any.
    ///
    /// Blocks are compared by resolution and external labels, however the samples are cut into blocks and chunks. The second bucket is
    /// given by --objstore-to.config.
    Diff(DiffBucketFlags),
    /// Look for faults of blocks and for overlaps, and repair them.
    Verify(VerifyBucketFlags),
    /// Copy blocks to another bucket, repeatedly.
    Replicate(Box<ReplicateFlags>),
    /// Upload the blocks of a local folder.
    UploadBlocks(UploadBlocksFlags),
    /// Rewrite blocks without some series or samples, or with other labels.
    ///
    /// No compactor should work on the same blocks meanwhile. Deleted data is lost once the old block is deleted.
    Rewrite(Box<RewriteFlags>),
    /// Downsample what is due, repeatedly; the same work as the compactor's.
    Downsample(Box<DownsampleBucketFlags>),
    /// Delete leftovers of broken uploads, and blocks that were marked for deletion long enough ago.
    Cleanup(CleanupFlags),
    /// Mark blocks for deletion whose retention is over, and write blocks anew without series whose retention is.
    Retention(Box<RetentionFlags>),
    /// Delete series of all blocks: gone from the store's answers at once, and from the blocks when the compactor comes by.
    ///
    /// The request lies in the bucket, deletions/ID.json, until no block has the data any more. Thanos does not know it: its readers
    /// show the data until the blocks are rewritten. Deleted data cannot be had back then.
    DeleteSeries(Box<DeleteSeriesFlags>),
    /// Write blocks as Parquet files, for DuckDB, Spark, pandas and the like.
    Export(Box<ExportFlags>),
    /// Make blocks of Parquet files, those that export writes and others with the same columns.
    ///
    /// A file that was imported before, with the same external labels, is left out.
    Import(ImportFlags),
    /// Show the labels and metrics with the most values and series; reads only the offset tables of indexes.
    Cardinality(CardinalityFlags),
}

/// `tithon tools bucket cardinality`.
#[derive(Args, Debug)]
pub struct CardinalityFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub scope: ScopeFlags,
    /// Only this block; may be given several times. Without it, the newest raw block of each set of external labels.
    #[arg(long = "id", value_name = "ULID")]
    pub ids: Vec<BlockId>,
    /// All raw blocks: each number is then the largest that one of them has.
    #[arg(long = "all", conflicts_with = "ids")]
    pub all: bool,
    /// Length of each list.
    #[arg(long = "limit", value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Format of the lists.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// `tithon tools bucket ls`.
#[derive(Args, Debug)]
pub struct LsFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub scope: ScopeFlags,
    /// Empty for IDs only, wide, json, or a template with fields of meta.json, such as '{{.ULID}}
    /// {{.Stats.NumSeries}}'.
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "",
        hide_default_value = true
    )]
    pub output: String,
    /// Leave out blocks that are marked for deletion.
    #[arg(long = "exclude-delete")]
    pub exclude_delete: bool,
    /// Longest time that reading the bucket may take; 0 is for ever.
    #[arg(long = "timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// `tithon tools bucket inspect`.
#[derive(Args, Debug)]
pub struct InspectFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// Only blocks with this external label, such as 'replica="a"'; if given several times, only blocks with all of
    /// them.
    #[arg(short = 'l', long = "selector", value_name = "NAME=\"VALUE\"", value_parser = parse_label)]
    pub selector: Vec<(String, String)>,
    /// Columns to sort by, the most significant first.
    #[arg(long = "sort-by", value_name = "COLUMN", default_values = ["FROM", "UNTIL"], ignore_case = true)]
    pub sort_by: Vec<InspectColumn>,
    /// Format of the table.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: InspectOutput,
    /// Longest time that reading the bucket may take; 0 is for ever.
    #[arg(long = "timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Format of the table of `inspect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InspectOutput {
    /// A table for people.
    Table,
    /// Values separated by commas.
    Csv,
    /// Values separated by tabs.
    Tsv,
}

/// The columns of `inspect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InspectColumn {
    #[value(name = "ULID")]
    Ulid,
    #[value(name = "FROM")]
    From,
    #[value(name = "UNTIL")]
    Until,
    #[value(name = "RANGE")]
    Range,
    #[value(name = "UNTIL-DOWN")]
    UntilDown,
    #[value(name = "#SERIES")]
    Series,
    #[value(name = "#SAMPLES")]
    Samples,
    #[value(name = "#CHUNKS")]
    Chunks,
    #[value(name = "COMP-LEVEL")]
    CompLevel,
    #[value(name = "COMP-FAILED")]
    CompFailed,
    #[value(name = "LABELS")]
    Labels,
    #[value(name = "RESOLUTION")]
    Resolution,
    #[value(name = "SOURCE")]
    Source,
}

impl InspectColumn {
    /// All columns, in the order of the table.
    pub const ALL: [InspectColumn; 13] = [
        InspectColumn::Ulid,
        InspectColumn::From,
        InspectColumn::Until,
        InspectColumn::Range,
        InspectColumn::UntilDown,
        InspectColumn::Series,
        InspectColumn::Samples,
        InspectColumn::Chunks,
        InspectColumn::CompLevel,
        InspectColumn::CompFailed,
        InspectColumn::Labels,
        InspectColumn::Resolution,
        InspectColumn::Source,
    ];

    /// The header of the column.
    pub fn name(self) -> &'static str {
        match self {
            InspectColumn::Ulid => "ULID",
            InspectColumn::From => "FROM",
            InspectColumn::Until => "UNTIL",
            InspectColumn::Range => "RANGE",
            InspectColumn::UntilDown => "UNTIL-DOWN",
            InspectColumn::Series => "#SERIES",
            InspectColumn::Samples => "#SAMPLES",
            InspectColumn::Chunks => "#CHUNKS",
            InspectColumn::CompLevel => "COMP-LEVEL",
            InspectColumn::CompFailed => "COMP-FAILED",
            InspectColumn::Labels => "LABELS",
            InspectColumn::Resolution => "RESOLUTION",
            InspectColumn::Source => "SOURCE",
        }
    }
}

/// `tithon tools bucket mark`.
#[derive(Args, Debug)]
pub struct MarkFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// The block; may be given several times.
    #[arg(long = "id", value_name = "ULID", required = true)]
    pub ids: Vec<BlockId>,
    /// Which mark: deletion-mark.json, no-compact-mark.json or no-downsample-mark.json.
    #[arg(long = "marker", value_name = "FILE", value_parser = parse_marker)]
    pub marker: MarkKind,
    /// The reason, for people.
    #[arg(long = "details", value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub details: String,
    /// Remove the mark.
    #[arg(long = "remove")]
    pub remove: bool,
}

fn parse_marker(text: &str) -> Result<MarkKind, String> {
    let names = || MarkKind::ALL.map(MarkKind::file).join(", ");
    let kind = MarkKind::ALL.into_iter().find(|kind| kind.file() == text);
    kind.ok_or_else(|| format!("found {text:?}, expected one of {}", names()))
}
