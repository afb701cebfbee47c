//! What a selection found in the index, kept for the next one with the same matchers: labels as they are sent and where all
//! chunks lie, whatever the range.

use std::sync::Arc;

use tithon_chunks::{ChunkMeta, TimeRange};

use super::{Pending, Select};

/// More series than these are not kept.
const SERIES_MAX: usize = 1024;

/// The series that matchers select in a block, in the order in which they are sent.
pub struct KeptSeries(Box<[Pending]>);

impl KeptSeries {
    /// About the bytes that it takes.
    pub fn bytes(&self) -> usize {
        let of = |series: &Pending| {
            size_of::<Pending>() + 16 + series.labels.bytes() + series.chunks.len() * size_of::<ChunkMeta>()
        };
        self.0.iter().map(of).sum()
    }
}

/// What becomes of the series that a selection finds.
#[derive(Default)]
pub(super) enum Keeping {
    #[default]
    No,
    Wanted,
    Done(Arc<KeptSeries>),
}

impl Select {
    /// Says before the first step that what is found is to be kept, see [`Select::take_kept`].
    pub fn keep(&mut self) {
        self.keeping = Keeping::Wanted;
    }

    /// What was found, once, when all is known. It comes only where the series are few and nothing of them is deleted, and not
    /// under a limit.
    pub fn take_kept(&mut self) -> Option<Arc<KeptSeries>> {
        match std::mem::take(&mut self.keeping) {
            Keeping::Done(kept) => Some(kept),
            other => {
                self.keeping = other;
                None
            }
        }
    }

    /// Says before the first step what a selection with the same matchers and the same relabelling found in this block.
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

    /// Keeps the pending series, which are all there are unless one is at fault, and goes on with those that have chunks in the
    /// range.
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
