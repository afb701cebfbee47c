//! Chooses the blocks to downsample next. Thanos `cmd/thanos/downsample.go`.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::coverage::Coverage;
use super::shard::{Shard, ShardClass, lineage};
use crate::{BlockId, BlockMeta, Resolution};

/// The least length of blocks that are downsampled, milliseconds.
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

/// A block to downsample, and the resolution to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownsampleJob {
    /// The block.
    pub block: BlockId,
    /// The resolution to make: 5 minutes from raw, an hour from 5 minutes.
    pub to: Resolution,
}

/// The jobs that are due, ascending by id. A block is done when each of its sources is in some block of the next
/// resolution, whatever that block's labels, as upstream; for a shard, that block must hold the same series. Blocks of
/// other resolutions are ignored.
pub fn downsample_jobs(blocks: &[BlockMeta], spans: DownsampleSpans) -> Vec<DownsampleJob> {
    let at =
        |resolution: Resolution| Coverage::of(blocks.iter().filter(|b| b.resolution_ms() == resolution.ms()));
    let have = (at(Resolution::FiveMinutes), at(Resolution::OneHour));
    let job = |block: &BlockMeta| {
        let (to, have, min_ms) = match Resolution::from_ms(block.resolution_ms())? {
            Resolution::Raw => (Resolution::FiveMinutes, &have.0, spans.raw_min_ms),
            Resolution::FiveMinutes => (Resolution::OneHour, &have.1, spans.five_minutes_min_ms),
            Resolution::OneHour => return None,
        };
        let class = ShardClass::of(block);
        let missing = lineage(block).into_iter().any(|source| !have.holds(source, class));
        let long = block.max_time.saturating_sub(block.min_time) >= min_ms;
        (missing && long).then_some(DownsampleJob { block: block.ulid, to })
    };
    let mut jobs: Vec<DownsampleJob> = blocks.iter().filter_map(job).collect();
    jobs.sort_by_key(|job| job.block);
    jobs
}

/// The blocks of which some data is in no block of a coarser resolution, whether or not they are long enough for that.
pub fn not_downsampled(blocks: &[BlockMeta]) -> HashSet<BlockId> {
    let at =
        |resolution: Resolution| Coverage::of(blocks.iter().filter(|b| b.resolution_ms() == resolution.ms()));
    let (of_5m, of_1h) = (at(Resolution::FiveMinutes), at(Resolution::OneHour));
    let lacks = |block: &&BlockMeta| {
        let (class, resolution) = (ShardClass::of(block), Resolution::from_ms(block.resolution_ms()));
        lineage(block).into_iter().any(|source| match resolution {
            Some(Resolution::Raw) => !of_5m.holds(source, class) && !of_1h.holds(source, class),
            Some(Resolution::FiveMinutes) => !of_1h.holds(source, class),
            Some(Resolution::OneHour) | None => false,
        })
    };
    blocks.iter().filter(lacks).map(|block| block.ulid).collect()
}

/// The jobs of [`downsample_jobs`] that can be carried out now, in rounds: the blocks of one round should appear
/// together. A round is one block, except for shards: readers prefer a coarser block to all finer blocks of its time,
/// so the shards of one time wait until all of them exist and have the same range.
pub fn downsample_rounds(blocks: &[BlockMeta], spans: DownsampleSpans) -> Vec<Vec<DownsampleJob>> {
    let by_id: HashMap<BlockId, &BlockMeta> = blocks.iter().map(|block| (block.ulid, block)).collect();
    let labels = |block: &BlockMeta| block.thanos.as_ref().map(|thanos| thanos.labels.clone());
    let mut rounds: Vec<Vec<DownsampleJob>> = Vec::new();
    let mut of_shards: BTreeMap<_, Vec<DownsampleJob>> = BTreeMap::new();
    for job in downsample_jobs(blocks, spans) {
        let Some(block) = by_id.get(&job.block) else { continue };
        if Shard::of(block).is_none() {
            rounds.push(vec![job]);
            continue;
        }
        let window = (block.resolution_ms(), labels(block), block.min_time, block.max_time);
        of_shards.entry(window).or_default().push(job);
    }
    for ((resolution_ms, family, min, max), jobs) in of_shards {
        let beside = |b: &&BlockMeta| {
            b.resolution_ms() == resolution_ms && labels(b) == family && b.min_time < max && b.max_time > min
        };
        let shards = blocks.iter().filter(beside).filter_map(|b| Some((b, Shard::of(b)?)));
        let shards: Vec<(&BlockMeta, Shard)> = shards.collect();
        let aligned = shards.iter().all(|(b, _)| (b.min_time, b.max_time) == (min, max));
        if aligned && is_complete(&shards) {
            rounds.push(jobs);
        }
    }
    rounds
}

/// Whether all shards of every cut in the lineage of these blocks are among them.
fn is_complete(shards: &[(&BlockMeta, Shard)]) -> bool {
    let is_there = |class: ShardClass| {
        shards.iter().any(|(_, other)| class.contains(other.class) || other.class.contains(class))
    };
    shards.iter().all(|(_, shard)| {
        let count = shard.class.count;
        let mut indexes = shard.cuts.iter().flat_map(|cut| &cut.indexes);
        indexes.all(|index| is_there(ShardClass { index: *index, count }))
    })
}

/// All resolutions to make from the job's block in one pass: an hour too, if the new block of 5 minutes would be due at
/// once.
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

    #[test]
    fn shards_of_one_time_go_together() {
        use crate::plan::shard::tests::shard;
        let of = |id, to, index, sources: &[u64]| shard(id, (0, to), (index, 3), &[0, 2], sources);
        let rounds = |blocks: &[BlockMeta]| -> Vec<Vec<u64>> {
            let rounds = downsample_rounds(blocks, SPANS);
            rounds.iter().map(|jobs| jobs.iter().map(|job| job.block.unix_ms()).collect()).collect()
        };
        let five = |mut block: BlockMeta| {
            block.thanos.as_mut().unwrap().downsample.resolution = 300_000;
            block
        };
        let (a, b) = (of(1, 40, 0, &[7, 8]), of(2, 40, 2, &[7, 8]));
        assert_eq!(rounds(&[a.clone(), b.clone()]), [[1, 2]]);
        // One shard is missing, or still has another length.
        assert!(rounds(std::slice::from_ref(&a)).is_empty());
        assert!(rounds(&[a.clone(), of(2, 8, 2, &[7])]).is_empty());
        // The result of one shard does not count for the other's series; the result of a block from before the cut
        // counts for both.
        assert_eq!(rounds(&[a.clone(), b.clone(), five(of(3, 40, 0, &[7, 8]))]), [[2]]);
        let whole = at(300_000, meta(4, 0, 1, &[7, 8]));
        assert!(rounds(&[a.clone(), b.clone(), whole]).is_empty());
        // Blocks that are not shards are done when all shards are.
        let raw = meta(5, 0, RAW_MIN_MS, &[7]);
        let fives = [five(of(3, 40, 0, &[7, 8])), five(of(6, 40, 2, &[7, 8]))];
        assert_eq!(rounds(&[raw.clone(), fives[0].clone()]), [[5]]);
        assert!(rounds(&[&[raw], &fives[..]].concat()).is_empty());
    }
}
