//! Makes the evaluator's series of selected chunks: replicas are deduplicated, and downsampled chunks read by
//! aggregate.

use std::sync::Arc;

use tithon_chunks::{Aggregate, EncodedChunk, Samples, TimeRange};
use tithon_engine::SelectedSeries;
use tithon_engine::dedup::{self, ReadError, ReplicaRule, Wanted};
use tithon_promql::{ReadChunks, Series, SeriesData, Unread};

use crate::options::Dialect;

/// The purpose of a selection, which decides how its chunks are read.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    /// Name of the function or aggregation around the selector, or empty.
    pub(crate) function: String,
    /// The time range of all selectors of the query.
    pub(crate) range: TimeRange,
    /// How overlapping chunks are deduplicated as replicas; `None` when they come from overlapping blocks and are
    /// joined.
    pub(crate) dedup: Option<ReplicaRule>,
    /// Whose rules apply to raw counters: Thanos removes their resets, Prometheus leaves them.
    pub(crate) dialect: Dialect,
}

impl Purpose {
    /// The aggregates to request of downsampled chunks.
    pub(crate) fn aggregates(&self) -> Vec<Aggregate> {
        match Wanted::by(&self.function) {
            Wanted::Count => vec![Aggregate::Count],
            Wanted::Sum => vec![Aggregate::Sum],
            Wanted::Min => vec![Aggregate::Min],
            Wanted::Max => vec![Aggregate::Max],
            Wanted::Counter => vec![Aggregate::Counter],
            Wanted::Average => vec![Aggregate::Count, Aggregate::Sum],
        }
    }

    /// Whether the evaluator can read the chunks as they are, without deduplication or conversion.
    fn takes_plain(&self, chunks: &[EncodedChunk]) -> bool {
        let resets_stay =
            self.dialect == Dialect::Prometheus || Wanted::by(&self.function) != Wanted::Counter;
        resets_stay && dedup::are_plain(chunks)
    }

    /// Fills the empty `out` with the samples of one series.
    pub(crate) fn read(&self, chunks: &[EncodedChunk], out: &mut Samples) -> Result<(), ReadError> {
        let (function, range) = (self.function.as_str(), self.range);
        let raw = || chunks.iter().all(|c| c.encoding.is_float() || c.encoding.is_histogram());
        match (self.dialect, self.dedup) {
            (Dialect::Prometheus, None) if raw() => {
                dedup::deduplicate(chunks, "", ReplicaRule::Chain, range, out)
            }
            (_, None) => dedup::concatenate(chunks, function, range, out),
            (_, Some(rule)) => dedup::deduplicate(chunks, function, rule, range, out),
        }
    }
}

/// Makes series as the evaluator takes them. Those whose chunks are not plain carry a function that reads them.
pub(crate) fn to_series(purpose: Purpose) -> impl FnMut(SelectedSeries) -> Series {
    let purpose = Arc::new(purpose);
    let reads = Arc::clone(&purpose);
    let read: ReadChunks = Arc::new(move |chunks, out| Ok(reads.read(chunks, out)?));
    move |SelectedSeries { labels, chunks }| {
        let data = match purpose.takes_plain(&chunks) {
            true => SeriesData::Chunks(chunks),
            false => SeriesData::Unread(Unread { chunks, read: Arc::clone(&read) }),
        };
        Series { labels, data }
    }
}
