//! Blocks whose data another block of their group holds too, told by the level-1 blocks that went into each.

use std::collections::HashSet;

use crate::{BlockId, BlockMeta};

/// The blocks of one group that another single one makes superfluous: all of whose sources it has. Of equal ones the
/// oldest id stays. Ascending by id.
pub fn duplicates(group: &[BlockMeta]) -> Vec<BlockId> {
    let mut blocks: Vec<&BlockMeta> = group.iter().collect();
    blocks.sort_by_key(|b| (std::cmp::Reverse(b.compaction.sources.len()), b.ulid));
    let mut kept: Vec<HashSet<BlockId>> = Vec::new();
    let mut superfluous = Vec::new();
    for block in blocks {
        let sources = &block.compaction.sources;
        if kept.iter().any(|k| sources.iter().all(|source| k.contains(source))) {
            superfluous.push(block.ulid);
        } else {
            kept.push(sources.iter().copied().collect());
        }
    }
    superfluous.sort_unstable();
    superfluous
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
        check(&[(1, &[]), (2, &[2])], &[1]);
        check(&[(5, &[1, 2, 3]), (6, &[2, 3, 4]), (7, &[2, 3])], &[7]);
    }
}
