//! The series that an evaluation reads.

use tithon_chunks::{EncodedChunk, Samples};
use tithon_index::Labels;

use crate::error::SourceError;

/// The series of one selection, ascending by labels.
pub type SelectInput = Box<dyn Iterator<Item = Result<Series, SourceError>> + Send>;

/// One series of a selection: its labels, as the query is to see them, and its samples.
#[derive(Clone, Debug)]
pub struct Series {
    /// The label set; unique within one selection, selections ascend by it.
    pub labels: Labels,
    /// The samples, encoded or not.
    pub data: SeriesData,
}

/// Samples of one series, in time order.
#[derive(Clone, Debug)]
pub enum SeriesData {
    /// Raw chunks (floats or histograms, never aggregates) that ascend and do not overlap. They may reach beyond
    /// the range asked for: the evaluator cuts.
    Chunks(Vec<EncodedChunk>),
    /// Decoded samples: what merging or deduplication left.
    Samples(Box<Samples>),
}

impl SeriesData {
    /// What decoded samples hold, in bytes; encoded ones are counted by whoever hands them in.
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
