//! The amount of waiting work: plans simulated to their end without merging. Thanos `pkg/compact/compact.go`.

use std::collections::HashSet;

use super::{Group, ShardClass, choose};
use crate::{BlockId, BlockMeta};

/// The merges that are still to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The number of merges.
    pub plans: u64,
    /// The number of blocks that they merge, including blocks made on the way.
    pub blocks: u64,
}

/// Plans each group again and again, as if every plan had been carried out. A plan whose result is cut into `shards` (2
/// or more) is counted, but the plans after it are not.
pub fn backlog(groups: &[Group], levels_ms: &[i64], excluded: &HashSet<BlockId>, shards: u32) -> Backlog {
    let mut found = Backlog::default();
    for group in groups {
        let mut blocks = group.blocks.clone();
        let leaves = shards > 1 && group.class == ShardClass::ALL;
        loop {
            let plan = choose(&blocks, levels_ms, excluded);
            let (Some(first), n) = (plan.first(), plan.len()) else { break };
            found.plans += 1;
            found.blocks += n as u64;
            let min_time = plan.iter().map(|block| block.min_time).min().unwrap_or_default();
            let max_time = plan.iter().map(|block| block.max_time).max().unwrap_or_default();
            let mut made = BlockMeta { min_time, max_time, ..(*first).clone() };
            made.stats.num_tombstones = 0;
            let gone: HashSet<BlockId> = plan.iter().map(|block| block.ulid).collect();
            blocks.retain(|block| !gone.contains(&block.ulid));
            if !leaves {
                blocks.push(made);
            }
            blocks.sort_by_key(|block| (block.min_time, block.ulid));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;
    use crate::plan::{LEVELS_MS, group};

    #[test]
    fn plans_are_followed_to_their_end() {
        const HOUR: i64 = 3_600_000;
        let blocks = (0..25).map(|i| meta(i, i as i64 * 2 * HOUR, (i as i64 + 1) * 2 * HOUR, &[i]));
        let groups = group(blocks, &[]);
        // Six merges of four blocks of 2 h, then one merge of six blocks of 8 h into a block of 2 d.
        let found = backlog(&groups, &LEVELS_MS, &HashSet::new(), 0);
        assert_eq!(found, Backlog { plans: 7, blocks: 30 });
        let found = backlog(&groups, &LEVELS_MS, &HashSet::new(), 4);
        assert_eq!(found, Backlog { plans: 6, blocks: 24 });
    }
}
