//! Chunks of plain floats: decoded side by side into columns, from which stretches of one replica are copied as a
//! whole.
//!
//! The results equal those of [`super::read`] and [`super::merge_samples`], which go sample by sample and handle all
//! kinds of samples.

use std::ops::Range;

use tithon_chunks::{EncodedChunk, Encoding, SampleBatch, TimeRange, decode_float_chunks};

use super::track::Track;
use super::{ReplicaRule, chain, counter, exact, interleave, penalty};

/// How the rows of chunks are read and merged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// Remove the counter resets of each row.
    pub(super) is_counter: bool,
    /// Raise values after a change of replicas, so that the change does not look like a reset.
    pub(super) lifts: bool,
    pub(super) rule: ReplicaRule,
    pub(super) range: TimeRange,
}

/// Appends the samples of merged rows to `out`. Returns `false`, and leaves `out` unchanged, for input that this module
/// does not handle: chunks that are not XOR or are damaged, times that do not ascend.
pub(super) fn read(rows: &[Vec<&EncodedChunk>], reading: Reading, out: &mut SampleBatch) -> bool {
    let chunks: Vec<(Encoding, &[u8])> =
        rows.iter().flatten().map(|chunk| (chunk.encoding, &*chunk.data)).collect();
    if chunks.iter().any(|(encoding, _)| *encoding != Encoding::Xor) {
        return false;
    }
    let begin = out.len();
    let (mut of_rows, mut raw) = (SampleBatch::default(), Vec::new());
    let wants_raw = rows.len() > 1 && reading.is_counter && reading.rule == ReplicaRule::Exact;
    // A single row can stay where it is decoded.
    let decoded = if rows.len() == 1 { &mut *out } else { &mut of_rows };
    let Some(ranges) = decode_rows(rows, &chunks, reading, decoded, wants_raw.then_some(&mut raw)) else {
        out.timestamps.truncate(begin);
        out.values.truncate(begin);
        return false;
    };
    match ranges.as_slice() {
        [only] if rows.len() == 1 => {
            out.timestamps.truncate(only.end);
            out.values.truncate(only.end);
            out.timestamps.drain(begin..only.start);
            out.values.drain(begin..only.start);
        }
        _ => merge(&of_rows, &raw, &ranges, reading, out),
    }
    true
}

/// Appends the samples of all rows, one row after the other; returns, for each row, the positions of its samples in the
/// range. `None` for input that this module does not handle. `raw` receives the values of counters before their resets
/// are removed.
fn decode_rows(
    rows: &[Vec<&EncodedChunk>],
    chunks: &[(Encoding, &[u8])],
    reading: Reading,
    out: &mut SampleBatch,
    mut raw: Option<&mut Vec<f64>>,
) -> Option<Vec<Range<usize>>> {
    let mut start = out.len();
    let mut ends = Vec::with_capacity(chunks.len());
    decode_float_chunks(chunks, out, &mut ends).ok()?;
    let mut ranges = Vec::with_capacity(rows.len());
    let mut at = 0;
    for row in rows {
        at += row.len();
        let end = ends[at - 1];
        let times = &out.timestamps[start..end];
        if !times.windows(2).all(|pair| pair[0] < pair[1]) {
            return None;
        }
        let mut kept = end;
        if reading.is_counter {
            // Upstream takes the time before a counter's first sample for 0.
            if times.first().is_some_and(|first| *first <= 0) {
                return None;
            }
            kept = start + counter::remove_nans(&mut out.timestamps[start..end], &mut out.values[start..end]);
            if let Some(raw) = &mut raw {
                raw.resize(start, f64::NAN);
                raw.extend_from_slice(&out.values[start..kept]);
            }
            counter::remove_resets(&mut out.values[start..kept]);
        }
        let times = &out.timestamps[start..kept];
        let from = times.partition_point(|t| *t < reading.range.min.0);
        let to = times.partition_point(|t| *t <= reading.range.max.0).max(from);
        ranges.push(start + from..start + to);
        start = end;
    }
    Some(ranges)
}

/// Appends the merged samples of the rows, which are at `ranges`.
fn merge(
    samples: &SampleBatch,
    raw: &[f64],
    ranges: &[Range<usize>],
    reading: Reading,
    out: &mut SampleBatch,
) {
    let track = |range: &Range<usize>| {
        Track::floats(&samples.timestamps[range.clone()], &samples.values[range.clone()])
    };
    let tracks: Vec<Track<'_>> = ranges.iter().map(track).collect();
    let longest = ranges.iter().map(Range::len).max().unwrap_or(0);
    out.timestamps.reserve(longest);
    out.values.reserve(longest);
    let extend = |out: &mut SampleBatch, track: usize, range: Range<usize>, offset: Option<f64>| {
        let start = ranges[track].start;
        let range = start + range.start..start + range.end;
        out.timestamps.extend_from_slice(&samples.timestamps[range.clone()]);
        let values = &samples.values[range];
        match offset {
            None => out.values.extend_from_slice(values),
            Some(offset) => out.values.extend(values.iter().map(|value| value + offset)),
        }
    };
    match (reading.rule, tracks.as_slice()) {
        (ReplicaRule::Chain, _) if interleave::merge(&tracks, out) => {}
        (ReplicaRule::Chain, _) => {
            chain::merge_each(&tracks, |pick| {
                let i = ranges[pick.track].start + pick.index;
                out.timestamps.push(samples.timestamps[i]);
                out.values.push(samples.values[i]);
            });
        }
        (ReplicaRule::Penalty, [a, b]) if reading.lifts => {
            penalty::each_counter([a, b], |track, range, offset| extend(out, track, range, Some(offset)));
        }
        (ReplicaRule::Penalty, _) if reading.lifts => {
            for pick in penalty::merge(&tracks, true) {
                out.timestamps.push(tracks[pick.track].times()[pick.index]);
                out.values.extend(pick.float);
            }
        }
        (ReplicaRule::Exact, _) => {
            let mut stretches = exact::merge(&tracks);
            if reading.is_counter {
                let raw: Vec<&[f64]> = ranges.iter().map(|range| &raw[range.clone()]).collect();
                exact::join_counters(&mut stretches, &tracks, &raw);
            }
            for exact::Stretch { track, samples, offset } in stretches {
                extend(out, track, samples, reading.is_counter.then_some(offset));
            }
        }
        (ReplicaRule::Penalty, _) => {
            penalty::each(&tracks, |track, range| extend(out, track as usize, range, None));
        }
    }
}
