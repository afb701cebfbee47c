//! Blocks whose data another block of their group holds too, told by the level-1 blocks that went into each.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::{BlockId, BlockMeta, Source};

/// A block whose data another one holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Superseded {
    /// The block that is superfluous.
    pub block: BlockId,
    /// The block that has all of its sources.
    pub by: BlockId,
}

/// The blocks of one group that another single one makes superfluous: all of whose sources it has. Of equal ones a
/// repaired one stays, else the oldest id. Ascending by id.
///
/// A block that names no source stays, unlike upstream, which takes it for a part of anything.
pub fn superseded(group: &[BlockMeta]) -> Vec<Superseded> {
    let repaired = |b: &BlockMeta| b.thanos.as_ref().is_some_and(|t| t.source == Source::CompactorRepair);
    let mut blocks: Vec<&BlockMeta> = group.iter().collect();
    blocks.sort_by_key(|b| (std::cmp::Reverse(b.compaction.sources.len()), !repaired(b), b.ulid));
    // Kept blocks by each of their sources: a candidate is compared with those only that have its first source.
    let mut kept: HashMap<BlockId, Vec<Kept>> = HashMap::new();
    let mut found = Vec::new();
    for block in blocks {
        let sources = &block.compaction.sources;
        let candidates = sources.first().and_then(|first| kept.get(first));
        let by = candidates.and_then(|all| all.iter().find(|(_, k)| sources.iter().all(|s| k.contains(s))));
        if let Some((by, _)) = by {
            found.push(Superseded { block: block.ulid, by: *by });
            continue;
        }
        let set: Rc<HashSet<BlockId>> = Rc::new(sources.iter().copied().collect());
        for source in set.iter() {
            kept.entry(*source).or_default().push((block.ulid, Rc::clone(&set)));
        }
    }
    found.sort_unstable();
    found
}

/// A block that stays, and its sources.
type Kept = (BlockId, Rc<HashSet<BlockId>>);

/// The superfluous blocks of [`superseded`], ascending by id.
pub fn duplicates(group: &[BlockMeta]) -> Vec<BlockId> {
    superseded(group).into_iter().map(|found| found.block).collect()
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
            by: blocks[by].ulid,
        };
        assert_eq!(superseded(&blocks), [pair(1, 0, &blocks)]);
        let thanos = crate::ThanosMeta { source: Source::CompactorRepair, ..crate::ThanosMeta::default() };
        blocks[1].thanos = Some(thanos);
        assert_eq!(superseded(&blocks), [pair(0, 1, &blocks)]);
    }
}
