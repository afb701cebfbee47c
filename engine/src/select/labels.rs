//! Label names and values, from the header or from the series that match: a state machine without I/O.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rayon::prelude::*;
use tithon_chunks::TimeRange;
use tithon_index::{
    IndexError, IndexHeader, LabelValues, Matcher, Planning, Postings, PostingsPlan, SeriesEntry, SeriesRef,
    SeriesSet, SymbolRef, Texts,
};

use crate::entries::{ENTRIES_AT_ONCE, Entries, index_range};
use crate::{BlockError, BlockId, BlockMeta, FileRange, Tombstones};

/// The number of entries that one thread decodes at a time.
const DECODED_TOGETHER: usize = 512;
/// The number of values whose lists one thread reads at a time.
const VALUES_TOGETHER: usize = 16_384;
/// The number of bytes of postings lists that are read at once, unless one list has more.
const LISTS_BYTES: u64 = 16 << 20;
/// The cost of an entry, and of a list, in references of a list.
const REFS_PER_ENTRY: u64 = 32;
const REFS_PER_LIST: u64 = 4;

/// The names or values that are wanted.
#[derive(Clone, Debug)]
pub struct LabelRequest {
    /// The label whose values are wanted; `None` asks for the names of all labels.
    pub values_of: Option<Vec<u8>>,
    /// Conditions on the series that count; an empty list counts every series of the block, whatever the range.
    pub matchers: Vec<Matcher>,
    /// The series that have a chunk sharing a millisecond with this range count.
    pub range: TimeRange,
    /// The most names or values to return; 0 means no limit.
    pub limit: usize,
}

/// The next need or result of a query of labels.
#[derive(Debug)]
pub enum LabelStep {
    /// Hand the bytes of these ranges to the next step, in this order.
    Fetch(Vec<FileRange>),
    /// The names or values, ascending, each once; the query is over.
    Done(Texts),
}

/// How far the postings lists of a label's values can answer the query.
enum ByLists {
    /// Every series of the block is found, and so are all values.
    All,
    /// The values whose lists have a found series are the answer.
    Some,
    /// The lists cannot answer, or reading entries is faster.
    No,
}

/// Postings lists that lie next to each other.
struct SomeLists {
    /// The numbers of their values.
    numbers: Range<usize>,
    /// Their place in the index.
    place: Range<u64>,
}

/// A query of labels of one block.
pub struct LabelSelect {
    block: BlockId,
    header: Arc<IndexHeader>,
    request: LabelRequest,
    /// What series do not have any more.
    deleted: Arc<Tombstones>,
    entries: Entries,
    /// The symbols found; those before `n_distinct` ascend and occur once.
    found: Vec<SymbolRef>,
    n_distinct: usize,
    /// Values found in postings lists.
    present: Texts,
    /// Whether every series of the block has its chunks in the range.
    is_whole: bool,
    /// The block's time.
    range: TimeRange,
    phase: Phase,
}

enum Phase {
    Begin,
    Plan(Planning),
    Postings(PostingsPlan),
    /// The lists of the values from this number on are read next.
    Lists(usize),
    /// These lists have been asked for.
    ListsOf(SomeLists),
    Entries,
    Between,
}

impl LabelSelect {
    /// A query of the block that `meta` and `header` describe.
    pub fn new(meta: &BlockMeta, header: Arc<IndexHeader>, request: LabelRequest) -> LabelSelect {
        let (block, asked) = (meta.range(), request.range);
        let is_whole = asked.min <= block.min && block.max <= asked.max;
        LabelSelect {
            block: meta.ulid,
            entries: Entries::new(meta, Arc::clone(&header)),
            header,
            request,
            deleted: Arc::default(),
            found: Vec::new(),
            n_distinct: 0,
            present: Texts::default(),
            is_whole,
            range: block,
            phase: Phase::Begin,
        }
    }

    /// The same query without series that have no chunk left outside of these deletions.
    pub fn without(self, deleted: Arc<Tombstones>) -> LabelSelect {
        LabelSelect { deleted, ..self }
    }

    /// Number of series that the matchers found, whether or not they have chunks in the range; 0 before that is known.
    pub fn n_series(&self) -> usize {
        self.entries.n_series()
    }

    /// Takes a step as [`super::Select::step`] does.
    pub fn step(&mut self, mut fetched: Vec<Bytes>) -> Result<LabelStep, BlockError> {
        loop {
            match std::mem::replace(&mut self.phase, Phase::Between) {
                Phase::Begin if self.request.matchers.is_empty() && self.deleted.is_empty() => {
                    return self.all_of_header().map(LabelStep::Done);
                }
                Phase::Begin => {
                    if self.request.matchers.is_empty() {
                        // Every series of the block counts that is not deleted, whatever the range.
                        (self.request.range, self.is_whole) = (TimeRange::ALL, true);
                    }
                    self.phase = Phase::Plan(Planning::default());
                }
                Phase::Plan(mut planning) => {
                    let more = planning.step(&self.header, &self.request.matchers);
                    if more.map_err(BlockError::index(self.block))? {
                        self.phase = Phase::Plan(planning);
                        return Ok(LabelStep::Fetch(Vec::new()));
                    }
                    let plan = planning.finish(&self.header, 0).map_err(BlockError::index(self.block))?;
                    let ranges: Vec<FileRange> = plan.ranges().iter().map(index_range).collect();
                    self.phase = Phase::Postings(plan);
                    if !ranges.is_empty() {
                        return Ok(LabelStep::Fetch(ranges));
                    }
                }
                Phase::Postings(plan) => {
                    let given = std::mem::take(&mut fetched);
                    let found = plan.resolve(&given).map_err(BlockError::index(self.block))?;
                    let left = self.left_of(found);
                    self.entries.set_postings(left);
                    match self.by_lists().map_err(BlockError::index(self.block))? {
                        ByLists::All => return self.all_of_header().map(LabelStep::Done),
                        ByLists::Some => self.phase = Phase::Lists(0),
                        ByLists::No => {}
                    }
                }
                Phase::Lists(from) => {
                    let next = self.next_lists(from).map_err(BlockError::index(self.block))?;
                    let Some(lists) = next else {
                        return Ok(LabelStep::Done(std::mem::take(&mut self.present)));
                    };
                    let range = index_range(&lists.place);
                    self.phase = Phase::ListsOf(lists);
                    return Ok(LabelStep::Fetch(vec![range]));
                }
                Phase::ListsOf(lists) => {
                    let bytes = fetched.pop().unwrap_or_default();
                    self.look_at(&lists, &bytes).map_err(BlockError::index(self.block))?;
                    self.phase = Phase::Lists(lists.numbers.end);
                }
                Phase::Entries => {
                    let missing = self.entries.accept(std::mem::take(&mut fetched))?;
                    if !missing.is_empty() {
                        self.phase = Phase::Entries;
                        return Ok(LabelStep::Fetch(missing));
                    }
                    self.collect()?;
                }
                Phase::Between if self.entries.is_exhausted() => {
                    return self.found_texts().map(LabelStep::Done);
                }
                Phase::Between => {
                    self.phase = Phase::Entries;
                    return Ok(LabelStep::Fetch(self.entries.ask(ENTRIES_AT_ONCE)));
                }
            }
        }
    }

    /// The series without those that are wholly deleted. Where others have lost a part, entries tell what is left.
    fn left_of(&mut self, found: Postings) -> Postings {
        if self.deleted.is_empty() {
            return found;
        }
        let (deleted, block) = (Arc::clone(&self.deleted), self.range);
        let of = |series: SeriesRef| deleted.of(u64::from(series.0));
        let left: Postings =
            found.iter().filter(|series| !of(*series).iter().any(|d| d.covers(block))).collect();
        self.is_whole &= left.iter().all(|series| of(series).is_empty());
        left
    }

    fn most(&self) -> usize {
        if self.request.limit == 0 { usize::MAX } else { self.request.limit }
    }

    fn all_of_header(&self) -> Result<Texts, BlockError> {
        let (header, most) = (&self.header, self.most());
        let found = match &self.request.values_of {
            None => header.label_names().map(|names| names.into_iter().take(most).collect()),
            Some(name) => header.label_values(name).and_then(|values| values.texts(most)),
        };
        found.map_err(BlockError::index(self.block))
    }

    fn values(&self) -> Result<LabelValues<'_>, IndexError> {
        self.header.label_values(self.request.values_of.as_deref().unwrap_or_default())
    }

    /// Whether the lists of the values answer the query, and faster than the entries.
    fn by_lists(&self) -> Result<ByLists, IndexError> {
        let found = self.entries.n_series() as u64;
        if !self.is_whole || self.request.values_of.is_none() || found == 0 {
            return Ok(ByLists::No);
        }
        if self.header.n_series()? == Some(found) {
            return Ok(ByLists::All);
        }
        let values = self.values()?;
        let n = values.left() as u64;
        let Some(place) = values.whole()? else { return Ok(ByLists::No) };
        let refs = (place.end - place.start) / 4 + REFS_PER_LIST * n;
        Ok(if refs < found.saturating_mul(REFS_PER_ENTRY) { ByLists::Some } else { ByLists::No })
    }

    /// The lists of the values from number `from` on, as many as fit the limit of bytes; `None` at the end.
    fn next_lists(&self, from: usize) -> Result<Option<SomeLists>, IndexError> {
        let values = self.values()?;
        let mut numbers = from..values.left();
        if self.present.len() >= self.most() {
            return Ok(None);
        }
        loop {
            let Some(place) = values.clone().numbered(numbers.clone())?.whole()? else { return Ok(None) };
            if place.end - place.start <= LISTS_BYTES || numbers.len() == 1 {
                return Ok(Some(SomeLists { numbers, place }));
            }
            numbers.end = numbers.start + numbers.len().div_ceil(2);
        }
    }

    /// Adds the values that found series have; `bytes` are the bytes of the lists.
    fn look_at(&mut self, lists: &SomeLists, bytes: &[u8]) -> Result<(), IndexError> {
        let SomeLists { numbers, place } = lists;
        let most = self.most() - self.present.len();
        let (values, set) = (self.values()?, SeriesSet::new(self.entries.postings()));
        let firsts: Vec<usize> = numbers.clone().step_by(VALUES_TOGETHER).collect();
        let look = |first: usize| {
            let part = values.clone().numbered(first..numbers.end.min(first + VALUES_TOGETHER))?;
            part.present(&set, bytes, place, most)
        };
        let parts: Vec<Result<Texts, IndexError>> = firsts.into_par_iter().map(look).collect();
        for part in parts {
            self.present.append(&part?);
        }
        self.present.truncate(self.most());
        Ok(())
    }

    /// Adds the names or values of the current batch of entries, decoded on as many threads as the pool has.
    fn collect(&mut self) -> Result<(), BlockError> {
        let n = self.entries.batch().len();
        let firsts: Vec<usize> = (0..n).step_by(DECODED_TOGETHER).collect();
        let parts: Vec<Result<Vec<SymbolRef>, BlockError>> = firsts
            .into_par_iter()
            .map(|first| self.collect_part(first..n.min(first + DECODED_TOGETHER)))
            .collect();
        for part in parts {
            self.found.extend(part?);
        }
        if self.found.len() >= 2 * self.n_distinct.max(ENTRIES_AT_ONCE) {
            self.make_distinct();
        }
        Ok(())
    }

    fn make_distinct(&mut self) {
        self.found.sort_unstable();
        self.found.dedup();
        self.n_distinct = self.found.len();
    }

    /// The symbols of these entries of the batch.
    fn collect_part(&self, entries: Range<usize>) -> Result<Vec<SymbolRef>, BlockError> {
        let mut entry = SeriesEntry::default();
        let (mut found, mut name_symbol) = (Vec::new(), None);
        for i in entries {
            self.entries.decode(i, self.request.range, &mut entry)?;
            let deleted = self.deleted.of(u64::from(self.entries.batch()[i].0));
            if !deleted.is_empty() {
                entry.chunks.retain(|chunk| !deleted.iter().any(|d| d.covers(chunk.range())));
            }
            if entry.chunks.is_empty() {
                continue;
            }
            let Some(wanted) = &self.request.values_of else {
                found.extend(entry.labels.iter().map(|(name, _)| *name));
                continue;
            };
            for (name, value) in &entry.labels {
                if name_symbol != Some(*name) {
                    let text = self.header.symbol(*name).map_err(BlockError::index(self.block))?;
                    if text != wanted.as_slice() {
                        continue;
                    }
                    name_symbol = Some(*name);
                }
                found.push(*value);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Symbols ascend as their strings do in every version but the first.
    fn found_texts(&mut self) -> Result<Texts, BlockError> {
        self.make_distinct();
        let texts = self.found.iter().map(|symbol| self.header.symbol(*symbol));
        let mut texts: Vec<&[u8]> = texts.collect::<Result<_, _>>().map_err(BlockError::index(self.block))?;
        texts.sort_unstable();
        texts.truncate(self.most());
        Ok(texts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tithon_index::MatchOp;
    use tithon_testdata::shared;

    use super::*;
    use crate::rewrite::{Rules, rewrite};
    use crate::{Block, BlockId};

    /// Names, or the values of a label, of a block as if samples were deleted.
    fn ask(block: &Block, request: &LabelRequest, deleted: &Arc<Tombstones>) -> Vec<Vec<u8>> {
        let header = Arc::clone(block.header());
        let select = LabelSelect::new(block.meta(), header, request.clone());
        let (mut select, mut fetched) = (select.without(Arc::clone(deleted)), Vec::new());
        loop {
            match select.step(fetched).unwrap() {
                LabelStep::Fetch(ranges) => fetched = block.read(&ranges).unwrap(),
                LabelStep::Done(found) => return found.iter().map(<[u8]>::to_vec).collect(),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn deleted_series_are_as_if_they_were_not_there(
            which in prop::collection::vec((0usize..100, 0i64..4, 1i64..6), 0..30),
        ) {
            let block = Block::open(shared("testdata/blocks/wide")).unwrap();
            let (min, max) = (block.meta().min_time, block.meta().max_time);
            let mut all = Vec::new();
            crate::walk(crate::compact::InputBlock::from(&block), |series, _| {
                all.push(u64::from(series.0));
                Ok::<_, BlockError>(())
            })
            .unwrap();
            let mut deleted = Tombstones::default();
            for (first, from, quarters) in &which {
                let quarter = (max - min) / 4;
                let interval = TimeRange::new(min + from * quarter, min + (from + quarters) * quarter);
                deleted.add_all(all.iter().skip(*first).step_by(7).copied(), &[interval]);
            }
            // The same block without what is deleted.
            let dir = tempfile::tempdir().unwrap();
            let id = BlockId::from_parts(1, 1);
            let copy = dir.path().join("copy");
            tithon_testdata::copy_dir(block.dir(), &copy);
            std::fs::write(copy.join("tombstones"), deleted.to_bytes()).unwrap();
            let copy = Block::open(copy).unwrap();
            let made = rewrite(&copy, dir.path(), id, &Rules::default(), |_, _| ()).unwrap();
            let left = made.map(|_| Block::open(dir.path().join(id.to_string())).unwrap());
            let (deleted, none) = (Arc::new(deleted), Arc::default());
            let labels = left.as_ref().map(|left| ask(left, &request(&[], None), &none)).unwrap_or_default();
            let matchers = [Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()];
            for given in [&matchers[..], &[]] {
                let named = ask(&block, &request(given, None), &deleted);
                prop_assert_eq!(&named, &labels);
                for name in labels.iter().take(4) {
                    let values = request(given, Some(name));
                    let expected = left.as_ref().map(|left| ask(left, &values, &none)).unwrap_or_default();
                    prop_assert_eq!(ask(&block, &values, &deleted), expected);
                }
            }
        }
    }

    fn request(matchers: &[Matcher], values_of: Option<&Vec<u8>>) -> LabelRequest {
        LabelRequest {
            values_of: values_of.cloned(),
            matchers: matchers.to_vec(),
            range: TimeRange::ALL,
            limit: 0,
        }
    }
}
