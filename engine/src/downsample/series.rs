//! The chunks of one series, level by level.

use tithon_chunks::{
    AggregateChunk, ChunkError, EncodedChunk, Encoding, ErrorKind, HistogramError, HistogramSamples,
    SampleBatch, sample_count,
};

use super::window::chunk_target;
use super::{Target, floats, histograms};
use crate::Resolution;

/// Why a series could not be downsampled.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DownsampleError {
    /// A chunk cannot be decoded.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// Histograms cannot be added up.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
    /// A chunk begins before the one before it has ended.
    #[error("chunks overlap: one ends at {end}, the next begins at {start}")]
    Overlap {
        /// Last time of a chunk.
        end: i64,
        /// First time of the next.
        start: i64,
    },
    /// A target that is not coarser than what it is to be made from.
    #[error("{to} ms cannot be made from {from} ms")]
    Resolution {
        /// Milliseconds of the source.
        from: i64,
        /// Milliseconds of the target.
        to: i64,
    },
}

impl DownsampleError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            DownsampleError::Chunk(error) => error.kind(),
            DownsampleError::Histogram(_) | DownsampleError::Overlap { .. } => ErrorKind::Corrupt,
            DownsampleError::Resolution { .. } => ErrorKind::Invalid,
        }
    }
}

/// The chunks of each target, given those of the source.
pub(super) fn levels(
    chunks: &[EncodedChunk],
    from: i64,
    targets: &[Target],
) -> Result<Vec<Vec<EncodedChunk>>, DownsampleError> {
    if let Some(pair) = chunks.windows(2).find(|pair| pair[0].max_time >= pair[1].min_time) {
        return Err(DownsampleError::Overlap { end: pair[0].max_time.0, start: pair[1].min_time.0 });
    }
    let mut from = from;
    let mut made: Vec<Vec<EncodedChunk>> = Vec::with_capacity(targets.len());
    for target in targets {
        let to = target.resolution.ms();
        let source = made.last().map_or(chunks, Vec::as_slice);
        let next = match (Resolution::from_ms(from), target.resolution) {
            (Some(Resolution::Raw), Resolution::FiveMinutes | Resolution::OneHour) => raw(source, to)?,
            (Some(Resolution::FiveMinutes), Resolution::OneHour) => aggregates(source, from, to)?,
            _ => return Err(DownsampleError::Resolution { from, to }),
        };
        made.push(next);
        from = to;
    }
    Ok(made)
}

/// Raw chunks: each run of floats, and each of histograms, by itself.
fn raw(chunks: &[EncodedChunk], resolution: i64) -> Result<Vec<EncodedChunk>, DownsampleError> {
    let mut out = Vec::new();
    for run in chunks.chunk_by(|a, b| a.encoding.is_histogram() == b.encoding.is_histogram()) {
        if run[0].encoding.is_histogram() {
            let mut samples = HistogramSamples::default();
            for chunk in run {
                histograms::expand(chunk.encoding, &chunk.data, &mut samples)?;
            }
            out.extend(histograms::from_raw(&samples, resolution)?);
            continue;
        }
        let mut samples = SampleBatch::default();
        let data: Vec<_> = run.iter().map(|chunk| (chunk.encoding, chunk.data.as_ref())).collect();
        floats::expand_all(&data, &mut samples)?;
        out.extend(floats::from_raw(&samples, resolution)?);
    }
    Ok(out)
}

/// Chunks of a downsampled block. Raw ones among them, which repairs leave behind, are downsampled first.
fn aggregates(
    chunks: &[EncodedChunk],
    from: i64,
    resolution: i64,
) -> Result<Vec<EncodedChunk>, DownsampleError> {
    let mut repaired = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        if chunk.encoding == Encoding::Aggregate {
            repaired.push(chunk.clone());
        } else if sample_count(chunk.encoding, &chunk.data)? > 0 {
            repaired.extend(raw(std::slice::from_ref(chunk), from)?);
        }
    }
    let parsed = repaired.iter().map(|c| AggregateChunk::parse(&c.data)).collect::<Result<Vec<_>, _>>()?;
    let mut out = Vec::new();
    let mut at = 0;
    for run in parsed.chunk_by(|a, b| a.is_histogram() == b.is_histogram()) {
        let metas = &repaired[at..at + run.len()];
        at += run.len();
        let mut samples = 0;
        for chunk in run {
            samples += chunk.sample_count()?;
        }
        let (min, max) = (metas[0].min_time.0, metas[metas.len() - 1].max_time.0);
        let target = chunk_target(min, max, from, resolution, samples);
        for batch in run.chunks((run.len() / target).max(1)) {
            if run[0].is_histogram() {
                out.extend(histograms::from_aggregates(batch, resolution)?);
            } else {
                out.push(floats::from_aggregates(batch, resolution)?);
            }
        }
    }
    Ok(out)
}
