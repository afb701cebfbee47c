//! The next merge of a group, into as many blocks as the size of the index requires. Blocks are excluded for good for
//! two

use std::collections::HashSet;
use std::fmt;

use super::choose;
use super::filter::overlapping;
use super::shard::{SHARDS_MAX, ShardClass};
use crate::{BlockId, BlockMeta};

/// Limits and options of a plan.
#[derive(Clone, Copy, Debug)]
pub struct PlanSettings<'s> {
    /// The lengths to which blocks grow, ascending, milliseconds.
    pub levels_ms: &'s [i64],
    /// The most bytes that the indexes of a plan may have together, for each block that the plan makes; 85 % of the
    /// limit are used, as upstream does.
    pub index_bytes_max: u64,
    /// The least number of shards into which blocks that are not shards are merged; 0 counts as 1.
    pub shards: u32,
    /// Whether overlapping blocks are merged.
    pub vertical: bool,
}

/// Why a block must not be merged; the value of the marker's `reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoCompactReason {
    /// An operator set the mark.
    Manual,
    /// A merge would exceed the limit of the index size.
    IndexSizeExceeding,
    /// A series has a chunk that begins before the one before it ends.
    OutOfOrderChunk,
    /// Downsampled blocks overlap.
    DownsampleVertical,
    /// The block is damaged. Upstream has no such reason, and reads it as any unknown one.
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

/// The next step for a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Merge these blocks, in this order.
    Merge {
        /// The blocks.
        blocks: Vec<BlockId>,
        /// Number of blocks to make, at least 1; the series are spread over them by their hash.
        into: u32,
    },
    /// Mark these blocks, exclude them, and ask again.
    Exclude {
        /// The blocks.
        blocks: Vec<BlockId>,
        /// The reason in the marker.
        reason: NoCompactReason,
        /// The text for people in the marker.
        details: String,
    },
    /// Find the sizes of the indexes of these blocks, and ask again.
    Measure(Vec<BlockId>),
    /// No merge is due.
    Nothing,
}

/// The next step for a group. `blocks` ascend by first time; `index_bytes` returns the size of an index that the meta
/// does not have.
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
    let sizes: Vec<(BlockId, u64)> = ids().zip(sizes.into_iter().flatten()).collect();
    let into = match shards_needed(ShardClass::of(chosen[0]), &sizes, settings) {
        Ok(into) => into,
        Err(exclude) => return exclude,
    };
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
    Next::Merge { blocks: ids().collect(), into }
}

/// The number of blocks into which blocks of `class` with indexes of these sizes are merged. If no number suffices, the
/// block to exclude: the one that upstream excludes from a plan that is too large.
fn shards_needed(
    class: ShardClass,
    sizes: &[(BlockId, u64)],
    settings: PlanSettings<'_>,
) -> Result<u32, Next> {
    let budget = (settings.index_bytes_max as f64 * 0.85) as u64;
    let asked = if class == ShardClass::ALL { settings.shards.clamp(1, SHARDS_MAX) } else { 1 };
    let total = sizes.iter().fold(0u64, |total, (_, size)| total.saturating_add(*size));
    if total / u64::from(asked) < budget {
        return Ok(asked);
    }
    let needed = total.checked_div(budget).and_then(|n| u32::try_from(n.saturating_add(1)).ok());
    if let Some(needed) = needed.filter(|n| n.saturating_mul(class.count) <= SHARDS_MAX) {
        return Ok(needed);
    }
    let (mut total, mut largest) = (0u64, sizes[0]);
    for (id, size) in sizes {
        if *size > largest.1 {
            largest = (*id, *size);
        }
        total = total.saturating_add(*size);
        if total >= budget {
            break;
        }
    }
    let (id, size) = largest;
    let details =
        format!("the indexes of the plan have {total} bytes, the limit is {budget}; this one has {size}");
    Err(Next::Exclude { blocks: vec![id], reason: NoCompactReason::IndexSizeExceeding, details })
}

/// The size of the index, if the meta lists it.
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
        PlanSettings { levels_ms: &LEVELS_MS, index_bytes_max, shards: 0, vertical: true }
    }

    fn blocks_and_ids() -> (Vec<BlockMeta>, Vec<BlockId>) {
        let block = |i: u64| meta(i, i as i64 * 2 * HOUR, (i as i64 + 1) * 2 * HOUR, &[i]);
        let blocks: Vec<BlockMeta> = (0..5).map(block).collect();
        let ids = blocks.iter().map(|block| block.ulid).collect();
        (blocks, ids)
    }

    #[test]
    fn as_many_shards_as_the_index_needs() {
        let (blocks, ids) = blocks_and_ids();
        let into = |blocks: &[BlockMeta], size: u64, shards: u32| {
            let settings = PlanSettings { shards, ..settings(100) };
            match next(blocks, settings, &HashSet::new(), |_| Some(size)) {
                Next::Merge { blocks, into } => {
                    assert_eq!(blocks, ids[..4]);
                    into
                }
                other => panic!("{other:?}"),
            }
        };
        for (size, shards, expected) in [
            (20, 0, 1),
            (21, 1, 1),
            (22, 0, 2),
            (22, 3, 3),
            (63, 0, 3),
            (64, 0, 4),
            (64, 2, 4),
            (64, 5, 5),
            (1, 5000, 1024),
        ] {
            assert_eq!(into(&blocks, size, shards), expected, "{size} {shards}");
        }
        // Shards are cut again only if their index needs it.
        let mut shards = blocks.clone();
        for (i, block) in shards.iter_mut().enumerate() {
            let cuts = vec![crate::plan::Cut { count_before: 1, indexes: vec![2], sources: vec![ids[i]] }];
            crate::plan::Shard { class: ShardClass { index: 2, count: 4 }, cuts }.attach(block);
        }
        assert_eq!((into(&shards, 20, 4), into(&shards, 64, 4)), (1, 4));
        let too_many = next(&shards, settings(100), &HashSet::new(), |_| Some(85 * 1024 / 4 / 4));
        assert!(matches!(too_many, Next::Exclude { .. }), "{too_many:?}");
    }

    #[test]
    fn the_largest_block_is_left_out_where_no_number_of_shards_will_do() {
        let (blocks, ids) = blocks_and_ids();
        let step = |sizes: [u64; 4], excluded: &[BlockId]| {
            let size = |id: BlockId| ids.iter().position(|i| *i == id).and_then(|i| sizes.get(i).copied());
            next(&blocks, settings(100), &excluded.iter().copied().collect(), size)
        };
        // The limit is reached with the third block; the second block is the largest so far.
        let Next::Exclude { blocks: left_out, reason, .. } = step([30, 50, 10, 90_000], &[]) else {
            panic!()
        };
        assert_eq!((left_out, reason), (vec![ids[1]], NoCompactReason::IndexSizeExceeding));
        let measure = next(&blocks, settings(100), &HashSet::new(), |_| None);
        assert_eq!(measure, Next::Measure(ids[..4].to_vec()));
        assert_eq!(step([0; 4], &ids), Next::Nothing);
        assert!(matches!(next(&blocks, settings(0), &HashSet::new(), |_| Some(0)), Next::Exclude { .. }));
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
        assert!(matches!(at(0), Next::Merge { .. }));
        let Next::Exclude { blocks, reason, .. } = at(300_000) else { panic!() };
        assert_eq!((blocks.len(), reason), (2, NoCompactReason::DownsampleVertical));
    }
}
