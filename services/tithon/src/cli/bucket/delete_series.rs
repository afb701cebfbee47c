//! Flags of `tithon tools bucket delete-series`.

use clap::Args;
use tithon_engine::BlockId;
use tithon_engine::plan::TimeBound;

use crate::cli::Output;
use crate::flags::{BucketFlags, SelectorFlags, parse_time};

/// `tithon tools bucket delete-series`.
#[derive(Args, Debug)]
pub struct DeleteSeriesFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub selector: SelectorFlags,
    /// Series that this selects in a query, external labels included, such as '{job="x", pod=~"a.*"}'; given several times, those of each.
    #[arg(long = "match", value_name = "SELECTOR", required_unless_present_any = ["list", "cancel"])]
    pub matches: Vec<String>,
    /// Only samples at or after it: RFC 3339, or a duration from now such as -2w.
    #[arg(long = "min-time", value_name = "TIME", default_value = "0000-01-01T00:00:00Z", value_parser = parse_time,
          allow_hyphen_values = true)]
    pub min_time: TimeBound,
    /// Only samples at or before it.
    #[arg(long = "max-time", value_name = "TIME", default_value = "9999-12-31T23:59:59Z", value_parser = parse_time,
          allow_hyphen_values = true)]
    pub max_time: TimeBound,
    /// Only data of this block, wherever it is: blocks that were downsampled from it or merged of it have it too; may be given
    /// several times. Without it, data of all blocks that are there now.
    #[arg(long = "id", value_name = "ULID")]
    pub ids: Vec<BlockId>,
    /// Delete data that is uploaded later too, until the request is cancelled.
    #[arg(long = "include-later", conflicts_with = "ids")]
    pub include_later: bool,
    /// Only say what would go; reads indexes, and changes nothing.
    #[arg(long = "dry-run")]
    pub dry_run: bool,
    /// Who asks for it: the user's name and the machine's unless given.
    #[arg(long = "author", value_name = "NAME")]
    pub author: Option<String>,
    /// Why, for people.
    #[arg(long = "details", value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub details: String,
    /// The requests that are in force and those that were carried out.
    #[arg(long = "list", conflicts_with_all = ["matches", "cancel"])]
    pub list: bool,
    /// Take a request out of force. What was written anew already stays without its samples.
    #[arg(long = "cancel", value_name = "ID", conflicts_with = "matches")]
    pub cancel: Option<BlockId>,
    /// How what is found is printed.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}
