//! The inputs of a compaction: the series of all blocks in label order, equal series together.

use std::sync::Arc;

use rayon::prelude::*;
use tithon_chunks::TimeRange;

use crate::BlockError;
use crate::heap::Heap;
use crate::input::InputBlock;
use crate::scan::{Batch, Pair, Scan, SharedBatch, SymbolMap};

/// Merges the series of several blocks.
pub(super) struct SeriesSets<'b> {
    inputs: Vec<Input<'b>>,
    heap: Heap<usize>,
    /// The blocks whose series was returned last.
    current: Vec<usize>,
}

struct Input<'b> {
    scan: Scan<'b>,
    /// The current batch; `None` before the start and at the end.
    batch: Option<SharedBatch>,
    /// The current series of the batch.
    at: usize,
    /// The number of the batch in the current round.
    number: Option<u32>,
}

/// Some series, in label order.
#[derive(Default)]
pub(super) struct Round {
    pub(super) batches: Vec<SharedBatch>,
    /// For each member of a series, its place: the batch of the round, and the series in that batch. The blocks come in
    /// the order of upstream's heap, which decides which of several samples at one time is kept.
    members: Vec<(u32, u32)>,
    ends: Vec<u32>,
}

impl Round {
    /// Number of series.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn members(&self, series: usize) -> &[(u32, u32)] {
        let start = if series == 0 { 0 } else { self.ends[series - 1] as usize };
        &self.members[start..self.ends[series] as usize]
    }

    /// The labels of a series.
    pub(super) fn labels(&self, series: usize) -> &[Pair] {
        let (batch, place) = self.members(series)[0];
        self.batches[batch as usize].labels(place as usize)
    }
}

/// The most series in a round.
const ROUND: usize = 1024;

/// The most batches of a block in a round. With many chunks per series, rounds have fewer series.
const BATCHES: usize = 2;

impl<'b> SeriesSets<'b> {
    /// All series with samples inside `range`; deletions are applied.
    pub(super) fn new(
        sources: Vec<InputBlock<'b>>,
        symbols: Vec<SymbolMap>,
        range: TimeRange,
    ) -> SeriesSets<'b> {
        let input = |(source, symbols)| Input {
            scan: Scan::new(source, symbols, range),
            batch: None,
            at: 0,
            number: None,
        };
        let inputs: Vec<Input<'b>> = sources.into_iter().zip(symbols).map(input).collect();
        let current = (0..inputs.len()).collect();
        SeriesSets { inputs, heap: Heap::new(), current }
    }

    /// The next series, after all series returned before; an empty round at the end. Blocks whose batch is used up are
    /// read, all at the same time.
    pub(super) fn next(&mut self) -> Result<Round, BlockError> {
        self.inputs.par_iter_mut().try_for_each(Input::refill)?;
        let mut round = Round::default();
        while round.len() < ROUND {
            if !self.advance() {
                if round.batches.len() >= BATCHES * self.inputs.len() {
                    break;
                }
                self.inputs.par_iter_mut().try_for_each(Input::refill)?;
                continue;
            }
            let Some(first) = self.heap.pop(less(&self.inputs)) else { break };
            self.current.push(first);
            while let Some(top) = self.heap.top()
                && self.inputs[*top].labels() == self.inputs[first].labels()
            {
                self.current.extend(self.heap.pop(less(&self.inputs)));
            }
            for i in &self.current {
                let member = self.inputs[*i].member(&mut round.batches);
                round.members.extend(member);
            }
            round.ends.push(round.members.len() as u32);
        }
        self.inputs.iter_mut().for_each(|input| input.number = None);
        Ok(round)
    }

    /// Puts the blocks returned last back on the heap, at their next series. Returns `false` when one has to be read
    /// first.
    fn advance(&mut self) -> bool {
        if self.current.iter().any(|i| self.inputs[*i].is_exhausted()) {
            return false;
        }
        for i in std::mem::take(&mut self.current) {
            if self.inputs[i].batch.is_some() {
                self.heap.push(i, less(&self.inputs));
            }
        }
        true
    }
}

fn less(inputs: &[Input<'_>]) -> impl Fn(&usize, &usize) -> bool {
    |a, b| inputs[*a].labels() < inputs[*b].labels()
}

impl Input<'_> {
    fn labels(&self) -> Option<&[Pair]> {
        self.batch.as_ref().map(|batch| batch.labels(self.at))
    }

    /// Whether all series of the batch have been returned.
    fn is_exhausted(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch: &SharedBatch| self.at >= batch.len())
    }

    /// Reads the next batch, if there is none or it is used up.
    fn refill(&mut self) -> Result<(), BlockError> {
        if self.batch.is_none() && self.at > 0 {
            return Ok(());
        }
        if self.batch.is_none() || self.is_exhausted() {
            (self.batch, self.number) = (None, None);
            self.batch = self.scan.next_batch()?.map(|batch: Batch| Arc::new(batch));
            // A cursor at its end is not read again.
            self.at = usize::from(self.batch.is_none());
        }
        Ok(())
    }

    /// The place of the current series; moves on to the next.
    fn member(&mut self, batches: &mut Vec<SharedBatch>) -> Option<(u32, u32)> {
        let batch = self.batch.as_ref()?;
        let number = *self.number.get_or_insert_with(|| {
            batches.push(Arc::clone(batch));
            batches.len() as u32 - 1
        });
        self.at += 1;
        Some((number, self.at as u32 - 1))
    }
}
