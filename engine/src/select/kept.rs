//! Keeps the result of a selection in the index for the next one with the same matchers: the labels as they are sent,
//! and the places of all chunks, whatever the range.

use std::sync::Arc;

use tithon_chunks::{ChunkMeta, TimeRange};

use super::{Pending, Select};

/// The most series that are kept.
const SERIES_MAX: usize = 1024;

/// The series that matchers select in a block, in the order in which they are sent.
pub struct KeptSeries(Box<[Pending]>);

impl KeptSeries {
    /// The approximate size in bytes.
    pub fn bytes(&self) -> usize {
        let of = |series: &Pending| {
            size_of::<Pending>() + 16 + series.labels.bytes() + series.chunks.len() * size_of::<ChunkMeta>()
        };
        self.0.iter().map(of).sum()
    }
}

/// Whether the series that a selection finds are kept.
#[derive(Default)]
pub(super) enum Keeping {
    #[default]
    No,
    Wanted,
    Done(Arc<KeptSeries>),
}

impl Select {
    /// Asks, before the first step, to keep the series found; see [`Select::take_kept`].
    pub fn keep(&mut self) {
        self.keeping = Keeping::Wanted;
    }

    /// The series found, once, when all are known. Returned only if the series are few, none of their samples is
    /// deleted, and there is no limit.
    pub fn take_kept(&mut self) -> Option<Arc<KeptSeries>> {
        match std::mem::take(&mut self.keeping) {
            Keeping::Done(kept) => Some(kept),
            other => {
                self.keeping = other;
                None
            }
        }
    }

    /// Sets, before the first step, the series that a selection with the same matchers and the same relabelling found
    /// in this block.
    pub fn set_kept(&mut self, kept: &KeptSeries) {
        self.pending.extend(kept.0.iter().filter_map(|series| series.within(self.request.range)));
        self.phase = super::Phase::Between;
    }

    /// Whether the entries of the current batch are decoded with all their chunks.
    pub(super) fn keeps(&self) -> bool {
        let (batch, all) = (self.entries.batch().len(), self.entries.n_series());
        matches!(self.keeping, Keeping::Wanted)
            && self.request.limit == 0
            && self.tombstones.is_empty()
            && batch == all
            && all <= SERIES_MAX
    }

    /// Keeps the pending series, which are all series unless there is an error, and goes on with those that have chunks
    /// in the range.
    pub(super) fn keep_pending(&mut self) {
        let all: Box<[Pending]> = std::mem::take(&mut self.pending).into_iter().collect();
        self.pending.extend(all.iter().filter_map(|series| series.within(self.request.range)));
        self.keeping = match self.fault {
            None => Keeping::Done(Arc::new(KeptSeries(all))),
            Some(_) => Keeping::No,
        };
    }
}

impl Pending {
    /// The series with those of its chunks that share a millisecond with the range, if there are any.
    fn within(&self, range: TimeRange) -> Option<Pending> {
        let is_in = |chunk: &ChunkMeta| chunk.min_time <= range.max && chunk.max_time >= range.min;
        let last = self.chunks.iter().rposition(is_in)?;
        let behind = self.chunks.get(last + 1).map_or(self.behind, |chunk| Some(chunk.chunk_ref));
        let chunks = self.chunks[..=last].iter().filter(|chunk| is_in(chunk)).copied().collect();
        Some(Pending { id: self.id, labels: self.labels.clone(), chunks, behind })
    }
}
