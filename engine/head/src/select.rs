//! Selections from a head.

use std::sync::Arc;
use std::vec::IntoIter;

use tithon_chunks::TimeRange;
use tithon_engine::{SelectRequest, SelectedSeries};
use tithon_index::Labels;

use crate::Head;
use crate::series::MemSeries;

/// Series of a head in label order. Chunks are taken from memory series by series, so that samples which come meanwhile may be in
/// those of one series and not of another; those of one series have no gaps.
pub struct HeadSelect {
    series: IntoIter<(Labels, Arc<MemSeries>)>,
    range: TimeRange,
    skip_chunks: bool,
}

impl Head {
    /// Selects series. Those whose labels become equal follow each other; the request's limit does not count.
    pub fn select(&self, request: &SelectRequest) -> HeadSelect {
        let found = self.index().select(&request.matchers);
        let relabelled = found.into_iter().map(|series| (request.relabel.apply(&series.labels), series));
        let mut series: Vec<_> = relabelled.collect();
        series.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.labels.cmp(&y.labels)));
        HeadSelect { series: series.into_iter(), range: request.range, skip_chunks: request.skip_chunks }
    }
}

impl HeadSelect {
    /// The next series, `n` at the most; none at the end.
    pub fn next_batch(&mut self, n: usize) -> Vec<SelectedSeries> {
        self.by_ref().take(n).collect()
    }
}

impl Iterator for HeadSelect {
    type Item = SelectedSeries;

    fn next(&mut self) -> Option<SelectedSeries> {
        let (range, skip_chunks) = (self.range, self.skip_chunks);
        self.series.by_ref().find_map(|(labels, series)| {
            let state = series.lock();
            let is_there = state.has_chunk_in(range);
            let chunks = if is_there && !skip_chunks { state.chunks_in(range) } else { Vec::new() };
            drop(state);
            is_there.then_some(SelectedSeries { labels, chunks })
        })
    }
}
