//! Requests to delete series of a bucket, and what each of them means for a block.
//!
//! A request names data, not blocks: for each block that was there when it was made, one of the level-1 blocks that went into
//! it, with the block's time. Whatever these are merged or downsampled into later carries them in its lineage, so that it is
//! concerned too, in those times. A block that a request was carried out on says so among the rewrites of its meta.json.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use tithon_chunks::TimeRange;
use tithon_index::{MatchOp, Matcher};

use super::lineage;
use crate::left_to_series;
use crate::{BlockId, BlockMeta, DeletionRequest, Interval, MatcherRecord, Tombstones};

/// A request to delete samples of series.
#[derive(Clone, Debug)]
pub struct SeriesDeletion {
    /// Its name.
    pub id: BlockId,
    /// Series that satisfy all matchers of one of these, as a query would select them: external labels count, and a label that is
    /// absent is empty.
    pub selectors: Vec<Vec<Matcher>>,
    /// Samples inside this time.
    pub range: TimeRange,
    /// The data that is concerned: level-1 blocks, and the time of the block that each was found in.
    pub data: BTreeMap<BlockId, TimeRange>,
    /// Whether data that comes later is concerned too.
    pub include_later: bool,
}

/// What is deleted of one block.
#[derive(Clone, Debug)]
pub struct BlockDeletion {
    /// Series that satisfy all matchers of one of these by their own labels; no matchers are all series.
    pub selectors: Vec<Vec<Matcher>>,
    /// Inside these times: ascending, apart.
    pub intervals: Vec<TimeRange>,
}

impl SeriesDeletion {
    /// The data of some blocks, as [`SeriesDeletion::data`] has it.
    pub fn data_of<M: Borrow<BlockMeta>>(
        blocks: impl IntoIterator<Item = M>,
    ) -> BTreeMap<BlockId, TimeRange> {
        let mut data: BTreeMap<BlockId, TimeRange> = BTreeMap::new();
        for block in blocks {
            let block: &BlockMeta = block.borrow();
            let range = block.range();
            let part = data.entry(named_by(block)).or_insert(range);
            *part = TimeRange { min: part.min.min(range.min), max: part.max.max(range.max) };
        }
        data
    }

    /// What is still to be deleted of a block, if anything may be: `None` once that was done.
    pub fn pending(&self, block: &BlockMeta) -> Option<BlockDeletion> {
        if self.is_done(block) { None } else { self.concerns(block) }
    }

    /// What is deleted of a block, whether or not that was done; `None` where the request is not about it.
    pub fn concerns(&self, block: &BlockMeta) -> Option<BlockDeletion> {
        let external = block.thanos.as_ref().map(|thanos| thanos.external_labels()).unwrap_or_default();
        let left = |matchers: &Vec<Matcher>| left_to_series(matchers, &external);
        let selectors: Vec<Vec<Matcher>> = self.selectors.iter().filter_map(left).collect();
        if selectors.is_empty() {
            return None;
        }
        let intervals = self.times(block);
        (!intervals.is_empty()).then_some(BlockDeletion { selectors, intervals })
    }

    /// Whether the block's meta.json says that the request was carried out on it.
    pub fn is_done(&self, block: &BlockMeta) -> bool {
        let rewrites = block.thanos.iter().flat_map(|thanos| &thanos.rewrites);
        let id = self.id.to_string();
        rewrites.flat_map(|rewrite| &rewrite.deletions_applied).any(|done| done.request_id == id)
    }

    /// What meta.json tells of the request once it was carried out.
    pub fn records(&self) -> Vec<DeletionRequest> {
        let record = |matchers: &Vec<Matcher>| DeletionRequest {
            matchers: matchers.iter().map(matcher_record).collect(),
            intervals: vec![Interval { mint: self.range.min.0, maxt: self.range.max.0 }],
            request_id: self.id.to_string(),
        };
        self.selectors.iter().map(record).collect()
    }

    fn times(&self, block: &BlockMeta) -> Vec<TimeRange> {
        let mut times = Tombstones::default();
        let of_block = block.range();
        let mut add = |range: TimeRange| {
            let min = range.min.max(self.range.min).max(of_block.min);
            let max = range.max.min(self.range.max).min(of_block.max);
            times.add(0, TimeRange { min, max });
        };
        if self.include_later {
            add(self.range);
        } else {
            let parents = block.compaction.parents.iter().map(|parent| parent.ulid);
            let sources = lineage(block).into_iter().chain(parents).chain([block.ulid]);
            sources.filter_map(|source| self.data.get(&source)).for_each(|range| add(*range));
        }
        times.of(0).to_vec()
    }
}

/// The level-1 block that stands for a block in a request: blocks that are made of it have it too.
fn named_by(block: &BlockMeta) -> BlockId {
    lineage(block).into_iter().min().unwrap_or(block.ulid)
}

/// A matcher as meta.json tells it.
pub fn matcher_record(matcher: &Matcher) -> MatcherRecord {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let r#type = match matcher.op() {
        MatchOp::Equal => 0,
        MatchOp::NotEqual => 1,
        MatchOp::Regex => 2,
        MatchOp::NotRegex => 3,
    };
    MatcherRecord { r#type, name: text(matcher.name()), value: text(matcher.value()) }
}

/// An id for a block that takes the place of `block` with the same sources: of blocks of equal sources readers, Thanos's among
/// them, take the one with the smallest id.
pub fn id_before(block: BlockId, random: u128) -> BlockId {
    match block.unix_ms() {
        0 => BlockId::from_parts(0, block.as_u128().saturating_sub(1)),
        ms => BlockId::from_parts(ms - 1, random),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;
    use crate::plan::superseded;
    use crate::{Rewrite, ThanosMeta};

    fn matcher(name: &str, value: &str) -> Matcher {
        Matcher::new(MatchOp::Equal, name, value).unwrap()
    }

    fn labelled(id: u64, range: (i64, i64), sources: &[u64], cluster: &str) -> BlockMeta {
        let labels = [("cluster".to_owned(), cluster.to_owned())].into();
        let thanos = Some(ThanosMeta { labels, ..ThanosMeta::default() });
        BlockMeta { thanos, ..meta(id, range.0, range.1, sources) }
    }

    fn of(blocks: &[BlockMeta], selectors: Vec<Vec<Matcher>>) -> SeriesDeletion {
        SeriesDeletion {
            id: BlockId::from_parts(99, 1),
            selectors,
            range: TimeRange::new(5, 1000),
            data: SeriesDeletion::data_of(blocks),
            include_later: false,
        }
    }

    fn times(deletion: &SeriesDeletion, block: &BlockMeta) -> Vec<(i64, i64)> {
        let pending = deletion.pending(block);
        pending.iter().flat_map(|found| &found.intervals).map(|i| (i.min.0, i.max.0)).collect()
    }

    #[test]
    fn what_comes_of_the_data_is_concerned_and_what_comes_later_is_not() {
        let there = [labelled(1, (0, 10), &[1], "a"), labelled(4, (20, 40), &[2, 3], "a")];
        let deletion = of(&there, vec![vec![matcher("job", "x")]]);
        assert_eq!(times(&deletion, &there[0]), [(5, 9)]);
        assert_eq!(times(&deletion, &there[1]), [(20, 39)]);
        assert_eq!(times(&deletion, &labelled(5, (10, 20), &[5], "a")), []);
        // Merged, with what came later: in the times of what was there.
        assert_eq!(times(&deletion, &labelled(6, (0, 40), &[1, 2, 3, 5], "a")), [(5, 9), (20, 39)]);
        // A block that went into one that was there, and one that is all that is left of another.
        assert_eq!(times(&deletion, &labelled(2, (20, 30), &[2], "a")), [(20, 29)]);
        let later = SeriesDeletion { include_later: true, ..deletion.clone() };
        assert_eq!(times(&later, &labelled(5, (10, 20), &[5], "a")), [(10, 19)]);
        assert_eq!(times(&later, &labelled(5, (1001, 1020), &[5], "a")), []);
    }

    #[test]
    fn external_labels_decide() {
        let there = [labelled(1, (0, 10), &[1], "a")];
        let of = |matchers: Vec<Matcher>| of(&there, vec![matchers]).concerns(&there[0]);
        assert!(of(vec![matcher("cluster", "b"), matcher("job", "x")]).is_none());
        let found = of(vec![matcher("cluster", "a"), matcher("job", "x")]).unwrap();
        assert_eq!(found.selectors, [[matcher("job", "x")]]);
        assert_eq!(of(vec![matcher("cluster", "a")]).unwrap().selectors, [[]]);
    }

    #[test]
    fn what_was_done_is_told_by_meta_json() {
        let block = labelled(1, (0, 10), &[1], "a");
        let deletion = of(std::slice::from_ref(&block), vec![vec![matcher("job", "x")]]);
        let mut done = block.clone();
        let rewrite = Rewrite { deletions_applied: deletion.records(), ..Rewrite::default() };
        done.thanos.as_mut().unwrap().rewrites.push(rewrite);
        assert!(deletion.pending(&done).is_none() && deletion.concerns(&done).is_some());
        let read = BlockMeta::parse(&done.to_json()).unwrap();
        assert!(deletion.is_done(&read) && !deletion.is_done(&block));
    }

    #[test]
    fn a_block_in_the_place_of_another_supersedes_it() {
        for ms in [0, 1, 7_000] {
            let mut block = meta(1, 0, 1, &[1]);
            block.ulid = BlockId::from_parts(ms, 7);
            let made = BlockMeta { ulid: id_before(block.ulid, u128::MAX), ..block.clone() };
            assert!(made.ulid < block.ulid);
            let found = superseded(&[block.clone(), made.clone()]);
            assert_eq!((found[0].block, found[0].by.as_slice()), (block.ulid, &[made.ulid][..]));
        }
    }
}
