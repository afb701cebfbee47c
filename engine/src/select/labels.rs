//! Label names and values: straight from the header, or of the series that match, as a state machine without I/O.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rayon::prelude::*;
use tithon_chunks::TimeRange;
use tithon_index::{IndexError, IndexHeader, Matcher, Planning, PostingsPlan, SeriesEntry, SymbolRef, Texts};

use crate::entries::{ENTRIES_AT_ONCE, Entries, index_range};
use crate::{BlockError, BlockId, BlockMeta, FileRange};

/// Entries that one thread decodes at a time.
const DECODED_TOGETHER: usize = 512;

/// Which names or values are wanted.
#[derive(Clone, Debug)]
pub struct LabelRequest {
    /// The label whose values are wanted; `None` asks for the names of all labels.
    pub values_of: Option<Vec<u8>>,
    /// Conditions on the series that count; none counts every series of the block, whatever the range.
    pub matchers: Vec<Matcher>,
    /// Series count that have a chunk sharing a millisecond with it.
    pub range: TimeRange,
    /// The most to yield; 0 is no limit.
    pub limit: usize,
}

/// What a query of labels needs next, or its result.
#[derive(Debug)]
pub enum LabelStep {
    /// Hand the bytes of these ranges to the next step, in this order.
    Fetch(Vec<FileRange>),
    /// The names or values, ascending, each once; the query is over.
    Done(Texts),
}

/// A query of labels of one block.
pub struct LabelSelect {
    block: BlockId,
    header: Arc<IndexHeader>,
    request: LabelRequest,
    entries: Entries,
    /// Symbols of what was found, those before `n_distinct` ascending and each once.
    found: Vec<SymbolRef>,
    n_distinct: usize,
    phase: Phase,
}

enum Phase {
    Begin,
    Plan(Planning),
    Postings(PostingsPlan),
    Entries,
    Between,
}

impl LabelSelect {
    /// A query of the block that `meta` and `header` describe.
    pub fn new(meta: &BlockMeta, header: Arc<IndexHeader>, request: LabelRequest) -> LabelSelect {
        LabelSelect {
            block: meta.ulid,
            entries: Entries::new(meta, Arc::clone(&header)),
            header,
            request,
            found: Vec::new(),
            n_distinct: 0,
            phase: Phase::Begin,
        }
    }

    /// Number of series that the matchers found, whether or not they have chunks in the range; 0 before that is known.
    pub fn n_series(&self) -> usize {
        self.entries.n_series()
    }

    /// Goes on as [`super::Select::step`] does.
    pub fn step(&mut self, mut fetched: Vec<Bytes>) -> Result<LabelStep, BlockError> {
        loop {
            match std::mem::replace(&mut self.phase, Phase::Between) {
                Phase::Begin if self.request.matchers.is_empty() => {
                    return self.all_of_header().map(LabelStep::Done);
                }
                Phase::Begin => self.phase = Phase::Plan(Planning::default()),
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
                    self.entries.set_postings(plan.resolve(&given).map_err(BlockError::index(self.block))?);
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

    fn most(&self) -> usize {
        if self.request.limit == 0 { usize::MAX } else { self.request.limit }
    }

    fn all_of_header(&self) -> Result<Texts, BlockError> {
        let (header, most) = (&self.header, self.most());
        let found = match &self.request.values_of {
            None => header.label_names().and_then(|names| copies(names.into_iter().take(most).map(Ok))),
            Some(name) => header
                .label_values(name)
                .and_then(|values| copies(values.take(most).map(|value| Ok(value?.value)))),
        };
        found.map_err(BlockError::index(self.block))
    }

    /// Adds the names or values that the current batch of entries has, decoded on as many threads as the pool has.
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

    /// What these entries of the batch have.
    fn collect_part(&self, entries: Range<usize>) -> Result<Vec<SymbolRef>, BlockError> {
        let mut entry = SeriesEntry::default();
        let (mut found, mut name_symbol) = (Vec::new(), None);
        for i in entries {
            self.entries.decode(i, self.request.range, &mut entry)?;
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
        copies(texts.into_iter().map(Ok)).map_err(BlockError::index(self.block))
    }
}

/// Copies of texts, nothing of a mapped file.
fn copies<'t>(texts: impl Iterator<Item = Result<&'t [u8], IndexError>>) -> Result<Texts, IndexError> {
    let mut out = Texts::with_capacity(texts.size_hint().0);
    for text in texts {
        out.push(text?);
    }
    Ok(out)
}
