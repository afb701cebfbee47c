//! Flags of `tithon tools bucket verify`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tithon_engine::BlockId;

use crate::flags::{BackupBucketFlags, BucketFlags, parse_duration};

/// `tithon tools bucket verify`.
#[derive(Args, Debug)]
pub struct VerifyBucketFlags {
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub backup: BackupBucketFlags,
    /// Repair what can be repaired; needs a backup bucket, to which each block is copied before it is deleted.
    #[arg(short = 'r', long = "repair")]
    pub repair: bool,
    /// An issue to look for; may be given several times. overlapped_blocks cannot be repaired.
    #[arg(short = 'i', long = "issues", value_name = "ISSUE", default_values = ["index_known_issues", "overlapped_blocks"])]
    pub issues: Vec<Issue>,
    /// Only this block; may be given several times. Only for index_known_issues.
    #[arg(long = "id", value_name = "ULID")]
    pub ids: Vec<BlockId>,
    /// With 0s, a repaired block is deleted at once; otherwise it is marked, and the compactor deletes it after its own
    /// delay.
    #[arg(long = "delete-delay", value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub delete_delay: Duration,
    /// Scratch space for repairs, in which a temporary folder is created and removed; the system's temporary folder
    /// unless given. Thanos has no such flag.
    #[arg(long = "tmp.dir", value_name = "DIR")]
    pub tmp_dir: Option<PathBuf>,
}

/// `--issues`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Issue {
    /// Chunks out of order or outside of the block's time, labels out of order, indexes that cannot be read.
    #[value(name = "index_known_issues")]
    IndexKnownIssues,
    /// Blocks of one group that overlap.
    #[value(name = "overlapped_blocks")]
    OverlappedBlocks,
    /// Blocks that are the same block twice.
    #[value(name = "duplicated_compaction")]
    DuplicatedCompaction,
}
