//! Shards: blocks that hold only the series of some hashes, so that no index grows too large.
//!
//! A shard is described in meta.json in `thanos.extensions`, under [`KEY`]. Readers need not know about shards, because
//! they merge the series of all blocks of one time anyway. In `compaction.sources` a shard names itself, not the blocks
//! that were cut: a reader that does not know shards takes a block for a duplicate if another has all its sources, but
//! no shard has all the data of the blocks that were cut, nor of its siblings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{BlockId, BlockMeta};

/// The key in `thanos.extensions`.
pub const KEY: &str = "tithon_shard";

/// The most shards; a meta that claims more is ignored.
pub const SHARDS_MAX: u32 = 1024;

/// The series whose `tithon_index::Labels::hash64` modulo `count` is `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardClass {
    /// The remainder, below `count`.
    pub index: u32,
    /// The divisor, at least 1; 1 stands for all series.
    pub count: u32,
}

impl Default for ShardClass {
    fn default() -> ShardClass {
        ShardClass::ALL
    }
}

impl ShardClass {
    /// All series.
    pub const ALL: ShardClass = ShardClass { index: 0, count: 1 };

    /// The class in the block's meta.
    pub fn of(block: &BlockMeta) -> ShardClass {
        Shard::of(block).map_or(ShardClass::ALL, |shard| shard.class)
    }

    /// Whether every series of `other` is one of this class.
    pub const fn contains(self, other: ShardClass) -> bool {
        other.count.is_multiple_of(self.count) && other.index % self.count == self.index
    }

    /// Whether a hash can belong to both classes.
    pub const fn meets(self, other: ShardClass) -> bool {
        let (mut a, mut b) = (self.count, other.count);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        self.index % a == other.index % a
    }

    /// The part `part` of this class when it is cut into `parts`.
    pub const fn part(self, part: u32, parts: u32) -> ShardClass {
        ShardClass { index: self.index + part * self.count, count: self.count * parts }
    }
}

/// The series that a shard holds, and the blocks that were cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The class of the series.
    pub class: ShardClass,
    /// The cuts that made the shard; several if shards of several cuts were merged.
    pub cuts: Vec<Cut>,
}

/// Blocks that were cut into shards together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Number of shards before the cut: the shard `class.index` modulo this number was cut, or a whole block if it is
    /// 1.
    #[serde(rename = "of")]
    pub count_before: u32,
    /// The shards that have any series, ascending; no block was made for the others.
    pub indexes: Vec<u32>,
    /// The level-1 blocks that were cut, ascending.
    pub sources: Vec<BlockId>,
}

/// The value under [`KEY`].
#[derive(Serialize, Deserialize)]
struct Record {
    /// The block that the record describes: a copy in the meta of another block is ignored.
    block: BlockId,
    index: u32,
    count: u32,
    cuts: Vec<Cut>,
}

impl Shard {
    /// The shard that a meta describes; `None` if there is no record, or the record describes another block or is
    /// inconsistent.
    pub fn of(block: &BlockMeta) -> Option<Shard> {
        let value = block.thanos.as_ref()?.extensions.as_ref()?.get(KEY)?;
        let record = Record::deserialize(value).ok()?;
        let Record { index, count, .. } = record;
        let believable = |cut: &Cut| {
            let class = ShardClass { index: index % cut.count_before.max(1), count: cut.count_before };
            let inside = |i: &u32| *i < count && class.contains(ShardClass { index: *i, count });
            cut.count_before > 0
                && !cut.sources.is_empty()
                && cut.indexes.contains(&index)
                && cut.indexes.iter().all(inside)
        };
        let sound = record.block == block.ulid
            && (2..=SHARDS_MAX).contains(&count)
            && index < count
            && !record.cuts.is_empty()
            && record.cuts.iter().all(believable);
        sound.then_some(Shard { class: ShardClass { index, count }, cuts: record.cuts })
    }

    /// Writes the record into the block's meta.
    pub fn attach(self, block: &mut BlockMeta) {
        let ShardClass { index, count } = self.class;
        let record = Record { block: block.ulid, index, count, cuts: self.cuts };
        let value = serde_json::to_value(record).expect("numbers, ids and lists of them have a JSON form");
        let extensions = &mut block.thanos.get_or_insert_default().extensions;
        match extensions {
            Some(Value::Object(map)) => drop(map.insert(KEY.to_owned(), value)),
            _ => *extensions = Some(Value::Object(Map::from_iter([(KEY.to_owned(), value)]))),
        }
    }

    /// The shard that results from merging `blocks`, shards of one class; `None` if they are not shards.
    pub fn merged(blocks: &[BlockMeta]) -> Option<Shard> {
        let mut cuts: BTreeMap<(u32, Vec<u32>), BTreeSet<BlockId>> = BTreeMap::new();
        let mut class = None;
        for shard in blocks.iter().map(Shard::of) {
            let shard = shard?;
            class = Some(shard.class);
            for cut in shard.cuts {
                cuts.entry((cut.count_before, cut.indexes)).or_default().extend(cut.sources);
            }
        }
        let cut = |((count_before, indexes), sources): (_, BTreeSet<_>)| Cut {
            count_before,
            indexes,
            sources: sources.into_iter().collect(),
        };
        Some(Shard { class: class?, cuts: cuts.into_iter().map(cut).collect() })
    }

    /// The shards that result from cutting `blocks` of `class` into `parts`; only the parts in `made` have any series.
    /// In the order of `made`.
    pub fn cut(blocks: &[BlockMeta], class: ShardClass, parts: u32, made: &[u32]) -> Vec<Shard> {
        let sources: BTreeSet<BlockId> = blocks.iter().flat_map(lineage).collect();
        let mut indexes: Vec<u32> = made.iter().map(|part| class.part(*part, parts).index).collect();
        indexes.sort_unstable();
        let cut = Cut { count_before: class.count, indexes, sources: sources.into_iter().collect() };
        made.iter().map(|part| Shard { class: class.part(*part, parts), cuts: vec![cut.clone()] }).collect()
    }
}

/// The level-1 blocks whose data (for a shard: its share of the data) a block holds: its sources, or those of its cuts.
pub fn lineage(block: &BlockMeta) -> Vec<BlockId> {
    match Shard::of(block) {
        Some(shard) => {
            let sources: BTreeSet<BlockId> = shard.cuts.into_iter().flat_map(|cut| cut.sources).collect();
            sources.into_iter().collect()
        }
        None => block.compaction.sources.clone(),
    }
}

/// Writes the record of the shard into the meta of the one block merged from `blocks`, if they are shards.
pub fn mark_merged(blocks: &[BlockMeta], made: &mut BlockMeta) {
    if let Some(shard) = Shard::merged(blocks) {
        shard.attach(made);
    }
}

/// Writes the records of shards into the metas of the blocks into which `blocks` of `class` were cut. `made` has an
/// entry for each part, `None` for a part without series; those are left out of the result.
pub fn mark_cut(blocks: &[BlockMeta], class: ShardClass, made: Vec<Option<BlockMeta>>) -> Vec<BlockMeta> {
    let parts = u32::try_from(made.len()).unwrap_or(u32::MAX);
    let made: Vec<(u32, BlockMeta)> = (0..).zip(made).filter_map(|(i, meta)| Some((i, meta?))).collect();
    let indexes: Vec<u32> = made.iter().map(|(i, _)| *i).collect();
    let shards = Shard::cut(blocks, class, parts, &indexes);
    let mark = |((_, mut meta), shard): ((u32, BlockMeta), Shard)| {
        shard.attach(&mut meta);
        meta
    };
    made.into_iter().zip(shards).map(mark).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;

    /// The block `id` that holds part `index` of `count` of `sources`, of which the parts `indexes` exist.
    pub(crate) fn shard(
        id: u64,
        hours: (i64, i64),
        (index, count): (u32, u32),
        indexes: &[u32],
        sources: &[u64],
    ) -> BlockMeta {
        let mut block = meta(id, hours.0 * 3_600_000, hours.1 * 3_600_000, &[id]);
        let sources = sources.iter().map(|s| BlockId::from_parts(*s, 0)).collect();
        let cuts = vec![Cut { count_before: 1, indexes: indexes.to_vec(), sources }];
        Shard { class: ShardClass { index, count }, cuts }.attach(&mut block);
        block
    }

    #[test]
    fn classes_are_those_of_the_remainders() {
        let classes: Vec<ShardClass> =
            (1..=12).flat_map(|count| (0..count).map(move |index| ShardClass { index, count })).collect();
        let hashes = || 0..27_720u32;
        let has = |class: ShardClass, hash: u32| hash % class.count == class.index;
        for a in &classes {
            for b in &classes {
                let both = |hash: &u32| has(*a, *hash) && has(*b, *hash);
                assert_eq!(a.meets(*b), hashes().any(|hash| both(&hash)), "{a:?} {b:?}");
                let contains = hashes().filter(|hash| has(*b, *hash)).all(|hash| has(*a, hash));
                assert_eq!(a.contains(*b), contains, "{a:?} {b:?}");
            }
            for hash in hashes().filter(|hash| has(*a, *hash)).take(50) {
                assert!(has(a.part(hash / a.count % 3, 3), hash));
            }
        }
    }

    #[test]
    fn a_meta_is_believed_if_it_makes_sense_and_speaks_of_itself() {
        let good = shard(1, (0, 2), (1, 4), &[0, 1], &[7, 8]);
        assert_eq!(ShardClass::of(&good), ShardClass { index: 1, count: 4 });
        let read = BlockMeta::parse(&good.to_json()).unwrap();
        assert_eq!(Shard::of(&read), Shard::of(&good));
        assert_eq!(lineage(&good), [7, 8].map(|s| BlockId::from_parts(s, 0)));
        // Thanos copies extensions into blocks that it makes.
        let copied = BlockMeta { ulid: BlockId::from_parts(2, 0), ..good.clone() };
        assert_eq!(Shard::of(&copied), None);
        assert_eq!(lineage(&copied), good.compaction.sources);
        for (index, count, indexes, sources) in [
            (4, 4, &[4][..], &[7][..]),
            (0, 0, &[0], &[7]),
            (0, 1, &[0], &[7]),
            (0, SHARDS_MAX + 1, &[0], &[7]),
            (1, 4, &[0], &[7]),
            (1, 4, &[1, 4], &[7]),
            (1, 4, &[1], &[]),
        ] {
            let bad = shard(1, (0, 2), (index, count), indexes, sources);
            assert_eq!(Shard::of(&bad), None, "{index} of {count}: {indexes:?} {sources:?}");
        }
        for value in ["3", "{}", "{\"block\":1}", "[]"] {
            let mut bad = good.clone();
            let value: Value = serde_json::from_str(value).unwrap();
            bad.thanos.as_mut().unwrap().extensions =
                Some(Value::Object(Map::from_iter([(KEY.to_owned(), value)])));
            assert_eq!(Shard::of(&bad), None);
        }
    }

    #[test]
    fn cutting_and_merging_keep_the_lineage() {
        let plain = [meta(1, 0, 1, &[1]), meta(2, 1, 2, &[2, 3])];
        let made = [4, 5, 6].map(|id| meta(id, 0, 2, &[id]));
        let [a, _, b] = made.clone();
        let cut = mark_cut(&plain, ShardClass::ALL, vec![Some(a), None, Some(b)]);
        assert_eq!(cut.iter().map(|block| ShardClass::of(block).index).collect::<Vec<_>>(), [0, 2]);
        assert!(cut.iter().all(|block| lineage(block) == [1, 2, 3].map(|s| BlockId::from_parts(s, 0))));
        assert!(cut.iter().all(|block| Shard::of(block).unwrap().cuts[0].indexes == [0, 2]));
        let mut merged = meta(9, 0, 2, &[]);
        mark_merged(&[cut[1].clone(), shard(7, (0, 2), (2, 3), &[0, 2], &[8])], &mut merged);
        assert_eq!(lineage(&merged), [1, 2, 3, 8].map(|s| BlockId::from_parts(s, 0)));
        assert_eq!(Shard::of(&merged).unwrap().cuts.len(), 1);
        // After another cut, the parts have the same hashes modulo 3, and their records name the count before the cut.
        let class = ShardClass::of(&merged);
        let again = mark_cut(&[merged], class, made[..2].iter().cloned().map(Some).collect());
        assert_eq!(ShardClass::of(&again[1]), ShardClass { index: 5, count: 6 });
        assert_eq!(Shard::of(&again[1]).unwrap().cuts[0].count_before, 3);
        assert_eq!(Shard::merged(&plain), None);
    }
}
