//! Merges the series of several blocks into one answer.

use std::collections::VecDeque;

use tithon_engine::{BlockId, Merge, MergeStep, SelectedSeries, SeriesBatch};
use tithon_storeapi::SeriesPart;
use tokio::sync::mpsc::Receiver;

use crate::StoreError;
use crate::drive::Part;
use crate::faults::Faults;
use crate::memory::Charge;

/// Largest batch in series and in bytes; a single larger series is a batch of its own.
const BATCH_SERIES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;

/// The series of one block as its task sends them.
pub(crate) struct Incoming {
    pub(crate) block: BlockId,
    pub(crate) parts: Receiver<Part>,
    /// The charge for the series of it that are being merged.
    pub(crate) charge: Option<Charge>,
}

/// The merge that makes an answer.
pub(crate) struct Merging {
    merge: Merge,
    incoming: Vec<Incoming>,
    faults: Faults,
    skip_chunks: bool,
    /// Number of series that may still be sent.
    left: usize,
    /// Finished parts with their approximate bytes, to be returned next.
    ready: VecDeque<(SeriesPart, usize)>,
    pub(crate) n_sent: usize,
}

impl Merging {
    /// Merges the series of all blocks; the answer has at most `limit` of them.
    pub(crate) fn new(incoming: Vec<Incoming>, faults: Faults, skip_chunks: bool, limit: usize) -> Merging {
        let merge = Merge::new(incoming.len());
        Merging { merge, incoming, faults, skip_chunks, left: limit, ready: VecDeque::new(), n_sent: 0 }
    }

    /// The next part and its approximate bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<(SeriesPart, usize)>, StoreError> {
        if self.ready.is_empty() {
            self.fill().await?;
        }
        Ok(self.ready.pop_front())
    }

    /// Makes the next parts: warnings and a batch of series.
    async fn fill(&mut self) -> Result<(), StoreError> {
        let (mut series, mut bytes) = (Vec::with_capacity(BATCH_SERIES.min(self.left)), 0);
        while self.left > 0 && series.len() < BATCH_SERIES && bytes < BATCH_BYTES {
            match self.merge.step() {
                MergeStep::Need(i) => self.receive(i).await?,
                MergeStep::Series(next) => {
                    self.faults.reached(&next.labels)?;
                    if !next.chunks.is_empty() || self.skip_chunks {
                        bytes += size(&next);
                        self.left -= 1;
                        series.push(next);
                    }
                }
                MergeStep::Done => break,
            }
        }
        for warning in self.faults.take_warnings() {
            tracing::warn!(error = %warning, "block left out of an answer");
            let bytes = warning.len();
            self.ready.push_back((SeriesPart::Warning(warning), bytes));
        }
        if !series.is_empty() {
            self.n_sent += series.len();
            self.ready.push_back((SeriesPart::Series(SeriesBatch { series }), bytes));
        }
        Ok(())
    }

    /// Waits for the next part of a block. A series with a fault takes part in the merge without chunks, so that the
    /// fault is reported when the answer reaches it.
    async fn receive(&mut self, i: usize) -> Result<(), StoreError> {
        let Incoming { block, parts, charge } = &mut self.incoming[i];
        *charge = None;
        let part = parts.recv().await;
        if !matches!(part, Some(Part::Series(..))) {
            self.merge.end(i);
        }
        match part {
            Some(Part::Series(series, charged)) => {
                *charge = Some(charged);
                self.merge.feed(i, series);
            }
            Some(Part::End) => {}
            Some(Part::Fault(Some(labels), error)) => {
                self.faults.keep(labels.clone(), error);
                self.merge.feed(i, vec![SelectedSeries { labels, chunks: Vec::new() }]);
            }
            Some(Part::Fault(None, error)) => self.faults.tolerate(error)?,
            None => self.faults.tolerate(StoreError::ReaderLost { block: *block })?,
        }
        Ok(())
    }
}

/// Approximate memory of a series.
fn size(series: &SelectedSeries) -> usize {
    let chunks: usize = series.chunks.iter().map(|chunk| 64 + chunk.data.len()).sum();
    64 + series.labels.bytes() + chunks
}
