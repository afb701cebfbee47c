//! The next merge of a group, with the two reasons to leave blocks out of it for good: an index that would grow too
//! large, and overlaps of downsampled blocks. Thanos `pkg/compact/planner.go`.

use std::collections::HashSet;
use std::fmt;

use super::choose;
use super::filter::overlapping;
use crate::{BlockId, BlockMeta};

/// What bounds a plan.
#[derive(Clone, Copy, Debug)]
pub struct PlanSettings<'s> {
    /// The lengths that blocks grow to, ascending, milliseconds.
    pub levels_ms: &'s [i64],
    /// Bytes that the indexes of a plan may have together; 85 % of it are used, as upstream.
    pub index_bytes_max: u64,
    /// Whether overlapping blocks are merged.
    pub vertical: bool,
}

/// Why a block is not to be merged, as the marker says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoCompactReason {
    /// Somebody wants it so.
    Manual,
    /// A merge would pass the limit of the index.
    IndexSizeExceeding,
    /// A series has a chunk that begins before the one before it ends.
    OutOfOrderChunk,
    /// Downsampled blocks overlap.
    DownsampleVertical,
    /// The block is damaged; upstream has no such reason and reads it as any other.
    Corrupt,
}

impl NoCompactReason {
    /// The text in the marker.
    pub const fn as_str(self) -> &'static str {
        match self {
            NoCompactReason::Manual => "manual",
            NoCompactReason::IndexSizeExceeding => "index-size-exceeding",
            NoCompactReason::OutOfOrderChunk => "block-index-out-of-order-chunk",
            NoCompactReason::DownsampleVertical => "downsample-vertical-compaction",
            NoCompactReason::Corrupt => "block-corrupt",
        }
    }
}

impl fmt::Display for NoCompactReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What to do about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Merge these, in this order.
    Merge(Vec<BlockId>),
    /// Mark these, exclude them, and ask again.
    Exclude {
        /// The blocks.
        blocks: Vec<BlockId>,
        /// What the marker says.
        reason: NoCompactReason,
        /// What it says to people.
        details: String,
    },
    /// Find out how large the indexes of these are, and ask again.
    Measure(Vec<BlockId>),
    /// Nothing is due.
    Nothing,
}

/// The next step for a group. `blocks` ascend by first time; `index_bytes` knows the size of an index where the meta
/// does not.
pub fn next(
    blocks: &[BlockMeta],
    settings: PlanSettings<'_>,
    excluded: &HashSet<BlockId>,
    index_bytes: impl Fn(BlockId) -> Option<u64>,
) -> Next {
    let chosen = choose(blocks, settings.levels_ms, excluded);
    if chosen.is_empty() {
        return Next::Nothing;
    }
    let of = |block: &BlockMeta| listed_index_bytes(block).or_else(|| index_bytes(block.ulid));
    let sizes: Vec<Option<u64>> = chosen.iter().map(|block| of(block)).collect();
    let ids = || chosen.iter().map(|block| block.ulid);
    let unknown: Vec<BlockId> =
        ids().zip(&sizes).filter(|(_, size)| size.is_none()).map(|(id, _)| id).collect();
    if !unknown.is_empty() {
        return Next::Measure(unknown);
    }
    let budget = (settings.index_bytes_max as f64 * 0.85) as u64;
    let (mut total, mut largest) = (0u64, None);
    for (id, size) in ids().zip(sizes.into_iter().flatten()) {
        if largest.is_none_or(|(_, most)| size > most) {
            largest = Some((id, size));
        }
        total = total.saturating_add(size);
        if total >= budget
            && let Some((id, size)) = largest
        {
            let details = format!(
                "the indexes of the plan have {total} bytes, the limit is {budget}; this one has {size}"
            );
            return Next::Exclude { blocks: vec![id], reason: NoCompactReason::IndexSizeExceeding, details };
        }
    }
    if settings.vertical {
        let plan: Vec<BlockMeta> = chosen.iter().map(|block| (*block).clone()).collect();
        let downsampled: Vec<BlockId> =
            plan.iter().filter(|block| block.resolution_ms() > 0).map(|block| block.ulid).collect();
        if !downsampled.is_empty() && !overlapping(&plan).is_empty() {
            let details = "downsampled blocks that overlap are not merged".to_owned();
            let reason = NoCompactReason::DownsampleVertical;
            return Next::Exclude { blocks: downsampled, reason, details };
        }
    }
    Next::Merge(ids().collect())
}

/// What the meta lists for the index; not where it lists nothing.
fn listed_index_bytes(block: &BlockMeta) -> Option<u64> {
    let files = &block.thanos.as_ref()?.files;
    files.iter().find(|file| file.rel_path == "index").map(|file| file.size_bytes).filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::LEVELS_MS;
    use crate::plan::duplicates::tests::meta;
    use crate::{Downsample, ThanosMeta};

    const HOUR: i64 = 3_600_000;

    fn settings(index_bytes_max: u64) -> PlanSettings<'static> {
        PlanSettings { levels_ms: &LEVELS_MS, index_bytes_max, vertical: true }
    }

    #[test]
    fn the_largest_block_up_to_the_limit_is_left_out() {
        let blocks: Vec<BlockMeta> =
            (0..5).map(|i| meta(i, i as i64 * 2 * HOUR, (i as i64 + 1) * 2 * HOUR, &[i])).collect();
        let ids: Vec<BlockId> = blocks.iter().map(|block| block.ulid).collect();
        let step = |sizes: [u64; 4], excluded: &[BlockId]| {
            let size = |id: BlockId| ids.iter().position(|i| *i == id).and_then(|i| sizes.get(i).copied());
            next(&blocks, settings(100), &excluded.iter().copied().collect(), size)
        };
        assert_eq!(step([20, 20, 20, 20], &[]), Next::Merge(ids[..4].to_vec()));
        // 30 + 50 stay below 85; with 10 more the limit is reached, and 50 is the largest so far.
        let Next::Exclude { blocks: left_out, reason, .. } = step([30, 50, 10, 90], &[]) else { panic!() };
        assert_eq!((left_out, reason), (vec![ids[1]], NoCompactReason::IndexSizeExceeding));
        let measure = next(&blocks, settings(100), &HashSet::new(), |_| None);
        assert_eq!(measure, Next::Measure(ids[..4].to_vec()));
        assert_eq!(step([0; 4], &ids), Next::Nothing);
    }

    #[test]
    fn overlaps_of_downsampled_blocks_are_left_out() {
        let at = |resolution: i64| {
            let mut blocks = [meta(1, 0, 4 * HOUR, &[1]), meta(2, HOUR, 5 * HOUR, &[2])];
            for block in &mut blocks {
                let downsample = Downsample { resolution };
                block.thanos = Some(ThanosMeta { downsample, ..ThanosMeta::default() });
            }
            next(&blocks, settings(100), &HashSet::new(), |_| Some(1))
        };
        assert!(matches!(at(0), Next::Merge(_)));
        let Next::Exclude { blocks, reason, .. } = at(300_000) else { panic!() };
        assert_eq!((blocks.len(), reason), (2, NoCompactReason::DownsampleVertical));
    }
}
