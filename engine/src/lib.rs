//! Prometheus blocks: select, merge, dedup, compact, downsample, plan, verify.
//!
//! This crate only computes: it uses no clock, environment or network. Times and options are arguments, and bytes come
//! from a mapped directory or are asked for by range.

mod error;
mod file;
pub mod go_json;
mod id;
mod meta;
mod mmap;
mod tombstones;

mod block;
mod entries;
mod external;
mod input;
mod order;
mod record;
mod records;
mod request;
mod select;
mod series;
mod shard;
mod trim;

pub mod cut;
pub mod diff;
pub mod digest;
pub mod inspect;
pub mod relabel;
pub mod rewrite;
pub mod usage;
pub mod verify;

mod publish;
mod writer;

mod buffers;
mod heap;
mod merge;
mod pipeline;
mod scan;

pub mod compact;
pub mod dedup;
pub mod downsample;

pub mod plan;

pub use crate::block::{Block, BlockSelect};
pub use crate::entries::walk;
pub use crate::error::BlockError;
pub use crate::external::left_to_series;
pub use crate::file::{BlockFile, FileRange};
pub use crate::id::{BlockId, BlockIdError};
pub use crate::merge::{Merge, MergeStep, merge};
pub use crate::meta::{
    BlockDesc, BlockMeta, BlockStats, Compaction, DeletionRequest, Downsample, File, FileHash, IndexStats,
    Interval, MatcherRecord, MetaError, RelabelRecord, Resolution, Rewrite, SourceType, ThanosMeta,
    UploadTime, parse_rfc3339_ms,
};
pub use crate::mmap::MappedFile;
pub use crate::order::{Disorder, Order};
pub use crate::request::{DEFAULT_TENANT, LabelsRequest, SeriesRequest};
pub use crate::select::{
    KeptSeries, LabelRequest, LabelSelect, LabelStep, ReadBytes, Reads, Select, SelectRequest, Step,
};
pub use crate::series::{SelectedSeries, SeriesBatch};
pub use crate::shard::SeriesShard;
pub use crate::tombstones::{Tombstones, TombstonesError};
pub use crate::writer::{BlockFiles, BlockSink, BlockWriter, MetaParts};
