//! The data that blocks hold, according to their lineage and shards.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::shard::{Shard, ShardClass, lineage};
use crate::{BlockId, BlockMeta};

/// Whether blocks of `others` with the same labels and resolution hold the data of all sources of `block`, according to
/// lineage and shards. False for a block that names no source.
pub fn is_covered<M: Borrow<BlockMeta>>(block: &BlockMeta, others: &[M]) -> bool {
    let labels = |meta: &BlockMeta| meta.thanos.as_ref().map(|thanos| thanos.external_labels());
    let of_family = |other: &&BlockMeta| {
        other.ulid != block.ulid
            && other.resolution_ms() == block.resolution_ms()
            && labels(other) == labels(block)
    };
    let coverage = Coverage::of(others.iter().map(Borrow::borrow).filter(of_family));
    let wanted = Holding::new(block);
    !wanted.sources.is_empty() && wanted.sources.iter().all(|source| coverage.holds(*source, wanted.class))
}

/// The sources and series that one block holds.
#[derive(Clone)]
pub(super) struct Holding {
    pub(super) block: BlockId,
    pub(super) class: ShardClass,
    pub(super) sources: HashSet<BlockId>,
    shard: Option<Shard>,
}

/// Shards, and the sources whose series in the shard are wanted.
type Parts = BTreeMap<ShardClass, Vec<BlockId>>;

impl Holding {
    pub(super) fn new(block: &BlockMeta) -> Holding {
        let shard = Shard::of(block);
        let class = shard.as_ref().map_or(ShardClass::ALL, |shard| shard.class);
        Holding { block: block.ulid, class, sources: lineage(block).into_iter().collect(), shard }
    }

    pub(super) const fn is_shard(&self) -> bool {
        self.shard.is_some()
    }

    /// The shards that held the series of `class` of `sources` after the cuts that this block came from; `None` if its
    /// meta.json does not name the cuts.
    fn parts(&self, sources: &[BlockId], class: ShardClass) -> Option<Parts> {
        let shard = self.shard.as_ref()?;
        let count = shard.class.count;
        let mut parts = Parts::new();
        for source in sources {
            let cut = shard.cuts.iter().find(|cut| cut.sources.contains(source))?;
            let scope = ShardClass { index: shard.class.index % cut.count_before, count: cut.count_before };
            let shards = cut.indexes.iter().map(|index| ShardClass { index: *index, count });
            let mut shards = shards.filter(|shard| scope.contains(class) && shard.meets(class)).peekable();
            shards.peek()?;
            shards.for_each(|shard| parts.entry(shard).or_default().push(*source));
        }
        Some(parts)
    }
}

/// The data that several blocks hold, by source. Removed blocks hold nothing, but their records of cuts still count.
#[derive(Default)]
pub(super) struct Coverage {
    holdings: Vec<Holding>,
    gone: HashSet<BlockId>,
    by_source: HashMap<BlockId, Vec<usize>>,
}

impl Coverage {
    pub(super) fn of<'m>(blocks: impl IntoIterator<Item = &'m BlockMeta>) -> Coverage {
        let mut coverage = Coverage::default();
        blocks.into_iter().for_each(|block| coverage.add(Holding::new(block)));
        coverage
    }

    pub(super) fn add(&mut self, holding: Holding) {
        let place = self.holdings.len();
        for source in &holding.sources {
            self.by_source.entry(*source).or_default().push(place);
        }
        self.holdings.push(holding);
    }

    /// Marks a block as removed, whether it was added or will be.
    pub(super) fn remove(&mut self, block: BlockId) {
        self.gone.insert(block);
    }

    /// The holdings of the shards among the blocks.
    pub(super) fn shards(&self) -> Vec<Holding> {
        let is_there = |holding: &&Holding| holding.is_shard() && !self.gone.contains(&holding.block);
        self.holdings.iter().filter(is_there).cloned().collect()
    }

    fn with(&self, source: BlockId) -> impl Iterator<Item = &Holding> {
        self.by_source.get(&source).into_iter().flatten().map(|place| &self.holdings[*place])
    }

    /// Whether the series of `class` of `source` exist, in one block or in several shards together.
    pub(super) fn holds(&self, source: BlockId, class: ShardClass) -> bool {
        self.find(&[source], class, None, 0).is_some()
    }

    /// Another block that holds everything that `wanted` holds, or shards that do so together; ascending.
    pub(super) fn successors(&self, wanted: &Holding) -> Option<Vec<BlockId>> {
        let mut sources: Vec<BlockId> = wanted.sources.iter().copied().collect();
        sources.sort_unstable();
        let found = self.find(&sources, wanted.class, Some(wanted.block), 0)?;
        Some(found.into_iter().collect())
    }

    /// Finds the blocks that cover `class` of `sources`: one block, or the shards of a cut, each of which may have been cut
    /// again. Ignores the block `exclude`, and cuts into `min_shards` shards or fewer.
    fn find(
        &self,
        sources: &[BlockId],
        class: ShardClass,
        exclude: Option<BlockId>,
        min_shards: u32,
    ) -> Option<BTreeSet<BlockId>> {
        let first = *sources.first()?;
        let others = || self.with(first).filter(|holding| Some(holding.block) != exclude);
        let holds = |holding: &&Holding| {
            let is_there = !self.gone.contains(&holding.block);
            is_there
                && holding.class.contains(class)
                && sources.iter().all(|source| holding.sources.contains(source))
        };
        if let Some(holding) = others().find(holds) {
            return Some(BTreeSet::from([holding.block]));
        }
        let mut tried = BTreeSet::new();
        for holding in others().filter(|holding| holding.class.count > min_shards) {
            let Some(parts) = holding.parts(sources, class) else { continue };
            if !tried.insert(parts.clone()) {
                continue;
            }
            let mut found = BTreeSet::new();
            let all = parts.into_iter().all(|(part, sources)| {
                let blocks = self.find(&sources, part, exclude, part.count);
                blocks.map(|blocks| found.extend(blocks)).is_some()
            });
            if all {
                return Some(found);
            }
        }
        None
    }
}
