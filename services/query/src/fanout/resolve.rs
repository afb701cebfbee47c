//! From selected chunks to what the evaluator reads: replicas are deduplicated, downsampled data are read by aggregate.

use std::sync::Arc;

use tithon_chunks::{Aggregate, EncodedChunk, Samples, TimeRange};
use tithon_engine::SelectedSeries;
use tithon_engine::dedup::{self, ReadError, ReplicaRule, Wanted};
use tithon_promql::{ReadChunks, Series, SeriesData, Unread};

use crate::options::Dialect;

/// What a selection is for.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    /// Name of the function or aggregation around the selector, or empty.
    pub(crate) function: String,
    /// The time that the query reads.
    pub(crate) range: TimeRange,
    /// How to deduplicate overlapping chunks, which then are those of replicas; `None` joins chunks of overlapping blocks.
    pub(crate) dedup: Option<ReplicaRule>,
    /// Thanos reads raw counters with their resets taken out, Prometheus as they are.
    pub(crate) dialect: Dialect,
}

impl Purpose {
    /// What to ask of downsampled chunks.
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

    /// Whether chunks need no reading on the way to the evaluator.
    fn takes_plain(&self, chunks: &[EncodedChunk]) -> bool {
        let resets_stay =
            self.dialect == Dialect::Prometheus || Wanted::by(&self.function) != Wanted::Counter;
        resets_stay && dedup::are_plain(chunks)
    }

    /// Fills `out`, which is empty, with the samples of one series.
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

/// Makes series as the evaluator takes them: it reads those that are not plain itself.
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
