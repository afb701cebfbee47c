//! Flags of `tithon tools bucket`.

use clap::{Args, Subcommand};
use tithon_engine::BlockId;

use super::Output;
use crate::flags::{BucketFlags, ScopeFlags};

/// `tithon tools bucket`.
#[derive(Args, Debug)]
pub struct BucketToolFlags {
    #[command(subcommand)]
    pub command: BucketToolCommand,
}

/// The tools.
#[derive(Subcommand, Debug)]
pub enum BucketToolCommand {
    /// Which labels and metrics have the most values and series; reads the tables of the indexes only.
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
    /// Entries of each list.
    #[arg(long = "limit", value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// How the lists are printed.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}
