//! What a query sees of one series: chunks of several replicas, blocks or resolutions become one sequence of samples.
//!
//! Thanos `pkg/query/iter.go`, `pkg/dedup`; Prometheus `storage/merge.go`.

mod average;
pub(crate) mod chain;
pub(crate) mod counter;
pub(crate) mod penalty;
mod read;
mod rows;
mod track;
mod wanted;

use tithon_chunks::{ChunkError, EncodedChunk, ErrorKind, Samples, TimeRange};

use self::track::Sequence;

pub(crate) use self::track::{Pick, Track};

pub use self::rows::split_overlaps;
pub use self::wanted::Wanted;

/// How samples of one series that overlap in time become one sequence, in queries and in compaction
/// (`--deduplication.func` of both).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Stay with one replica until it falls behind by twice its interval: Thanos's penalty algorithm. A compaction applies
    /// it to chunks of one kind; overlapping chunks of other kinds are lost, as upstream.
    Penalty,
    /// All samples of all replicas, one for each timestamp.
    Chain,
}

/// Samples of one series, decoded only where that was needed.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// Raw chunks that ascend and do not overlap; they may reach beyond the range.
    Chunks(Vec<EncodedChunk>),
    /// Samples inside the range, in order of time.
    Samples(Box<Samples>),
}

/// Why the chunks of a series could not be read as a query wants them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// A chunk is damaged, of an encoding that is not known, or lacks the aggregate.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// A downsampled chunk has another number of counts than of sums.
    #[error("sum and count are not aligned: {counts} counts, {sums} sums")]
    Unaligned {
        /// Number of counts.
        counts: usize,
        /// Number of sums.
        sums: usize,
    },
    /// A downsampled chunk has a count at a time without a sum.
    #[error("sum and count are not aligned: no sum at {time}")]
    UnalignedTime {
        /// Milliseconds.
        time: i64,
    },
}

impl ReadError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            ReadError::Chunk(error) => error.kind(),
            _ => ErrorKind::Corrupt,
        }
    }
}

/// Reads the chunks of one series as `function` (empty if there is none) wants them, all chunks ascending by first
/// time: overlaps are taken for replicas and merged, downsampled chunks read by aggregate.
pub fn deduplicate(
    chunks: Vec<EncodedChunk>,
    function: &str,
    algorithm: Algorithm,
    range: TimeRange,
) -> Result<Resolved, ReadError> {
    let mut rows = split_overlaps(chunks);
    if rows.len() < 2 {
        return concatenate(rows.pop().unwrap_or_default(), function, range);
    }
    let wanted = Wanted::by(function);
    let mut samples = Vec::with_capacity(rows.len());
    for row in rows {
        samples.push(read::row(&row, wanted, range)?);
    }
    Ok(Resolved::Samples(Box::new(merge_samples(&samples, function, algorithm))))
}

/// Reads the chunks of one series without looking for replicas: chunk after chunk, and of each only what lies behind
/// all before it.
pub fn concatenate(
    chunks: Vec<EncodedChunk>,
    function: &str,
    range: TimeRange,
) -> Result<Resolved, ReadError> {
    let wanted = Wanted::by(function);
    let apart = chunks.windows(2).all(|pair| pair[0].max_time < pair[1].min_time);
    let raw = chunks.iter().all(|c| c.encoding.is_float() || c.encoding.is_histogram());
    if apart && raw && wanted != Wanted::Counter {
        return Ok(Resolved::Chunks(chunks));
    }
    Ok(Resolved::Samples(Box::new(read::row(&chunks, wanted, range)?)))
}

/// Reads the raw chunks of one series as Prometheus's querier does: overlaps are merged by the chain rule.
pub fn resolve(chunks: Vec<EncodedChunk>, range: TimeRange) -> Result<Resolved, ReadError> {
    deduplicate(chunks, "", Algorithm::Chain, range)
}

/// Merges decoded replicas of one series, each in order of time.
pub fn merge_samples(replicas: &[Samples], function: &str, algorithm: Algorithm) -> Samples {
    let sequences: Vec<Sequence<'_>> = replicas.iter().map(Sequence::new).collect();
    let tracks: Vec<Track<'_>> = sequences.iter().map(Sequence::track).collect();
    let (picks, forget) = match algorithm {
        Algorithm::Penalty => (penalty::merge(&tracks, is_counter(function)), false),
        Algorithm::Chain => (chain::merge(&tracks), true),
    };
    gather(&sequences, &picks, forget)
}

fn gather(sequences: &[Sequence<'_>], picks: &[Pick], forget: bool) -> Samples {
    let mut out = Samples::default();
    for pick in picks {
        sequences[pick.track].copy(pick, forget, &mut out);
    }
    out
}

/// Whether the function reads its series as a counter, so that a switch of replicas must not look like a reset.
fn is_counter(function: &str) -> bool {
    matches!(function, "increase" | "rate" | "irate" | "resets")
}

#[cfg(test)]
mod vectors;
