//! Which blocks are downsampled next. Thanos `cmd/thanos/downsample.go`.

use std::collections::HashSet;

use crate::{BlockId, BlockMeta, Resolution};

/// A raw block shorter than 40 hours is not downsampled.
const RAW_MIN_MS: i64 = 144_000_000;
/// A 5-minute block shorter than 10 days is not downsampled.
const FIVE_MINUTES_MIN_MS: i64 = 864_000_000;

/// A block to downsample, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownsampleJob {
    /// The block.
    pub block: BlockId,
    /// The resolution wanted: 5 minutes from raw, an hour from 5 minutes.
    pub to: Resolution,
}

/// The jobs that are due, ascending by id. A block is done when each of its sources is in some block of the next
/// resolution, whichever labels that one has, as upstream. Blocks of other resolutions are left alone.
pub fn downsample_jobs(blocks: &[BlockMeta]) -> Vec<DownsampleJob> {
    let sources_at = |resolution: Resolution| -> HashSet<BlockId> {
        let of = blocks.iter().filter(|b| b.resolution_ms() == resolution.ms());
        of.flat_map(|b| b.compaction.sources.iter().copied()).collect()
    };
    let have = (sources_at(Resolution::FiveMinutes), sources_at(Resolution::OneHour));
    let job = |block: &BlockMeta| {
        let (to, have, min_ms) = match Resolution::from_ms(block.resolution_ms())? {
            Resolution::Raw => (Resolution::FiveMinutes, &have.0, RAW_MIN_MS),
            Resolution::FiveMinutes => (Resolution::OneHour, &have.1, FIVE_MINUTES_MIN_MS),
            Resolution::OneHour => return None,
        };
        let missing = block.compaction.sources.iter().any(|source| !have.contains(source));
        let long = block.max_time.saturating_sub(block.min_time) >= min_ms;
        (missing && long).then_some(DownsampleJob { block: block.ulid, to })
    };
    let mut jobs: Vec<DownsampleJob> = blocks.iter().filter_map(job).collect();
    jobs.sort_by_key(|job| job.block);
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;
    use crate::{Downsample, ThanosMeta};

    fn at(resolution: i64, mut meta: BlockMeta) -> BlockMeta {
        meta.thanos = Some(ThanosMeta { downsample: Downsample { resolution }, ..ThanosMeta::default() });
        meta
    }

    #[test]
    fn long_blocks_with_a_source_that_is_missing() {
        let raw = at(0, meta(2, 0, RAW_MIN_MS, &[2, 3]));
        let short = at(0, meta(1, 0, RAW_MIN_MS - 1, &[1]));
        let job = |block: &BlockMeta, to| DownsampleJob { block: block.ulid, to };
        let blocks = [raw.clone(), short.clone()];
        assert_eq!(downsample_jobs(&blocks), [job(&raw, Resolution::FiveMinutes)]);
        let five = at(300_000, meta(4, 0, FIVE_MINUTES_MIN_MS, &[2]));
        let hour = at(3_600_000, meta(6, 0, FIVE_MINUTES_MIN_MS, &[9]));
        let blocks = [raw.clone(), five.clone(), hour.clone()];
        let due = [job(&raw, Resolution::FiveMinutes), job(&five, Resolution::OneHour)];
        assert_eq!(downsample_jobs(&blocks), due);
        let rest = at(300_000, meta(5, 0, 1, &[3]));
        let hour = at(3_600_000, meta(7, 0, FIVE_MINUTES_MIN_MS, &[2]));
        assert_eq!(downsample_jobs(&[raw, five, rest, hour]), []);
    }
}
