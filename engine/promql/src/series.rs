//! The series that an evaluation reads.

use std::fmt;
use std::sync::Arc;

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
    /// The samples, encoded or decoded.
    pub data: SeriesData,
}

/// Samples of one series, in time order.
#[derive(Clone, Debug)]
pub enum SeriesData {
    /// Raw chunks (floats or histograms, never aggregates) in order of time, which do not overlap. They may have samples
    /// outside of the range asked for; the evaluator leaves those out.
    Chunks(Vec<EncodedChunk>),
    /// Decoded samples.
    Samples(Box<Samples>),
    /// Chunks that the source's own function reads, because they overlap or are downsampled. The threads of the
    /// evaluation call the function when they need the samples.
    Unread(Unread),
}

/// Chunks of one series and the function that reads them.
#[derive(Clone)]
pub struct Unread {
    /// The chunks, in order of their first times.
    pub chunks: Vec<EncodedChunk>,
    /// The function that reads the chunks.
    pub read: ReadChunks,
}

/// Appends the samples of the chunks of one series to an empty [`Samples`].
pub type ReadChunks = Arc<dyn Fn(&[EncodedChunk], &mut Samples) -> Result<(), SourceError> + Send + Sync>;

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unread").field(&self.chunks).finish()
    }
}

impl SeriesData {
    /// The memory that samples and chunks take, bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            SeriesData::Chunks(chunks) | SeriesData::Unread(Unread { chunks, .. }) => {
                chunks.iter().map(|chunk| (size_of::<EncodedChunk>() + chunk.data.len()) as u64).sum()
            }
            SeriesData::Samples(_) => self.decoded_bytes(),
        }
    }

    /// The memory that decoded samples take, bytes. Chunks count as 0: the caller that provides them counts them until they have
    /// been read.
    pub(crate) fn decoded_bytes(&self) -> u64 {
        match self {
            SeriesData::Chunks(_) | SeriesData::Unread(_) => 0,
            SeriesData::Samples(samples) => {
                let histograms = samples.histograms.values.iter().map(|h| h.size_bytes() as u64).sum::<u64>();
                (samples.floats.len() as u64) * 16 + histograms
            }
        }
    }
}
