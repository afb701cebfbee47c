//! The next steps of a compactor, as pure functions over metas and a given time: grouping, finding duplicates, choosing
//! blocks to merge or downsample, retention. Thanos `pkg/compact`, `pkg/block/fetcher.go`.

mod backlog;
mod choose;
mod coverage;
mod deletion;
mod downsample;
mod duplicates;
mod filter;
mod group;
mod incomplete_shards;
mod next;
mod overlaps;
mod policy;
mod retention;
mod scope;
mod shard;
#[cfg(test)]
mod shard_tests;

pub use self::backlog::{Backlog, backlog};
pub use self::choose::{LEVELS_MS, choose};
pub use self::coverage::is_covered;
pub use self::deletion::{BlockDeletion, SeriesDeletion, id_before, matcher_record};
pub use self::downsample::{
    DownsampleJob, DownsampleSpans, downsample_jobs, downsample_rounds, downsample_targets, not_downsampled,
};
pub use self::duplicates::{Superseded, duplicates, holders, superseded};
pub use self::filter::{in_time, overlapping, sharing_sources, too_fresh, without_replica_labels};
pub use self::group::{Group, families, group, group_key};
pub use self::incomplete_shards::incomplete_shards;
pub use self::next::{Next, NoCompactReason, PlanSettings, next};
pub use self::overlaps::{Overlap, overlaps, twins};
pub use self::policy::{
    Claim, ClaimedSeries, RetentionPolicy, RetentionRule, Verdict, series_over, whole_series,
};
pub use self::retention::Retention;
pub use self::scope::{Scope, TimeBound};
pub use self::shard::{Cut, KEY as SHARD_KEY, SHARDS_MAX, Shard, ShardClass, lineage, mark_cut, mark_merged};
