//! The inputs of a compaction: series of all blocks in label order, equal ones together.

use tithon_chunks::{EncodedChunk, TimeRange, Timestamp};
use tithon_index::Labels;

use super::Source;
use crate::heap::Heap;
use crate::{BlockError, BlockId, Select, SelectRequest, SelectedSeries, SeriesBatch, Step, trim};

/// A series and its chunks in each block that has it. The blocks come in the order in which upstream's heap gives them:
/// where samples tie, it decides which one stays.
pub(super) struct Found {
    pub(super) labels: Labels,
    pub(super) lists: Vec<Vec<EncodedChunk>>,
}

/// Merges the series of several blocks.
pub(super) struct SeriesSets<'b> {
    inputs: Vec<Input<'b>>,
    heap: Heap<usize>,
    /// Blocks whose series was given out last.
    current: Vec<usize>,
}

struct Input<'b> {
    block: BlockId,
    source: Source<'b>,
    select: Select,
    batch: std::vec::IntoIter<SelectedSeries>,
    range: TimeRange,
    head: Option<SelectedSeries>,
}

impl<'b> SeriesSets<'b> {
    /// All series with samples inside `range`; deletions are applied.
    pub(super) fn new(sources: Vec<Source<'b>>, range: TimeRange) -> SeriesSets<'b> {
        let input = |source: Source<'b>| {
            let request = SelectRequest::new(Vec::new(), range);
            let (header, tombstones) = (source.header.clone(), source.tombstones.clone());
            let select = Select::new(&source.meta, header, tombstones, request);
            let block = source.meta.ulid;
            Input { block, source, select, batch: Vec::new().into_iter(), range, head: None }
        };
        let inputs: Vec<Input<'b>> = sources.into_iter().map(input).collect();
        let current = (0..inputs.len()).collect();
        SeriesSets { inputs, heap: Heap::new(), current }
    }

    /// The next series, behind all before it.
    pub(super) fn next(&mut self) -> Result<Option<Found>, BlockError> {
        for i in std::mem::take(&mut self.current) {
            if self.inputs[i].advance()? {
                self.heap.push(i, less(&self.inputs));
            }
        }
        let Some(first) = self.heap.pop(less(&self.inputs)) else { return Ok(None) };
        self.current.push(first);
        while let Some(top) = self.heap.top()
            && self.inputs[*top].labels() == self.inputs[first].labels()
        {
            self.current.extend(self.heap.pop(less(&self.inputs)));
        }
        let Some(labels) = self.inputs[first].labels().cloned() else { return Ok(None) };
        let lists = self.current.iter().filter_map(|i| self.inputs[*i].head.take()).map(|s| s.chunks);
        Ok(Some(Found { labels, lists: lists.collect() }))
    }
}

fn less(inputs: &[Input<'_>]) -> impl Fn(&usize, &usize) -> bool {
    |a, b| inputs[*a].labels() < inputs[*b].labels()
}

impl Input<'_> {
    fn labels(&self) -> Option<&Labels> {
        self.head.as_ref().map(|s| &s.labels)
    }

    /// Moves to the next series; whether there is one.
    fn advance(&mut self) -> Result<bool, BlockError> {
        loop {
            let Some(mut series) = self.batch.next() else {
                match self.next_batch()? {
                    Some(batch) => self.batch = batch.series.into_iter(),
                    None => return Ok(false),
                }
                continue;
            };
            if series.chunks.iter().any(|c| !self.range.covers(c.range())) {
                self.cut(&mut series)?;
            }
            if !series.chunks.is_empty() {
                self.head = Some(series);
                return Ok(true);
            }
        }
    }

    fn next_batch(&mut self) -> Result<Option<SeriesBatch>, BlockError> {
        let mut fetched = Vec::new();
        loop {
            match self.select.step(std::mem::take(&mut fetched))? {
                Step::Fetch(ranges) => fetched = (self.source.fetch)(&ranges)?,
                Step::Batch(batch) => return Ok(Some(batch)),
                Step::Done => return Ok(None),
            }
        }
    }

    /// Takes off what reaches out of the range.
    fn cut(&self, series: &mut SelectedSeries) -> Result<(), BlockError> {
        let outside = [
            TimeRange { min: Timestamp::MIN, max: Timestamp(self.range.min.0.saturating_sub(1)) },
            TimeRange { min: Timestamp(self.range.max.0.saturating_add(1)), max: Timestamp::MAX },
        ];
        let mut kept = Vec::with_capacity(series.chunks.len());
        for chunk in series.chunks.drain(..) {
            let cut = trim::without(chunk, &outside)
                .map_err(|source| BlockError::Written { block: self.block, source })?;
            kept.extend(cut);
        }
        series.chunks = kept;
        Ok(())
    }
}
