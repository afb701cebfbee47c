//! What a selection yields: series with their chunks still encoded.

use tithon_chunks::EncodedChunk;
use tithon_index::Labels;

/// One selected series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedSeries {
    /// The labels that it is sent with: those of the index, as the selection was told to change them.
    pub labels: Labels,
    /// Chunks that overlap the range asked for, ascending by first, then last time; empty where chunks were not asked
    /// for.
    pub chunks: Vec<EncodedChunk>,
}

/// Series in label order; batches of one selection follow each other in label order too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesBatch {
    /// The series.
    pub series: Vec<SelectedSeries>,
}
