//! The samples of one series for a query: chunks of several replicas, blocks or resolutions become one sequence of
//! samples.
//!
//! Thanos `pkg/query/iter.go`, `pkg/dedup`; Prometheus `storage/merge.go`.

mod average;
pub(crate) mod chain;
pub(crate) mod counter;
mod exact;
mod floats;
pub(crate) mod interleave;
pub(crate) mod penalty;
mod read;
mod rows;
mod track;
mod wanted;

use tithon_chunks::{ChunkError, EncodedChunk, ErrorKind, Samples, TimeRange};

use self::floats::Reading;
use self::rows::split_overlaps;
use self::track::Sequence;

pub(crate) use self::track::{Pick, Track};

pub use self::wanted::Wanted;

/// The rule by which samples of one series that overlap in time become one sequence in a compaction (its
/// `--deduplication.func`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Stay with one replica until it falls behind by twice its interval: Thanos's penalty algorithm. A compaction applies
    /// it to chunks of one kind; overlapping chunks of other kinds are lost, as upstream.
    Penalty,
    /// All samples of all replicas, one for each timestamp.
    Chain,
}

/// The rule by which replicas of one series become one sequence in a query (`--deduplication.func` of a querier).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaRule {
    /// Like [`Algorithm::Penalty`].
    Penalty,
    /// Like [`Algorithm::Chain`].
    Chain,
    /// All samples of the most complete replica, and samples of others in its gaps; a change of replicas neither adds
    /// to counters nor takes from them. See `docs/deduplication.md`.
    Exact,
}

impl ReplicaRule {
    /// All rules.
    pub const ALL: [ReplicaRule; 3] = [ReplicaRule::Penalty, ReplicaRule::Chain, ReplicaRule::Exact];

    /// The name of the rule in flags and parameters.
    pub const fn word(self) -> &'static str {
        match self {
            ReplicaRule::Penalty => "penalty",
            ReplicaRule::Chain => "chain",
            ReplicaRule::Exact => "exact",
        }
    }
}

/// Why the chunks of a series could not be read for a query.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// A chunk is damaged, has an unknown encoding, or lacks the aggregate.
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
        /// Time of the count, milliseconds.
        time: i64,
    },
}

impl ReadError {
    /// The kind of the error, which tells callers what to do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            ReadError::Chunk(error) => error.kind(),
            _ => ErrorKind::Corrupt,
        }
    }
}

/// Whether chunks of one series can be used as they are: raw, ascending, without overlaps.
pub fn are_plain(chunks: &[EncodedChunk]) -> bool {
    let apart = chunks.windows(2).all(|pair| pair[0].max_time < pair[1].min_time);
    apart && chunks.iter().all(|c| c.encoding.is_float() || c.encoding.is_histogram())
}

/// Fills `out`, which is empty, with the samples in `range` of one series, for the function `function` (empty if there
/// is none). The chunks ascend by first time. Overlapping chunks are taken for replicas and merged; downsampled chunks
/// are read by aggregate.
pub fn deduplicate(
    chunks: &[EncodedChunk],
    function: &str,
    rule: ReplicaRule,
    range: TimeRange,
    out: &mut Samples,
) -> Result<(), ReadError> {
    let rows = split_overlaps(chunks);
    let (wanted, lifts) = (Wanted::by(function), is_counter(function));
    let is_counter = wanted == Wanted::Counter;
    if floats::read(&rows, Reading { is_counter, lifts, rule, range }, &mut out.floats) {
        return Ok(());
    }
    let mut samples = Vec::with_capacity(rows.len());
    for row in rows {
        samples.push(read::row(&row, wanted, range)?);
    }
    match <[Samples; 1]>::try_from(samples) {
        Ok([only]) => *out = only,
        Err(samples) => *out = merge_samples(&samples, function, rule),
    }
    Ok(())
}

/// Fills `out`, which is empty, with the samples in `range` of one series, without looking for replicas. Of each chunk,
/// only samples after all samples before it are taken.
pub fn concatenate(
    chunks: &[EncodedChunk],
    function: &str,
    range: TimeRange,
    out: &mut Samples,
) -> Result<(), ReadError> {
    let (row, wanted) = (chunks.iter().collect::<Vec<_>>(), Wanted::by(function));
    let is_counter = wanted == Wanted::Counter;
    let reading = Reading { is_counter, lifts: false, rule: ReplicaRule::Chain, range };
    if !floats::read(std::slice::from_ref(&row), reading, &mut out.floats) {
        *out = read::row(&row, wanted, range)?;
    }
    Ok(())
}

/// Merges decoded replicas of one series, each in order of time.
fn merge_samples(replicas: &[Samples], function: &str, rule: ReplicaRule) -> Samples {
    let sequences: Vec<Sequence<'_>> = replicas.iter().map(Sequence::new).collect();
    let tracks: Vec<Track<'_>> = sequences.iter().map(Sequence::track).collect();
    match rule {
        ReplicaRule::Penalty => gather(&sequences, &penalty::merge(&tracks, is_counter(function)), false),
        ReplicaRule::Chain => gather(&sequences, &chain::merge(&tracks), true),
        ReplicaRule::Exact => gather(&sequences, &exact::picks(&tracks, Wanted::by(function)), true),
    }
}

fn gather(sequences: &[Sequence<'_>], picks: &[Pick], forget: bool) -> Samples {
    let mut out = Samples::default();
    for pick in picks {
        sequences[pick.track].copy(pick, forget, &mut out);
    }
    out
}

/// Whether the function treats its series as a counter, so that a change of replicas must not look like a reset.
fn is_counter(function: &str) -> bool {
    matches!(function, "increase" | "rate" | "irate" | "resets")
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod twin_tests;
#[cfg(test)]
mod vectors;
