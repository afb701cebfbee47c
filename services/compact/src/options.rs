//! What an operator may set.

use std::path::PathBuf;
use std::time::Duration;

use tithon_bucket::TransferOptions;
use tithon_engine::dedup::Algorithm;
use tithon_engine::plan::{DownsampleSpans, LEVELS_MS, RetentionPolicy, Scope};

/// Options of a [`crate::Compactor`]; the defaults are those of `thanos compact`.
#[derive(Clone, Debug)]
pub struct CompactorOptions {
    /// Scratch space: `compact/` and `downsample/` inside belong to the compactor.
    pub data_dir: PathBuf,
    /// The lengths that blocks grow to, ascending, milliseconds.
    pub levels_ms: Vec<i64>,
    /// How long blocks must be to be downsampled.
    pub spans: DownsampleSpans,
    /// Whether blocks are downsampled at all.
    pub downsampling: bool,
    /// Which blocks are ours.
    pub scope: Scope,
    /// Time from the mark to the deletion of a block.
    pub delete_delay: Duration,
    /// Age of the last change from which a block without meta.json is deleted.
    pub partial_age: Duration,
    /// How long series and blocks are kept.
    pub policy: RetentionPolicy,
    /// Labels that tell replicas apart, ascending; removed before blocks are grouped.
    pub replica_labels: Vec<String>,
    /// Whether overlapping blocks are merged; else they are reported and left alone.
    pub vertical: bool,
    /// How chunks that overlap are merged.
    pub overlap: Algorithm,
    /// Groups worked on at once.
    pub concurrency: usize,
    /// Blocks downsampled at once.
    pub downsample_concurrency: usize,
    /// Blocks of one merge fetched at once.
    pub fetch_concurrency: usize,
    /// Metas and marks read at once.
    pub meta_concurrency: usize,
    /// How blocks are carried.
    pub transfer: TransferOptions,
    /// Bytes that the indexes of one merge may have together for each block that it makes: above, it makes several.
    pub index_bytes_max: u64,
    /// The least number of shards that a merge of blocks that are not shards makes; 0 counts as 1.
    pub split_shards: u32,
    /// What is read back of a block before its sources are marked, and again before they are deleted.
    pub verify: Verify,
    /// Whether faults in the order of an index's labels are passed over.
    pub accept_malformed_index: bool,
    /// Whether the first fault ends the iteration, as in Thanos.
    pub halt_on_error: bool,
    /// Whether merges read and write the bucket by ranges and parts, rather than copy whole blocks to scratch space.
    pub streaming: bool,
    /// Interval between runs of retention and deletion while blocks are merged.
    pub upkeep_interval: Duration,
}

impl Default for CompactorOptions {
    fn default() -> CompactorOptions {
        CompactorOptions {
            data_dir: PathBuf::from("./data"),
            levels_ms: LEVELS_MS.to_vec(),
            spans: DownsampleSpans::default(),
            downsampling: true,
            scope: Scope { consistency_delay_ms: 30 * 60 * 1000, ..Scope::default() },
            delete_delay: Duration::from_secs(48 * 3600),
            partial_age: Duration::from_secs(48 * 3600),
            policy: RetentionPolicy::default(),
            replica_labels: Vec::new(),
            vertical: false,
            overlap: Algorithm::Chain,
            concurrency: 1,
            downsample_concurrency: 1,
            fetch_concurrency: 1,
            meta_concurrency: 32,
            transfer: TransferOptions::default(),
            index_bytes_max: 64 << 30,
            split_shards: 0,
            verify: Verify::Full,
            accept_malformed_index: false,
            halt_on_error: false,
            streaming: false,
            upkeep_interval: Duration::from_secs(5 * 60),
        }
    }
}

/// How much of a block is read back from the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// The index and all chunks: their checksums, and how many chunks and samples there are.
    Full,
    /// The index alone.
    Index,
}
