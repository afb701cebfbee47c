//! Merges, cuts and crashes in any order: readers that ignore blocks according to metas never miss a series.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::coverage::Coverage;
use super::duplicates::tests::meta;
use super::*;
use crate::{BlockId, BlockMeta};

/// Hashes are taken modulo this number; all counts of shards divide it.
const HASHES: u32 = 24;
const SOURCES: usize = 6;
const CASES: u32 = 300;

/// For each source, the hashes that have a series, one bit each.
type Series = BTreeMap<BlockId, u32>;

/// A bucket of one family: the metas, and the series that the blocks hold.
struct Model {
    series: Series,
    blocks: Vec<(BlockMeta, Series)>,
    next_id: u64,
}

/// One action.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// 0 merges, 1 cuts, 2 collects garbage.
    kind: u8,
    /// The index of a group.
    group: usize,
    /// The members that take part, or the garbage that is deleted, as bits.
    members: u32,
    /// The number of parts of a cut.
    parts: u32,
    /// The resulting blocks that are uploaded before a crash, as bits; 0 stands for all.
    uploaded: u32,
    /// Whether the inputs are deleted when all resulting blocks exist.
    finished: bool,
}

fn hashes(class: ShardClass) -> u32 {
    (0..HASHES).filter(|hash| hash % class.count == class.index).fold(0, |bits, hash| bits | 1 << hash)
}

fn union<'s>(all: impl IntoIterator<Item = &'s Series>) -> Series {
    let mut out = Series::new();
    for (source, bits) in all.into_iter().flatten() {
        *out.entry(*source).or_default() |= bits;
    }
    out
}

impl Model {
    fn new(bits: &[u32]) -> Model {
        let blocks = (1..).zip(bits).map(|(id, bits)| {
            let meta = meta(id, 0, 1, &[id]);
            let series = Series::from([(meta.ulid, bits % (1 << HASHES))]);
            (meta, series)
        });
        let blocks: Vec<(BlockMeta, Series)> = blocks.collect();
        Model { series: union(blocks.iter().map(|(_, series)| series)), blocks, next_id: 100 }
    }

    fn metas(&self) -> Vec<BlockMeta> {
        self.blocks.iter().map(|(meta, _)| meta.clone()).collect()
    }

    fn of(&self, ids: &[BlockId]) -> Series {
        union(self.blocks.iter().filter(|(meta, _)| ids.contains(&meta.ulid)).map(|(_, series)| series))
    }

    fn step(&mut self, step: Step) {
        let gone = duplicates(&self.metas());
        if step.kind == 2 {
            let goes =
                |id: BlockId| gone.iter().position(|g| *g == id).is_some_and(|i| step.members >> i & 1 > 0);
            return self.blocks.retain(|(meta, _)| !goes(meta.ulid));
        }
        let groups = group(self.metas().into_iter().filter(|meta| !gone.contains(&meta.ulid)), &[]);
        let group = &groups[step.group % groups.len()];
        let chosen = group.blocks.iter().enumerate().filter(|(i, _)| step.members >> i & 1 > 0);
        let plan: Vec<BlockMeta> = chosen.map(|(_, meta)| meta.clone()).collect();
        let parts = if step.kind == 1 { step.parts } else { 1 };
        if plan.is_empty() || !HASHES.is_multiple_of(group.class.count * parts) {
            return;
        }
        let ids: Vec<BlockId> = plan.iter().map(|meta| meta.ulid).collect();
        let out = self.merge(group.class, &plan, parts);
        let mut complete = true;
        for (i, block) in out.into_iter().enumerate() {
            let uploaded = step.uploaded == 0 || step.uploaded >> i & 1 > 0;
            complete &= uploaded;
            if uploaded {
                self.blocks.push(block);
            }
        }
        if complete && step.finished {
            self.blocks.retain(|(meta, _)| !ids.contains(&meta.ulid));
        }
    }

    fn merge(&mut self, class: ShardClass, plan: &[BlockMeta], parts: u32) -> Vec<(BlockMeta, Series)> {
        let ids: Vec<BlockId> = plan.iter().map(|meta| meta.ulid).collect();
        let all = self.of(&ids);
        let mut sources: Vec<BlockId> =
            plan.iter().flat_map(|meta| meta.compaction.sources.iter().copied()).collect();
        sources.sort_unstable();
        sources.dedup();
        let made = (0..parts).map(|part| {
            let bits = hashes(class.part(part, parts));
            let series: Series = all.iter().map(|(source, has)| (*source, has & bits)).collect();
            let mut made = meta(self.next_id + u64::from(part), 0, 1, &[]);
            made.compaction.sources = if parts > 1 { vec![made.ulid] } else { sources.clone() };
            (series.values().any(|bits| *bits > 0).then_some(made), series)
        });
        let (made, series): (Vec<Option<BlockMeta>>, Vec<Series>) = made.unzip();
        self.next_id += u64::from(parts);
        let series =
            series.into_iter().zip(&made).filter(|(_, meta)| meta.is_some()).map(|(series, _)| series);
        let series: Vec<Series> = series.collect();
        let metas = match made {
            made if parts > 1 => mark_cut(plan, class, made),
            made => made
                .into_iter()
                .flatten()
                .map(|mut made| {
                    mark_merged(plan, &mut made);
                    made
                })
                .collect(),
        };
        metas.into_iter().zip(series).collect()
    }

    fn check(&self) {
        let metas = self.metas();
        let gone = superseded(&metas);
        let kept = |id: BlockId| gone.iter().all(|found| found.block != id);
        let seen: Vec<BlockId> = metas.iter().map(|meta| meta.ulid).filter(|id| kept(*id)).collect();
        assert_eq!(self.of(&seen), self.series, "our readers miss series");
        for found in &gone {
            assert!(found.by.iter().all(|id| kept(*id)), "{found:?} by what is gone itself");
            let (theirs, its) = (self.of(&found.by), self.of(&[found.block]));
            assert!(
                its.iter().all(|(source, bits)| bits & !theirs.get(source).unwrap_or(&0) == 0),
                "{found:?}"
            );
        }
        assert_eq!(self.of(&seen_by_thanos(metas.clone())), self.series, "Thanos's readers miss series");
    }

    /// Checks that coverage agrees with the data when one block is missing.
    fn check_coverage(&self) {
        let metas = self.metas();
        for (left_out, _) in self.blocks.iter().rev().take(5) {
            let rest: Vec<BlockMeta> =
                metas.iter().filter(|meta| meta.ulid != left_out.ulid).cloned().collect();
            let (coverage, held) =
                (Coverage::of(&rest), self.of(&rest.iter().map(|m| m.ulid).collect::<Vec<_>>()));
            for (source, bits) in &self.series {
                for class in [1, 2, 3, 4, 6].map(|count| ShardClass { index: count / 2, count }) {
                    let missing = bits & hashes(class) & !held.get(source).unwrap_or(&0);
                    assert!(
                        missing == 0 || !coverage.holds(*source, class),
                        "{source} {class:?} is not there"
                    );
                }
            }
        }
    }
}

/// Thanos's filter, `pkg/block/fetcher.go`.
fn seen_by_thanos(mut metas: Vec<BlockMeta>) -> Vec<BlockId> {
    metas.sort_by_key(|meta| (std::cmp::Reverse(meta.compaction.sources.len()), meta.ulid));
    let mut kept: Vec<BlockMeta> = Vec::new();
    for meta in metas {
        let within =
            |other: &BlockMeta| meta.compaction.sources.iter().all(|s| other.compaction.sources.contains(s));
        if !kept.iter().any(within) {
            kept.push(meta);
        }
    }
    kept.iter().map(|meta| meta.ulid).collect()
}

fn step() -> impl Strategy<Value = Step> {
    let parts = prop_oneof![Just(2u32), Just(3), Just(4), Just(6)];
    let uploaded = prop_oneof![Just(0u32), any::<u32>()];
    (0..3u8, 0..8usize, any::<u32>(), parts, uploaded, any::<bool>()).prop_map(
        |(kind, group, members, parts, uploaded, finished)| Step {
            kind,
            group,
            members,
            parts,
            uploaded,
            finished,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn no_series_is_lost_by_what_metas_say(
        bits in prop::collection::vec(prop_oneof![Just(u32::MAX), any::<u32>(), (0..HASHES).prop_map(|i| 1 << i)], SOURCES),
        steps in prop::collection::vec(step(), 1..12),
    ) {
        let mut model = Model::new(&bits);
        for step in steps {
            model.step(step);
            model.check();
        }
        model.check_coverage();
    }
}
