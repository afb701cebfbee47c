//! What a compactor does next, as pure functions over metas and a given time: group, drop duplicates, choose blocks
//! to merge or downsample, expire. Thanos `pkg/compact`, `pkg/block/fetcher.go`.

mod choose;
mod downsample;
mod duplicates;
mod group;
mod retention;

pub use self::choose::{LEVELS_MS, choose};
pub use self::downsample::{DownsampleJob, downsample_jobs};
pub use self::duplicates::duplicates;
pub use self::group::{Group, group, group_key};
pub use self::retention::{Retention, expired};
