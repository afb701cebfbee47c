//! Blocks whose data other blocks of their labels and resolution hold too, according to their level-1 sources.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::coverage::{Coverage, Holding};
use crate::{BlockId, BlockMeta, SourceType};

/// A block that is superfluous because other blocks hold its data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Superseded {
    /// The block that is superfluous.
    pub block: BlockId,
    /// The block that has all of its sources, or the shards that have them together; ascending.
    pub by: Vec<BlockId>,
}

/// The superfluous blocks of one family (equal labels and resolution), ascending by id: another block, or all shards of a
/// cut together, have all of their sources. Of equal blocks a repaired one stays, else the one with the oldest id.
///
/// A block that names no source stays; upstream takes it for a duplicate of any other. The shards of a cut supersede the
/// blocks that were cut only when all of them exist.
pub fn superseded<M: Borrow<BlockMeta>>(family: &[M]) -> Vec<Superseded> {
    let repaired = |b: &BlockMeta| b.thanos.as_ref().is_some_and(|t| t.source == SourceType::CompactorRepair);
    let holding = |block: &M| (Holding::new(block.borrow()), repaired(block.borrow()));
    let mut blocks: Vec<(Holding, bool)> = family.iter().map(holding).collect();
    // Blocks that were cut come after their shards.
    blocks.sort_by_key(|(holding, repaired)| {
        let (sources, shards) = (holding.sources.len(), holding.class.count);
        (Reverse((sources, shards)), !repaired, holding.block)
    });
    let mut kept = Coverage::default();
    let mut gone = Vec::new();
    for (holding, _) in blocks {
        match kept.successors(&holding) {
            Some(by) => {
                if holding.is_shard() {
                    kept.remove(holding.block);
                    kept.add(holding.clone());
                }
                gone.push((holding, by));
            }
            None => kept.add(holding),
        }
    }
    // The data of shards from an unfinished cut may be in a block that comes after them.
    for shard in kept.shards() {
        if let Some(by) = kept.successors(&shard) {
            kept.remove(shard.block);
            gone.push((shard, by));
        }
    }
    let found = |(holding, by): (Holding, Vec<BlockId>)| {
        // Successors that were removed themselves are replaced by their own successors.
        let by = kept.successors(&holding).unwrap_or(by);
        Superseded { block: holding.block, by }
    };
    let mut found: Vec<Superseded> = gone.into_iter().map(found).collect();
    found.sort_unstable();
    found
}

/// The blocks of a family that hold everything that `block` holds: a single block, or shards together; ascending.
/// Blocks in `gone` hold nothing, but their records of cuts count. `None` if data is missing, or if `block` names no
/// source.
pub fn holders(block: &BlockMeta, family: &[BlockMeta], gone: &BTreeSet<BlockId>) -> Option<Vec<BlockId>> {
    let mut coverage = Coverage::of(family);
    gone.iter().for_each(|block| coverage.remove(*block));
    coverage.successors(&Holding::new(block))
}

/// The superfluous blocks of [`superseded`], ascending by id.
pub fn duplicates<M: Borrow<BlockMeta>>(family: &[M]) -> Vec<BlockId> {
    superseded(family).into_iter().map(|found| found.block).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{BlockStats, Compaction};

    /// A meta of which only id, times and sources matter.
    pub(crate) fn meta(id: u64, min_time: i64, max_time: i64, sources: &[u64]) -> BlockMeta {
        BlockMeta {
            ulid: BlockId::from_parts(id, 0),
            min_time,
            max_time,
            stats: BlockStats::default(),
            compaction: Compaction {
                level: 1,
                sources: sources.iter().map(|s| BlockId::from_parts(*s, 0)).collect(),
                ..Compaction::default()
            },
            version: 1,
            thanos: None,
        }
    }

    fn check(blocks: &[(u64, &[u64])], expected: &[u64]) {
        let metas: Vec<_> = blocks.iter().map(|(id, sources)| meta(*id, 0, 1, sources)).collect();
        let found: Vec<u64> = duplicates(&metas).iter().map(|id| id.unix_ms()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn subsets_of_a_single_block_go() {
        check(&[(1, &[1]), (2, &[2])], &[]);
        check(&[(1, &[1]), (2, &[2]), (3, &[1, 2])], &[1, 2]);
        check(&[(4, &[1, 2]), (3, &[2, 1])], &[4]);
        check(&[(1, &[1, 2]), (2, &[2, 3]), (3, &[1, 3])], &[]);
        check(&[(1, &[]), (2, &[2])], &[]);
        check(&[(5, &[1, 2, 3]), (6, &[2, 3, 4]), (7, &[2, 3])], &[7]);
    }

    #[test]
    fn a_repaired_block_wins_and_successors_are_named() {
        let mut blocks = [meta(1, 0, 1, &[7]), meta(2, 0, 1, &[7]), meta(3, 0, 1, &[8])];
        let pair = |block: usize, by: usize, blocks: &[BlockMeta]| Superseded {
            block: blocks[block].ulid,
            by: vec![blocks[by].ulid],
        };
        assert_eq!(superseded(&blocks), [pair(1, 0, &blocks)]);
        let thanos =
            crate::ThanosMeta { source: SourceType::CompactorRepair, ..crate::ThanosMeta::default() };
        blocks[1].thanos = Some(thanos);
        assert_eq!(superseded(&blocks), [pair(0, 1, &blocks)]);
    }

    fn ids(blocks: &[BlockMeta]) -> Vec<u64> {
        duplicates(blocks).iter().map(|id| id.unix_ms()).collect()
    }

    #[test]
    fn holders_are_not_gone_themselves() {
        let blocks =
            [meta(1, 0, 1, &[1]), meta(2, 1, 2, &[2]), meta(3, 0, 2, &[1, 2]), meta(4, 0, 4, &[1, 2, 9])];
        let found = |block: usize, gone: &[usize]| {
            let gone = gone.iter().map(|i| blocks[*i].ulid).collect();
            holders(&blocks[block], &blocks, &gone)
                .map(|ids| ids.iter().map(|id| id.unix_ms()).collect::<Vec<_>>())
        };
        assert_eq!(found(0, &[0]), Some(vec![3]));
        assert_eq!(found(0, &[0, 2]), Some(vec![4]));
        assert_eq!(found(0, &[0, 2, 3]), None);
        assert_eq!(found(3, &[]), None);
    }

    #[test]
    fn shards_supersede_together_and_never_their_siblings() {
        use crate::plan::shard::tests::shard;
        let old = [meta(1, 0, 1, &[1]), meta(2, 1, 2, &[2])];
        let of = |id, index, count, sources: &[u64]| shard(id, (0, 2), (index, count), &[0, 2], sources);
        let (a, b) = (of(3, 0, 3, &[1, 2]), of(4, 2, 3, &[1, 2]));
        let check = |more: &[&BlockMeta], expected: &[u64]| {
            let blocks: Vec<BlockMeta> = old.iter().chain(more.iter().copied()).cloned().collect();
            assert_eq!(ids(&blocks), expected, "{more:?}");
        };
        // Half a cut makes no block superfluous; the whole cut (shard 1 has no series) does.
        check(&[&a], &[]);
        check(&[&a, &b], &[1, 2]);
        let found = superseded(&[old[0].clone(), a.clone(), b.clone()]);
        assert_eq!(found, [Superseded { block: old[0].ulid, by: vec![a.ulid, b.ulid] }]);
        // One shard has been merged further: the result still counts for its sources.
        let later = of(5, 0, 3, &[1, 2, 9]);
        check(&[&later, &b], &[1, 2]);
        check(&[&a, &later, &b], &[1, 2, 3]);
        // A second attempt at the cut: the first attempt's block stays.
        check(&[&a, &of(6, 0, 3, &[1, 2]), &of(7, 2, 3, &[1, 2])], &[1, 2, 6]);
        // An attempt that was abandoned, followed by a merge without shards or with other shards.
        check(&[&a, &meta(8, 0, 2, &[1, 2])], &[1, 2, 3]);
        check(&[&a, &of(8, 0, 4, &[1, 2]), &of(9, 2, 4, &[1, 2])], &[1, 2, 3]);
        // The parts of a shard that was cut again supersede it together, and so do they the blocks before the cut; half
        // of the parts do not.
        let again = |id, index| {
            let mut block = meta(id, 0, 2, &[id]);
            let cuts = vec![crate::plan::shard::Cut {
                count_before: 3,
                indexes: vec![0, 3],
                sources: vec![old[0].ulid, old[1].ulid],
            }];
            let class = crate::plan::ShardClass { index, count: 6 };
            crate::plan::Shard { class, cuts }.attach(&mut block);
            block
        };
        check(&[&again(10, 0), &again(11, 3)], &[]);
        check(&[&a, &again(10, 0), &again(11, 3)], &[3]);
        check(&[&a, &again(10, 0)], &[10]);
        check(&[&again(10, 0), &again(11, 3), &a, &b], &[1, 2, 3]);
    }
}
