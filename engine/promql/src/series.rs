//! The series that an evaluation reads.

use tithon_chunks::{EncodedChunk, Samples};
use tithon_index::Labels;

use crate::error::SourceError;

/// The series of one selection, ascending by labels.
pub type SelectInput = Box<dyn Iterator<Item = Result<Series, SourceError>> + Send>;

/// One series of a selection: its labels, as the query is to see them, and its samples.
#[derive(Clone, Debug)]
pub struct Series {
    /// The label set, unique within a selection. Selections are sorted by it.
    pub labels: Labels,
    /// The samples, encoded or not.
    pub data: SeriesData,
}

/// Samples of one series, in time order.
#[derive(Clone, Debug)]
pub enum SeriesData {
    /// Raw chunks (floats or histograms, never aggregates) in order of time, which do not overlap. They may have samples
    /// outside of the range asked for; the evaluator leaves those out.
    Chunks(Vec<EncodedChunk>),
    /// Decoded samples, the result of merging or deduplication.
    Samples(Box<Samples>),
}

impl SeriesData {
    /// The memory that decoded samples take, bytes. Chunks count as 0: the caller that provides them counts them.
    pub(crate) fn decoded_bytes(&self) -> u64 {
        match self {
            SeriesData::Chunks(_) => 0,
            SeriesData::Samples(samples) => {
                let histograms = samples.histograms.values.iter().map(|h| h.size_bytes() as u64).sum::<u64>();
                (samples.floats.len() as u64) * 16 + histograms
            }
        }
    }
}
