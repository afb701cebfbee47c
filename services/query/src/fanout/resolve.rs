//! From selected chunks to what the evaluator reads: replicas are deduplicated, downsampled data are read by aggregate.

use tithon_chunks::{Aggregate, TimeRange};
use tithon_engine::SelectedSeries;
use tithon_engine::dedup::{self, Algorithm, ReadError, Resolved, Wanted};
use tithon_promql::{Series, SeriesData};

use crate::options::Dialect;

/// What a selection is for.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    /// Name of the function or aggregation around the selector, or empty.
    pub(crate) function: String,
    /// The time that the query reads.
    pub(crate) range: TimeRange,
    /// How to deduplicate overlapping chunks, which then are those of replicas; `None` joins chunks of overlapping blocks.
    pub(crate) dedup: Option<Algorithm>,
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
}

/// One series as the evaluator takes it.
pub(crate) fn to_series(selected: SelectedSeries, purpose: &Purpose) -> Result<Series, ReadError> {
    let SelectedSeries { labels, chunks } = selected;
    let (function, range) = (purpose.function.as_str(), purpose.range);
    let raw = chunks.iter().all(|c| c.encoding.is_float() || c.encoding.is_histogram());
    let apart = chunks.windows(2).all(|pair| pair[0].max_time < pair[1].min_time);
    let resolved = match (purpose.dialect, purpose.dedup) {
        (Dialect::Prometheus, _) if raw && apart => Resolved::Chunks(chunks),
        (Dialect::Prometheus, None) if raw => dedup::resolve(chunks, range)?,
        (_, None) => dedup::concatenate(chunks, function, range)?,
        (_, Some(algorithm)) => dedup::deduplicate(chunks, function, algorithm, range)?,
    };
    let data = match resolved {
        Resolved::Chunks(chunks) => SeriesData::Chunks(chunks),
        Resolved::Samples(samples) => SeriesData::Samples(samples),
    };
    Ok(Series { labels, data })
}
