//! The chunks of one series, level by level.

use tithon_chunks::{
    AggregateChunk, ChunkError, EncodedChunk, Encoding, ErrorKind, HistogramError, SampleBatch, sample_count,
};

use super::columns::{self, Columns};
use super::histograms::Histograms;
use super::window::chunk_target;
use super::{Target, floats, histograms};
use crate::Resolution;
use crate::scan::ChunkSlice;

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
    /// The target is not coarser than its source.
    #[error("{to} ms cannot be made from {from} ms")]
    Resolution {
        /// Milliseconds of the source.
        from: i64,
        /// Milliseconds of the target.
        to: i64,
    },
}

impl DownsampleError {
    /// The kind of the error, which tells callers what to do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            DownsampleError::Chunk(error) => error.kind(),
            DownsampleError::Histogram(_) | DownsampleError::Overlap { .. } => ErrorKind::Corrupt,
            DownsampleError::Resolution { .. } => ErrorKind::Invalid,
        }
    }
}

/// A downsampled chunk.
enum Made {
    Floats(Box<Columns>),
    Histograms(EncodedChunk),
}

impl Made {
    fn floats(columns: Columns) -> Made {
        Made::Floats(Box::new(columns))
    }

    fn is_histogram(&self) -> bool {
        matches!(self, Made::Histograms(_))
    }

    /// The chunk; `room` holds the columns of its level.
    fn encoded(&self, room: &SampleBatch) -> EncodedChunk {
        match self {
            Made::Floats(columns) => columns.encoded(room),
            Made::Histograms(chunk) => chunk.clone(),
        }
    }

    fn range(&self) -> (i64, i64) {
        match self {
            Made::Floats(columns) => (columns.range.min, columns.range.max),
            Made::Histograms(chunk) => (chunk.min_time.0, chunk.max_time.0),
        }
    }

    fn n_windows(&self) -> Result<usize, ChunkError> {
        match self {
            Made::Floats(columns) => Ok(columns.n_windows),
            Made::Histograms(chunk) => sample_count(chunk.encoding, &chunk.data),
        }
    }
}

/// Buffers that are used again for each series.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// Raw samples.
    raw: SampleBatch,
    /// The columns of the level that is made, and of the one it is made from.
    made: SampleBatch,
    finer: SampleBatch,
}

/// The chunks of each target, made from those of the source.
pub(super) fn levels(
    chunks: &[ChunkSlice<'_>],
    from: i64,
    targets: &[Target],
    rooms: &mut Rooms,
) -> Result<Vec<Vec<EncodedChunk>>, DownsampleError> {
    if let Some(pair) = chunks.windows(2).find(|pair| pair[0].max_time >= pair[1].min_time) {
        return Err(DownsampleError::Overlap { end: pair[0].max_time.0, start: pair[1].min_time.0 });
    }
    let (mut from, mut finer) = (from, None);
    let mut out = Vec::with_capacity(targets.len());
    for target in targets {
        let to = target.resolution.ms();
        let Rooms { raw: samples, made: room, finer: before } = &mut *rooms;
        room.clear();
        let made = match (Resolution::from_ms(from), target.resolution) {
            (Some(Resolution::Raw), Resolution::FiveMinutes | Resolution::OneHour) => {
                raw(chunks, to, samples, room)?
            }
            (Some(Resolution::FiveMinutes), Resolution::OneHour) => {
                let finer = match finer.take() {
                    Some(made) => made,
                    None => {
                        before.clear();
                        stored(chunks, from, samples, before)?
                    }
                };
                aggregates(&finer, before, from, to, room)?
            }
            _ => return Err(DownsampleError::Resolution { from, to }),
        };
        out.push(made.iter().map(|made| made.encoded(room)).collect());
        (finer, from) = (Some(made), to);
        std::mem::swap(room, before);
    }
    Ok(out)
}

/// Downsamples raw chunks: each run of floats, and each run of histograms, by itself. Columns are appended to `room`.
fn raw(
    chunks: &[ChunkSlice<'_>],
    resolution: i64,
    raw: &mut SampleBatch,
    room: &mut SampleBatch,
) -> Result<Vec<Made>, DownsampleError> {
    let mut out = Vec::new();
    for run in chunks.chunk_by(|a, b| a.encoding.is_histogram() == b.encoding.is_histogram()) {
        if run[0].encoding.is_histogram() {
            let mut samples = Histograms::default();
            run.iter().try_for_each(|chunk| samples.expand(chunk.encoding, chunk.data))?;
            out.extend(histograms::from_raw(&samples, resolution)?.into_iter().map(Made::Histograms));
            continue;
        }
        raw.clear();
        let data: Vec<_> = run.iter().map(|chunk| (chunk.encoding, chunk.data)).collect();
        let nan = columns::expand(&data, raw)?;
        out.extend(floats::from_raw(raw, nan, resolution, room)?.into_iter().map(Made::floats));
    }
    Ok(out)
}

/// The chunks of a downsampled block. Raw chunks among them, which repairs leave behind, are downsampled first. Columns are
/// appended to `room`.
fn stored(
    chunks: &[ChunkSlice<'_>],
    from: i64,
    samples: &mut SampleBatch,
    room: &mut SampleBatch,
) -> Result<Vec<Made>, DownsampleError> {
    let mut out = Vec::with_capacity(chunks.len());
    let mut floats = Vec::with_capacity(chunks.len());
    let decode = |floats: &mut Vec<_>, out: &mut Vec<Made>, room: &mut _| -> Result<(), DownsampleError> {
        out.extend(Columns::decode(floats, room)?.into_iter().map(Made::floats));
        floats.clear();
        Ok(())
    };
    for chunk in chunks {
        if chunk.encoding == Encoding::Aggregate {
            let parsed = AggregateChunk::parse(chunk.data)?;
            if !parsed.is_histogram() {
                floats.push((parsed, chunk.range()));
                continue;
            }
        }
        decode(&mut floats, &mut out, room)?;
        if chunk.encoding == Encoding::Aggregate {
            out.push(Made::Histograms(chunk.owned()));
        } else if sample_count(chunk.encoding, chunk.data)? > 0 {
            out.extend(raw(std::slice::from_ref(chunk), from, samples, room)?);
        }
    }
    decode(&mut floats, &mut out, room)?;
    Ok(out)
}

/// Downsamples chunks further, whose columns are in `before`: each run of floats, and each run of histograms, by itself.
/// Columns are appended to `room`.
fn aggregates(
    finer: &[Made],
    before: &SampleBatch,
    from: i64,
    resolution: i64,
    room: &mut SampleBatch,
) -> Result<Vec<Made>, DownsampleError> {
    let mut out = Vec::new();
    for run in finer.chunk_by(|a, b| a.is_histogram() == b.is_histogram()) {
        let mut windows = 0;
        for chunk in run {
            windows += chunk.n_windows()?;
        }
        let target = chunk_target(run[0].range().0, run[run.len() - 1].range().1, from, resolution, windows);
        for batch in run.chunks((run.len() / target).max(1)) {
            let (mut floats, mut histograms) = (Vec::new(), Vec::new());
            for chunk in batch {
                match chunk {
                    Made::Floats(columns) => floats.push(columns.as_ref()),
                    Made::Histograms(chunk) => histograms.push(AggregateChunk::parse(&chunk.data)?),
                }
            }
            if histograms.is_empty() {
                out.extend(floats::from_aggregates(&floats, before, resolution, room)?.map(Made::floats));
            } else {
                out.extend(histograms::from_aggregates(&histograms, resolution)?.map(Made::Histograms));
            }
        }
    }
    Ok(out)
}
