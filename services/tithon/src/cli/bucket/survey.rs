//! Flags of the tools that show what is in a bucket: `stat`, `analyze`, `diff`.

use clap::Args;
use tithon_engine::BlockId;

use super::super::Output;
use crate::flags::{BucketFlags, ScopeFlags, ToBucketFlags};

/// `tithon tools bucket stat`.
#[derive(Args, Debug)]
pub struct StatFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub scope: ScopeFlags,
    /// Group by this external label, such as tenant_id; may be given several times. Groups by all labels unless given.
    #[arg(long = "by", value_name = "LABEL")]
    pub by: Vec<String>,
    /// A label that tells replicas apart, as configured for the compactor, whose next merges depend on it. May be given
    /// several times or with commas.
    #[arg(long = "deduplication.replica-label", value_name = "LABEL", value_delimiter = ',')]
    pub replica_label: Vec<String>,
    /// A table for people or JSON for programs.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// `tithon tools bucket analyze`.
#[derive(Args, Debug)]
pub struct AnalyzeFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub scope: ScopeFlags,
    /// Only this block; may be given several times. Without it, the newest raw block of each set of external labels.
    #[arg(long = "id", value_name = "ULID")]
    pub ids: Vec<BlockId>,
    /// All raw blocks.
    #[arg(long = "all", conflicts_with = "ids")]
    pub all: bool,
    /// Number of metrics that are listed.
    #[arg(long = "limit", value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// A table for people or JSON for programs.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// `tithon tools bucket diff`.
#[derive(Args, Debug)]
pub struct DiffBucketFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub to: ToBucketFlags,
    #[command(flatten)]
    pub scope: ScopeFlags,
    /// An external label to ignore when blocks are matched; may be given several times.
    #[arg(long = "replica-label", value_name = "LABEL")]
    pub replica_label: Vec<String>,
    /// Stop after this many differences of each resolution and set of external labels.
    #[arg(long = "most", value_name = "N", default_value_t = 100)]
    pub most: usize,
    /// A table for people or JSON for programs.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}
