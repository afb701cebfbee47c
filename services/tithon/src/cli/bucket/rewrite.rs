//! Flags of `tithon tools bucket rewrite`.

use std::path::PathBuf;

use clap::{ArgAction, Args};
use tithon_engine::BlockId;

use crate::flags::BucketFlags;

/// `tithon tools bucket rewrite`.
#[derive(Args, Debug)]
pub struct RewriteFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// A block to rewrite; may be given several times.
    #[arg(long = "id", value_name = "ULID", required = true)]
    pub ids: Vec<BlockId>,
    /// Scratch space, emptied at the start; thanos-rewrite in the system's temporary folder unless given.
    #[arg(long = "tmp.dir", value_name = "DIR")]
    pub tmp_dir: Option<PathBuf>,
    /// Write the changes to the log without making them; --no-dry-run rewrites.
    #[arg(long = "dry-run", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub dry_run: bool,
    /// Also upload blocks without external labels, for a Prometheus.
    #[arg(long = "prom-blocks")]
    pub prom_blocks: bool,
    /// Mark each block for deletion once its rewritten block is uploaded.
    #[arg(long = "delete-blocks")]
    pub delete_blocks: bool,
    /// Hash of each file that is written into meta.json: nothing or SHA256.
    #[arg(long = "hash-func", value_name = "FUNC", default_value = "", hide_default_value = true, value_parser = ["", "SHA256"])]
    pub hash_func: String,
    /// Path of a YAML file with what to delete: matchers (a selector) and intervals (mint, maxt; all of time if none is
    /// given).
    #[arg(
        long = "rewrite.to-delete-config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub to_delete_config_file: String,
    /// The same YAML given inline.
    #[arg(
        long = "rewrite.to-delete-config",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    pub to_delete_config: String,
    /// Path of a YAML file with relabelling steps for the series, as in Prometheus; applied before deletions.
    #[arg(
        long = "rewrite.to-relabel-config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub to_relabel_config_file: String,
    /// The same YAML given inline.
    #[arg(
        long = "rewrite.to-relabel-config",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    pub to_relabel_config: String,
    /// Write each change to change.log in the new block's folder in the scratch space.
    #[arg(long = "rewrite.add-change-log", default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub add_change_log: bool,
}
