//! The results of a selection: series with their encoded chunks.

use tithon_chunks::EncodedChunk;
use tithon_index::Labels;

/// One selected series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedSeries {
    /// The labels that the series is sent with: those of the index, with the changes that the selection makes.
    pub labels: Labels,
    /// Chunks that overlap the range of the selection, ascending by first, then last time; empty if chunks were not
    /// wanted.
    pub chunks: Vec<EncodedChunk>,
}

/// Series in label order; batches of one selection follow each other in label order too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesBatch {
    /// The series.
    pub series: Vec<SelectedSeries>,
}
