//! Blocks that hold a share of the series of what was merged: those whose label hash, divided by a number of shards,
//! leaves the shard's own number.
//!
//! The share is told in the extensions of meta.json, so that no reader shows a label for it. Such a block counts itself
//! as its only source: no reader, Thanos's included, takes one of a split for a copy of another, or a part of a split
//! for all of what went in. Until a split is whole its inputs stay what is served; then they are superseded.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Superseded;
use crate::{BlockId, BlockMeta, ThanosMeta};

/// The key in `thanos.extensions`.
const KEY: &str = "tithon_shard";

/// Which series a block has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 0.
    pub index: u32,
    /// Number of shards.
    pub count: u32,
    /// The blocks that were made together, this one among them; those without series are not there. None once the block
    /// is merged with others of its shard.
    #[serde(default)]
    pub siblings: Vec<BlockId>,
    /// The level-1 blocks that its samples come from, ascending.
    #[serde(default)]
    pub sources: Vec<BlockId>,
}

impl Shard {
    /// The shard of a block; `None` for one that has all series, or does not tell properly.
    pub fn of(meta: &BlockMeta) -> Option<Shard> {
        let value = meta.thanos.as_ref()?.extensions.as_ref()?.get(KEY)?;
        let shard = Shard::deserialize(value).ok()?;
        (shard.index < shard.count).then_some(shard)
    }

    /// Which of how many.
    pub const fn number(&self) -> (u32, u32) {
        (self.index, self.count)
    }

    /// Puts it into a block's extensions.
    pub fn put(&self, thanos: &mut ThanosMeta) {
        let mut extensions = match thanos.extensions.take() {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        };
        let value = serde_json::to_value(self).expect("numbers and ids are JSON");
        extensions.insert(KEY.to_owned(), value);
        thanos.extensions = Some(Value::Object(extensions));
    }
}

/// The level-1 blocks that a block's samples come from.
pub fn origins(meta: &BlockMeta) -> Vec<BlockId> {
    Shard::of(meta).map_or_else(|| meta.compaction.sources.clone(), |shard| shard.sources)
}

/// The level-1 blocks of several blocks, ascending.
pub fn origins_of(metas: &[BlockMeta]) -> Vec<BlockId> {
    metas.iter().flat_map(origins).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What splits have left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splits {
    /// Inputs of whole splits, and outputs of those that were broken off, whose inputs are all there.
    pub superseded: Vec<Superseded>,
    /// Outputs of whole splits whose inputs wait for their mark: merged further now, they could no longer say what became
    /// of these.
    pub waiting: Vec<BlockId>,
}

/// Looks through all blocks for splits. `marked` says which are marked for deletion.
pub fn splits(blocks: &[BlockMeta], marked: impl Fn(BlockId) -> bool) -> Splits {
    let mut families: BTreeMap<Vec<BlockId>, Vec<&BlockMeta>> = BTreeMap::new();
    for block in blocks {
        if let Some(shard) = Shard::of(block).filter(|shard| shard.siblings.contains(&block.ulid)) {
            families.entry(shard.siblings).or_default().push(block);
        }
    }
    let there: HashSet<BlockId> = blocks.iter().map(|block| block.ulid).collect();
    let (mut found, mut whole, mut broken) = (Splits::default(), BTreeMap::new(), Vec::new());
    for (siblings, members) in families {
        let parents: Vec<BlockId> = members[0].compaction.parents.iter().map(|parent| parent.ulid).collect();
        let holders: Vec<BlockId> = siblings.iter().filter_map(|sibling| holder(blocks, *sibling)).collect();
        if holders.len() < siblings.len() {
            broken.push((parents, members));
            continue;
        }
        let left: Vec<BlockId> = parents.iter().copied().filter(|parent| there.contains(parent)).collect();
        if left.iter().any(|parent| !marked(*parent)) {
            found.waiting.extend(members.iter().map(|member| member.ulid));
        }
        let of = |block: BlockId| Superseded { block, by: holders.clone() };
        found.superseded.extend(left.into_iter().map(of));
        whole.insert(parents, holders);
    }
    for (parents, members) in broken {
        let served = !parents.is_empty() && parents.iter().all(|p| there.contains(p) && !marked(*p));
        let by = whole.get(&parents).cloned().or(served.then_some(parents));
        let of = |member: &&BlockMeta| by.clone().map(|by| Superseded { block: member.ulid, by });
        found.superseded.extend(members.iter().filter_map(of));
    }
    found.superseded.sort_unstable();
    found.superseded.dedup_by_key(|found| found.block);
    found
}

/// The block that has what a part of a split has: itself, or the largest that it went into.
fn holder(blocks: &[BlockMeta], part: BlockId) -> Option<BlockId> {
    let holders = blocks.iter().filter(|block| block.compaction.sources.contains(&part));
    holders.max_by_key(|block| block.compaction.sources.len()).map(|block| block.ulid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlockDesc;
    use crate::plan::duplicates::tests::meta;

    fn id(n: u64) -> BlockId {
        BlockId::from_parts(n, 0)
    }

    /// Output `n` of a split of blocks 1 and 2 into blocks 10 and 11.
    fn part(n: u64) -> BlockMeta {
        let mut made = meta(n, 0, 20, &[n]);
        made.compaction.parents =
            [1, 2].map(|n| BlockDesc { ulid: id(n), min_time: 0, max_time: 20 }).to_vec();
        let shard = Shard {
            index: n as u32 - 10,
            count: 2,
            siblings: vec![id(10), id(11)],
            sources: vec![id(1), id(2)],
        };
        shard.put(made.thanos.get_or_insert_default());
        made
    }

    fn pairs(splits: &Splits) -> Vec<(u64, Vec<u64>)> {
        let of =
            |found: &Superseded| (found.block.unix_ms(), found.by.iter().map(|by| by.unix_ms()).collect());
        splits.superseded.iter().map(of).collect()
    }

    #[test]
    fn a_shard_is_told_in_the_extensions() {
        let mut made = meta(1, 0, 1, &[1]);
        assert_eq!(Shard::of(&made), None);
        let thanos = made.thanos.get_or_insert_default();
        thanos.extensions = Some(serde_json::json!({"other": 1}));
        let shard = Shard { index: 2, count: 3, siblings: vec![], sources: vec![id(7)] };
        shard.put(thanos);
        assert_eq!(thanos.extensions.as_ref().unwrap()["other"], 1);
        assert_eq!(Shard::of(&made), Some(shard));
        assert_eq!(origins(&made), [id(7)]);
        for bad in [serde_json::json!({KEY: {"index": 3, "count": 3}}), serde_json::json!({KEY: "x"})] {
            made.thanos.as_mut().unwrap().extensions = Some(bad);
            assert_eq!(Shard::of(&made), None);
        }
    }

    #[test]
    fn inputs_go_only_when_the_split_is_whole() {
        let inputs = [meta(1, 0, 10, &[1]), meta(2, 10, 20, &[2])];
        let of = |more: &[BlockMeta], marked: &[u64]| {
            let all: Vec<BlockMeta> = inputs.iter().chain(more).cloned().collect();
            splits(&all, |block| marked.contains(&block.unix_ms()))
        };
        assert_eq!(of(&[], &[]), Splits::default());
        let broken_off = of(&[part(11)], &[]);
        assert_eq!((pairs(&broken_off), broken_off.waiting), (vec![(11, vec![1, 2])], vec![]));
        let whole = of(&[part(10), part(11)], &[1]);
        assert_eq!((pairs(&whole), whole.waiting.len()), (vec![(1, vec![10, 11]), (2, vec![10, 11])], 2));
        let marked = of(&[part(10), part(11)], &[1, 2]);
        assert_eq!((pairs(&marked), marked.waiting.len()), (vec![(1, vec![10, 11]), (2, vec![10, 11])], 0));
        // What a first attempt left stays superseded by the second one.
        let mut first = part(11);
        first.ulid = id(9);
        first.compaction.sources = vec![id(9)];
        let shard = Shard { siblings: vec![id(8), id(9)], ..Shard::of(&first).unwrap() };
        shard.put(first.thanos.as_mut().unwrap());
        let again = of(&[part(10), part(11), first], &[1, 2, 9]);
        assert_eq!(pairs(&again), [(1, vec![10, 11]), (2, vec![10, 11]), (9, vec![10, 11])]);
        // Merged further, a part is still there.
        let mut further = meta(20, 0, 40, &[10, 30]);
        Shard { index: 0, count: 2, siblings: vec![], sources: vec![] }
            .put(further.thanos.get_or_insert_default());
        assert_eq!(pairs(&of(&[further, part(11)], &[1, 2])), [(1, vec![20, 11]), (2, vec![20, 11])]);
        // An input is missing or marked: nothing is known, nothing goes.
        assert_eq!(of(&[part(11)], &[1]), Splits::default());
        assert_eq!(splits(&[inputs[0].clone(), part(11)], |_| false), Splits::default());
    }
}
