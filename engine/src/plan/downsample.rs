//! Which blocks are downsampled next. Thanos `cmd/thanos/downsample.go`.

use std::collections::HashSet;

use crate::{BlockId, BlockMeta, Resolution};

/// How long a block must be before it is downsampled, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownsampleSpans {
    /// From raw to 5 minutes.
    pub raw_min_ms: i64,
    /// From 5 minutes to an hour.
    pub five_minutes_min_ms: i64,
}

impl Default for DownsampleSpans {
    /// Upstream's 40 hours and 10 days.
    fn default() -> DownsampleSpans {
        DownsampleSpans { raw_min_ms: 144_000_000, five_minutes_min_ms: 864_000_000 }
    }
}

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
pub fn downsample_jobs(blocks: &[BlockMeta], spans: DownsampleSpans) -> Vec<DownsampleJob> {
    let sources_at = |resolution: Resolution| -> HashSet<BlockId> {
        let of = blocks.iter().filter(|b| b.resolution_ms() == resolution.ms());
        of.flat_map(|b| b.compaction.sources.iter().copied()).collect()
    };
    let have = (sources_at(Resolution::FiveMinutes), sources_at(Resolution::OneHour));
    let job = |block: &BlockMeta| {
        let (to, have, min_ms) = match Resolution::from_ms(block.resolution_ms())? {
            Resolution::Raw => (Resolution::FiveMinutes, &have.0, spans.raw_min_ms),
            Resolution::FiveMinutes => (Resolution::OneHour, &have.1, spans.five_minutes_min_ms),
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

/// All that is to be made of the job's block in one pass: an hour too, where the block of 5 minutes that comes out would
/// be due at once.
pub fn downsample_targets(
    job: DownsampleJob,
    blocks: &[BlockMeta],
    spans: DownsampleSpans,
) -> Vec<Resolution> {
    let mut targets = vec![job.to];
    let source = blocks.iter().find(|block| block.ulid == job.block);
    if let (Resolution::FiveMinutes, Some(source)) = (job.to, source) {
        let mut made = source.clone();
        let resolution = Resolution::FiveMinutes.ms();
        made.thanos.get_or_insert_default().downsample.resolution = resolution;
        let hours = blocks.iter().filter(|block| block.resolution_ms() == Resolution::OneHour.ms());
        let then: Vec<BlockMeta> = hours.cloned().chain([made]).collect();
        targets.extend(downsample_jobs(&then, spans).first().map(|next| next.to));
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;
    use crate::{Downsample, ThanosMeta};

    const SPANS: DownsampleSpans =
        DownsampleSpans { raw_min_ms: 144_000_000, five_minutes_min_ms: 864_000_000 };
    const RAW_MIN_MS: i64 = SPANS.raw_min_ms;
    const FIVE_MINUTES_MIN_MS: i64 = SPANS.five_minutes_min_ms;

    #[test]
    fn both_levels_in_one_pass_where_both_are_due() {
        let job = |block: &BlockMeta| DownsampleJob { block: block.ulid, to: Resolution::FiveMinutes };
        let (short, long) = (meta(1, 0, RAW_MIN_MS, &[1]), meta(2, 0, FIVE_MINUTES_MIN_MS, &[2]));
        let hour = at(3_600_000, meta(3, 0, FIVE_MINUTES_MIN_MS, &[2]));
        let check = |block: &BlockMeta, blocks: &[BlockMeta], both: bool| {
            let targets = downsample_targets(job(block), blocks, SPANS);
            assert_eq!(targets.len(), 1 + usize::from(both));
        };
        check(&short, std::slice::from_ref(&short), false);
        check(&long, &[short.clone(), long.clone()], true);
        check(&long, &[long.clone(), hour], false);
    }

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
        assert_eq!(downsample_jobs(&blocks, SPANS), [job(&raw, Resolution::FiveMinutes)]);
        let five = at(300_000, meta(4, 0, FIVE_MINUTES_MIN_MS, &[2]));
        let hour = at(3_600_000, meta(6, 0, FIVE_MINUTES_MIN_MS, &[9]));
        let blocks = [raw.clone(), five.clone(), hour.clone()];
        let due = [job(&raw, Resolution::FiveMinutes), job(&five, Resolution::OneHour)];
        assert_eq!(downsample_jobs(&blocks, SPANS), due);
        let rest = at(300_000, meta(5, 0, 1, &[3]));
        let hour = at(3_600_000, meta(7, 0, FIVE_MINUTES_MIN_MS, &[2]));
        assert_eq!(downsample_jobs(&[raw, five, rest, hour], SPANS), []);
    }
}
