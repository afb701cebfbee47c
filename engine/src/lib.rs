//! Prometheus blocks: select, merge, dedup, compact, downsample, plan, verify.
//!
//! Everything here is computing: no clock, environment or network; time and options are arguments, and bytes come
//! from a mapped directory or are asked for by range.

mod id;
mod meta;
mod mmap;
mod tombstones;

pub use crate::id::{BlockId, BlockIdError};
pub use crate::meta::{
    BlockDesc, BlockMeta, BlockStats, Compaction, DeletionRequest, Downsample, File, FileHash, IndexStats,
    Interval, MatcherRecord, MetaError, RelabelRecord, Resolution, Rewrite, Source, ThanosMeta, UploadTime,
};
pub use crate::tombstones::{Tombstones, TombstonesError};
