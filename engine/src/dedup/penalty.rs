//! The penalty algorithm: it stays with one replica and switches to another only when the first has been silent for long.
//!
//! Of two replicas the one with the earlier next sample is taken. The other is penalised: it skips its samples up to
//! twice the distance between the last two samples taken. Several replicas are merged pairwise, from the first to the
//! last. Thanos `pkg/dedup/iter.go`.

pub(super) mod tree;

use std::ops::Range;

use super::track::{Pick, Track};

/// The penalty while only one sample has been taken, milliseconds.
const INITIAL_PENALTY_MS: i64 = 5000;

/// Merges the tracks. With `counters`, a switch to a replica whose counter is lower adds the difference to its floats, so
/// that the switch does not look like a reset.
pub(crate) fn merge(tracks: &[Track<'_>], counters: bool) -> Vec<Pick> {
    let mut picks = Vec::with_capacity(tracks.iter().map(|t| t.times().len()).max().unwrap_or(0));
    let pick = |track: usize, index: usize, float| Pick { track, index, float, consecutive: true };
    match tracks {
        [a, b] if counters => each_counter([a, b], |track, range, offset| {
            let lifted = |i: usize| tracks[track].float(i).map(|value| value + offset);
            picks.extend(range.map(|i| pick(track, i, lifted(i))));
        }),
        _ if counters => tree::merge_each(tracks, |pick| picks.push(pick)),
        _ => each(tracks, |track, range| {
            let track = track as usize;
            picks.extend(range.map(|i| pick(track, i, tracks[track].float(i))));
        }),
    }
    picks
}

/// Calls `take` with the stretches of two merged counters in order: the track, the positions of its samples, and the
/// offset of their floats.
///
/// Only times decide whose samples are taken. Offsets change where a stretch of the other track begins: there each
/// track whose next float is below the last float taken is raised to that float.
pub(crate) fn each_counter(tracks: [&Track<'_>; 2], mut take: impl FnMut(usize, Range<usize>, f64)) {
    let mut offsets = [0.0; 2];
    let value = |side: usize, at: usize, offset: f64| {
        let is_there = at < tracks[side].times().len();
        is_there.then(|| tracks[side].float(at)).flatten().map(|value| value + offset)
    };
    // Before the first sample, the first track counts as the one followed.
    let (mut followed, mut previous) = (0, value(0, 0, 0.0));
    merge_two(tracks[0].times(), tracks[1].times(), |from_second, range, other| {
        let here = usize::from(from_second);
        if let Some(previous) = previous.filter(|_| here != followed) {
            let next = if from_second { [other, range.start] } else { [range.start, other] };
            for side in 0..2 {
                if let Some(value) = value(side, next[side], offsets[side]).filter(|v| previous > *v) {
                    offsets[side] += previous - value;
                }
            }
        }
        (followed, previous) = (here, value(here, range.end - 1, offsets[here]));
        take(here, range, offsets[here]);
    });
}

/// Calls `take` with the stretches of the result in order: a track, and positions of its samples. Only times decide, so
/// whole sequences are merged pair by pair.
pub(crate) fn each(tracks: &[Track<'_>], mut take: impl FnMut(u32, Range<usize>)) {
    let (first, rest, last) = match tracks {
        [] => return,
        [only] => return take(0, 0..only.times().len()),
        [first, rest @ .., last] => (first, rest, last),
    };
    let mut before: Option<Merged> = None;
    for (i, with) in rest.iter().enumerate() {
        let mut next = Merged::default();
        each_of_two(first, before.as_ref(), with, i as u32 + 1, |track, range| {
            let times = &tracks[track as usize].times()[range.clone()];
            next.push(track, range, times);
        });
        before = Some(next);
    }
    each_of_two(first, before.as_ref(), last, tracks.len() as u32 - 1, take);
}

/// Merges what has been merged `before`, which is the first track where nothing has, with track `number`.
fn each_of_two(
    first: &Track<'_>,
    before: Option<&Merged>,
    with: &Track<'_>,
    number: u32,
    mut take: impl FnMut(u32, Range<usize>),
) {
    let mut parts = before.map(Merged::parts);
    let times = before.map_or(first.times(), |merged| &merged.times);
    merge_two(times, with.times(), |from_second, range, _| match &mut parts {
        _ if from_second => take(number, range),
        None => take(0, range),
        Some(parts) => parts.each(range, &mut take),
    });
}

/// Tracks merged into one sequence.
#[derive(Default)]
struct Merged {
    times: Vec<i64>,
    stretches: Vec<Stretch>,
}

/// Samples of one track that follow each other in a merged sequence.
struct Stretch {
    track: u32,
    /// The position of the first sample in the track.
    first: usize,
    /// The end in the merged sequence.
    end: usize,
}

impl Merged {
    fn push(&mut self, track: u32, range: Range<usize>, times: &[i64]) {
        self.times.extend_from_slice(times);
        self.stretches.push(Stretch { track, first: range.start, end: self.times.len() });
    }

    fn parts(&self) -> Parts<'_> {
        Parts { stretches: &self.stretches, start: 0 }
    }
}

/// The rest of the stretches of a merged sequence.
struct Parts<'a> {
    stretches: &'a [Stretch],
    /// Where the first of them starts in the merged sequence.
    start: usize,
}

impl Parts<'_> {
    /// Calls `take` with the parts of tracks that lie in a range of the merged sequence, behind those of the calls before.
    fn each(&mut self, range: Range<usize>, take: &mut impl FnMut(u32, Range<usize>)) {
        let mut at = range.start;
        while at < range.end {
            let [stretch, rest @ ..] = self.stretches else { return };
            if stretch.end <= at {
                (self.stretches, self.start) = (rest, stretch.end);
                continue;
            }
            let end = stretch.end.min(range.end);
            let index = |at: usize| stretch.first + (at - self.start);
            take(stretch.track, index(at)..index(end));
            at = end;
        }
    }
}

/// The number of distances between samples that are compared at once.
const STRIP: usize = 16;

/// One of two tracks.
struct Side<'a> {
    times: &'a [i64],
    at: usize,
    /// Milliseconds after the last sample taken that are skipped.
    penalty: i64,
    /// Samples before this time are skipped.
    floor: i64,
}

impl<'a> Side<'a> {
    fn new(times: &'a [i64]) -> Side<'a> {
        Side { times, at: 0, penalty: 0, floor: i64::MIN }
    }

    /// Moves to the first sample that the penalty allows.
    fn skip(&mut self, last: i64) {
        let floor = self.floor.max(last.saturating_add(1).saturating_add(self.penalty));
        while self.time().is_some_and(|time| time < floor) {
            self.at += 1;
        }
        self.floor = i64::MIN;
    }

    fn time(&self) -> Option<i64> {
        self.times.get(self.at).copied()
    }

    /// Takes the current sample at `time`, and those after it up to the first at which the penalty of `other` is over: at the
    /// same time `other` wins, unless `ties` go to this side. Returns the positions taken and the time of the last.
    fn follow(
        &mut self,
        time: i64,
        last: Option<i64>,
        other: &mut Side<'a>,
        ties: bool,
    ) -> (Range<usize>, i64) {
        let start = self.at;
        self.penalty = 0;
        if other.time().is_some() {
            other.penalty = match last {
                Some(last) => time.saturating_sub(last).saturating_mul(2),
                None => INITIAL_PENALTY_MS,
            };
        }
        let others = other.time().is_some();
        let mut last = time;
        loop {
            self.at += 1;
            let Some(next) = self.time().filter(|next| *next > last) else { break };
            if others {
                other.floor = other.floor.max(last.saturating_add(1).saturating_add(other.penalty));
                if next > other.floor || next == other.floor && !ties {
                    break;
                }
                other.penalty = next.saturating_sub(last).saturating_mul(2);
            }
            last = self.stride(next, next.wrapping_sub(last));
        }
        (start..self.at, last)
    }

    /// Moves from the current sample at `time` over all samples that are exactly `step` apart: with an equal step the penalty
    /// of the other side does not end. Returns the time of the last.
    fn stride(&mut self, mut time: i64, step: i64) -> i64 {
        let times = self.times.get(self.at..).unwrap_or_default();
        let mut n = 0;
        // Without an exit in between the compiler compares the times of a strip side by side.
        while let Some(strip) = times.get(n..n + STRIP + 1) {
            let odd = strip.windows(2).fold(0, |odd, pair| odd | (pair[1].wrapping_sub(pair[0]) ^ step));
            if odd != 0 {
                break;
            }
            (n, time) = (n + STRIP, strip[STRIP]);
        }
        for next in times.get(n + 1..).unwrap_or_default() {
            if next.wrapping_sub(time) != step {
                break;
            }
            time = *next;
            n += 1;
        }
        self.at += n;
        time
    }
}

/// Merges two tracks: calls `take` with whether a stretch comes from the second track, its positions, and the position of
/// the other track's next sample.
fn merge_two(a: &[i64], b: &[i64], mut take: impl FnMut(bool, Range<usize>, usize)) {
    let (mut a, mut b) = (Side::new(a), Side::new(b));
    let mut last: Option<i64> = None;
    loop {
        if let Some(last) = last {
            a.skip(last);
            b.skip(last);
        }
        let from_second = match (a.time(), b.time()) {
            (None, None) => return,
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (Some(ours), Some(theirs)) => theirs < ours,
        };
        let (side, other) = if from_second { (&mut b, &mut a) } else { (&mut a, &mut b) };
        let Some(time) = side.time() else { return };
        let (range, end) = side.follow(time, last, other, !from_second);
        take(from_second, range, other.at);
        last = Some(end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gap() -> impl Strategy<Value = i64> {
        prop_oneof![6 => 1i64..40_000, 3 => (1i64..4).prop_map(|i| i * 5000), 1 => 0i64..3]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Merging whole sequences picks the same samples as going sample by sample.
        #[test]
        fn both_ways_agree(
            gaps in prop::collection::vec(prop::collection::vec(gap(), 0..40), 0..5),
            starts in prop::collection::vec(0i64..20_000, 5),
        ) {
            let times: Vec<Vec<i64>> = gaps
                .iter()
                .zip(&starts)
                .map(|(gaps, start)| {
                    gaps.iter().scan(*start, |time, gap| { *time += gap; Some(*time) }).collect()
                })
                .collect();
            let values: Vec<Vec<f64>> = times.iter().map(|t| t.iter().map(|t| *t as f64).collect()).collect();
            let tracks: Vec<Track<'_>> =
                times.iter().zip(&values).map(|(t, v)| Track::floats(t, v)).collect();
            let mut by_tree = Vec::new();
            tree::merge_each(&tracks, |pick| by_tree.push((pick.track, pick.index)));
            let mut by_fold = Vec::new();
            each(&tracks, |track, range| by_fold.extend(range.map(|index| (track as usize, index))));
            prop_assert_eq!(by_tree, by_fold);
        }

        /// Stretches of two counters are raised as samples are one by one, with or without histograms between the
        /// floats.
        #[test]
        fn counters_agree(
            tracks in prop::array::uniform2((
                0i64..20_000,
                prop::collection::vec((gap(), prop::option::weighted(0.9, 0u8..20)), 0..40),
            )),
        ) {
            let columns = tracks.map(|(start, samples)| {
                let time = |time: &mut i64, gap: i64| { *time += gap; Some(*time) };
                let times: Vec<i64> = samples.iter().map(|s| s.0).scan(start, time).collect();
                let floats: Vec<Option<f64>> = samples.iter().map(|s| s.1.map(|v| f64::from(v) / 3.0)).collect();
                (times, floats)
            });
            let tracks: Vec<Track<'_>> = columns.iter().map(|(t, v)| Track::mixed(t, v)).collect();
            let mut by_tree = Vec::new();
            tree::merge_each(&tracks, |pick| by_tree.push(pick));
            prop_assert_eq!(merge(&tracks, true), by_tree);
        }
    }
}
