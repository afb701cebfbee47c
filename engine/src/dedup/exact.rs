//! The exact rule: all samples of the most complete replica, and samples of the others in its gaps.
//!
//! The contract is `docs/deduplication.md`. Replicas are taken in descending order of their number of samples; each
//! fills the gaps that are left. The values of counters are joined so that a change of replicas adds only what one of
//! them counted, and takes nothing away.

use std::ops::Range;

use tithon_chunks::STALE_NAN_BITS;

use super::Wanted;
use super::track::{Pick, Track};

/// Consecutive samples of one track in the result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) track: usize,
    pub(super) samples: Range<usize>,
    /// Added to the floats of a counter.
    pub(super) offset: f64,
}

/// Merges the tracks by times; stale markers count as no sample where another track goes on.
pub(super) fn merge(tracks: &[Track<'_>]) -> Vec<Stretch> {
    let mut order: Vec<usize> = (0..tracks.len()).collect();
    order.sort_by_key(|track| std::cmp::Reverse(tracks[*track].times().len()));
    let mut out = Vec::new();
    for track in order {
        out = fill(&out, tracks, track);
    }
    out
}

/// Merges the tracks, and joins the floats if counters are wanted. Otherwise floats keep the values of the tracks,
/// whose resets have been removed.
pub(super) fn picks(tracks: &[Track<'_>], wanted: Wanted) -> Vec<Pick> {
    let is_counter = wanted == Wanted::Counter;
    let mut stretches = merge(tracks);
    if is_counter {
        let number = |track: &Track<'_>, i| track.float(i).unwrap_or(f64::NAN);
        let raw: Vec<Vec<f64>> =
            tracks.iter().map(|t| (0..t.times().len()).map(|i| number(t, i)).collect()).collect();
        join_counters(&mut stretches, tracks, &raw.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    let mut picks = Vec::new();
    for Stretch { track, samples, offset } in stretches {
        let start = samples.start;
        picks.extend(samples.map(|index| {
            let value = tracks[track].float(index);
            let float = if is_counter { value.map(|value| value + offset) } else { value };
            Pick { track, index, float, consecutive: index > start }
        }));
    }
    picks
}

/// Sets the offsets of counters. The floats of the tracks have their resets removed, those of `raw` do not; NaN stands
/// for a missing float.
pub(super) fn join_counters(stretches: &mut [Stretch], tracks: &[Track<'_>], raw: &[&[f64]]) {
    let mut last: Option<Taken> = None;
    for stretch in stretches {
        let Range { start, end } = stretch.samples.clone();
        let track = stretch.track;
        if let (Some(last), Some(first)) = (last, tracks[track].float(start)) {
            stretch.offset = match growth(tracks, raw, last, (track, start)) {
                // If no reset was removed from either track, this leaves the values as they are.
                Growth::AsSeen => last.offset + (last.float - last.raw) - (first - raw[track][start]),
                Growth::Of(growth) => last.float + last.offset + growth - first,
            };
            if stretch.offset.is_nan() {
                stretch.offset = 0.0;
            }
            // Rounding must not look like a reset.
            let before = last.float + last.offset;
            let mut step = before.abs() * f64::EPSILON;
            while first + stretch.offset < before {
                stretch.offset += step;
                step *= 2.0;
            }
        }
        if let Some(float) = tracks[track].float(end - 1) {
            let (at, raw) = (tracks[track].times()[end - 1], raw[track][end - 1]);
            last = Some(Taken { at, float, raw, offset: stretch.offset });
        }
    }
}

/// The last float that was taken.
#[derive(Clone, Copy)]
struct Taken {
    at: i64,
    float: f64,
    raw: f64,
    offset: f64,
}

/// The growth of a counter between the last float taken and a float of another track.
enum Growth {
    /// The difference of both raw values.
    AsSeen,
    Of(f64),
}

/// The difference of both raw values, but at most the growth of the other track around that time, and at least 0: a
/// fall is a reset only where the other track has one.
fn growth(tracks: &[Track<'_>], raw: &[&[f64]], last: Taken, (track, at): (usize, usize)) -> Growth {
    let (other, raw) = (&tracks[track], &raw[track][..=at]);
    let after = raw[at];
    let earlier = other.times()[..at].partition_point(|t| *t <= last.at).saturating_sub(1);
    let counted = match (other.float(earlier), other.float(at)) {
        (Some(before), Some(now)) if earlier < at => (now - before).max(0.0),
        _ => f64::INFINITY,
    };
    if after >= last.raw {
        return if after - last.raw <= counted { Growth::AsSeen } else { Growth::Of(counted) };
    }
    let was_reset = raw[earlier..].windows(2).any(|pair| pair[1] < pair[0]);
    Growth::Of(if was_reset && last.raw >= raw[earlier] { after.clamp(0.0, counted) } else { 0.0 })
}

/// The samples chosen so far, and the samples of `track` in their gaps.
fn fill(chosen: &[Stretch], tracks: &[Track<'_>], track: usize) -> Vec<Stretch> {
    let times = tracks[track].times();
    let mut out = Vec::with_capacity(chosen.len() + 1);
    if chosen.is_empty() {
        push(&mut out, track, 0..times.len());
        return out;
    }
    let all: Vec<(usize, usize)> =
        chosen.iter().flat_map(|s| s.samples.clone().map(|index| (s.track, index))).collect();
    let time_of = |(track, index): (usize, usize)| tracks[track].times()[index];
    let interval = interval(all.iter().map(|sample| time_of(*sample)));
    let is_marker = |track: usize, index: usize| is_stale(&tracks[track], index);
    let (mut next, mut last) = (0, None);
    for (i, &(of, index)) in all.iter().enumerate() {
        let time = time_of((of, index));
        if is_marker(of, index) {
            // The marker ends the series for this track; another track may go on before the next sample.
            let until = all[i + 1..].iter().find(|(t, i)| !is_marker(*t, *i)).map(|sample| time_of(*sample));
            let goes_on = samples_in(times, next, last, until, interval)
                .is_some_and(|range| range.clone().any(|i| times[i] >= time && !is_marker(track, i)));
            if goes_on {
                continue;
            }
        }
        if let Some(range) = samples_in(times, next, last, Some(time), interval) {
            next = range.end;
            push(&mut out, track, range);
        }
        push(&mut out, of, index..index + 1);
        last = Some(time);
    }
    if let Some(range) = samples_in(times, next, last, None, interval) {
        push(&mut out, track, range);
    }
    out
}

/// The samples of `times`, from position `from` on, in the gap between two chosen samples; `None` unless the gap is
/// longer than one and a half intervals. Samples closer than half an interval to a chosen one are left out.
fn samples_in(
    times: &[i64],
    from: usize,
    last: Option<i64>,
    next: Option<i64>,
    interval: i64,
) -> Option<Range<usize>> {
    let (near, far) = (interval / 2, interval.saturating_add(interval / 2));
    let rest = &times[from..];
    let is_hole = match (last, next) {
        (Some(last), Some(next)) => next.saturating_sub(last) > far,
        (Some(last), None) => rest.last().is_some_and(|t| *t > last.saturating_add(far)),
        (None, Some(next)) => rest.first().is_some_and(|t| *t < next.saturating_sub(far)),
        (None, None) => true,
    };
    if !is_hole {
        return None;
    }
    let start = last.map_or(0, |last| rest.partition_point(|t| *t <= last.saturating_add(near)));
    let end = next.map_or(rest.len(), |next| rest.partition_point(|t| *t < next.saturating_sub(near)));
    (start < end).then_some(from + start..from + end)
}

/// The usual distance of neighbours: the median, or the lower of two medians.
fn interval(times: impl Iterator<Item = i64> + Clone) -> i64 {
    let mut gaps: Vec<i64> =
        times.clone().zip(times.skip(1)).map(|(a, b)| b.saturating_sub(a).max(0)).collect();
    if gaps.is_empty() {
        return 0;
    }
    let middle = (gaps.len() - 1) / 2;
    *gaps.select_nth_unstable(middle).1
}

fn is_stale(track: &Track<'_>, index: usize) -> bool {
    track.float(index).is_some_and(|value| value.to_bits() == STALE_NAN_BITS)
}

/// Appends samples: to the last stretch if they follow it, else as a new one.
fn push(out: &mut Vec<Stretch>, track: usize, samples: Range<usize>) {
    match out.last_mut() {
        _ if samples.is_empty() => {}
        Some(last) if last.track == track && last.samples.end == samples.start => {
            last.samples.end = samples.end;
        }
        _ => out.push(Stretch { track, samples, offset: 0.0 }),
    }
}

#[cfg(test)]
mod tests;
