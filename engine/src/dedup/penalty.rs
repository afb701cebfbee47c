//! The penalty algorithm: it stays with one replica and switches to another only when the first has been silent for long.
//!
//! Of two replicas the one with the earlier next sample is taken. The other is penalised: it skips its samples up to
//! twice the distance between the last two samples taken. Several replicas are merged pairwise, from the first to the
//! last. Thanos `pkg/dedup/iter.go`.

use std::ops::Range;

use super::track::{Pick, Track};

/// The penalty while only one sample has been taken, milliseconds.
const INITIAL_PENALTY_MS: i64 = 5000;

/// Merges the tracks. With `counters`, a switch to a replica whose counter is lower adds the difference to its floats, so
/// that the switch does not look like a reset.
pub(crate) fn merge(tracks: &[Track<'_>], counters: bool) -> Vec<Pick> {
    if counters {
        return merge_counters(tracks);
    }
    let pick = |place: &Place| {
        let (track, index) = (place.track as usize, place.index as usize);
        Pick { track, index, float: tracks[track].float(index), consecutive: true }
    };
    places(tracks).iter().map(pick).collect()
}

/// A sample of the result: which track it comes from, and its position there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) track: u32,
    pub(crate) index: u32,
}

/// Merges tracks by times alone.
pub(crate) fn places(tracks: &[Track<'_>]) -> Vec<Place> {
    let mut out = Vec::with_capacity(tracks.iter().map(|t| t.times().len()).max().unwrap_or(0));
    each(tracks, |track, range| {
        out.extend((range.start as u32..range.end as u32).map(|index| Place { track, index }));
    });
    out
}

/// Calls `take` with the stretches of the result in order: a track, and positions of its samples. Only times decide, so
/// whole sequences are merged pair by pair.
pub(crate) fn each(tracks: &[Track<'_>], mut take: impl FnMut(u32, Range<usize>)) {
    let (first, rest, last) = match tracks {
        [] => return,
        [only] => return take(0, 0..only.times().len()),
        [first, rest @ .., last] => (first, rest, last),
    };
    let mut times: Vec<i64> = Vec::new();
    let mut merged: Option<Vec<Place>> = None;
    let place_of = |merged: &Option<Vec<Place>>, index: usize| match merged {
        Some(merged) => merged[index],
        None => Place { track: 0, index: index as u32 },
    };
    for (i, with) in rest.iter().enumerate() {
        let before = if merged.is_none() { first.times() } else { times.as_slice() };
        let mut next = Vec::with_capacity(before.len().max(with.times().len()));
        let mut next_times = Vec::with_capacity(next.capacity());
        merge_two(before, with.times(), |from_second, range| {
            next_times.extend_from_slice(&if from_second { with.times() } else { before }[range.clone()]);
            let second = |index: usize| Place { track: i as u32 + 1, index: index as u32 };
            next.extend(range.map(|i| if from_second { second(i) } else { place_of(&merged, i) }));
        });
        (merged, times) = (Some(next), next_times);
    }
    let before = if merged.is_none() { first.times() } else { times.as_slice() };
    merge_two(before, last.times(), |from_second, range| match &merged {
        _ if from_second => take(tracks.len() as u32 - 1, range),
        None => take(0, range),
        Some(merged) => merged[range].iter().for_each(|place| {
            let index = place.index as usize;
            take(place.track, index..index + 1);
        }),
    });
}

/// One of two tracks.
struct Side<'a> {
    times: &'a [i64],
    at: usize,
    /// Milliseconds after the last sample taken that are skipped.
    penalty: i64,
    /// Samples before this time are to be skipped.
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
        let rest = self.times.get(self.at + 1..).unwrap_or_default();
        let mut n = 0;
        for next in rest {
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

/// Merges two tracks: calls `take` with whether a stretch comes from the second track, and its positions.
fn merge_two(a: &[i64], b: &[i64], mut take: impl FnMut(bool, Range<usize>)) {
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
        take(from_second, range);
        last = Some(end);
    }
}

fn merge_counters(tracks: &[Track<'_>]) -> Vec<Pick> {
    let Some((first, rest)) = tracks.split_first() else { return Vec::new() };
    let mut node = Node::Leaf(Leaf::new(0, *first));
    for (i, track) in rest.iter().enumerate() {
        node = Node::Pair(Box::new(Pair::new(node, Node::Leaf(Leaf::new(i + 1, *track)))));
    }
    let mut picks = Vec::with_capacity(tracks.iter().map(|t| t.times().len()).max().unwrap_or(0));
    while node.next() != State::Ended {
        picks.push(node.pick());
    }
    picks
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ended,
    OnFloat,
    OnHistogram,
}

enum Node<'a> {
    Leaf(Leaf<'a>),
    Pair(Box<Pair<'a>>),
}

impl Node<'_> {
    fn next(&mut self) -> State {
        match self {
            Node::Leaf(leaf) => leaf.next(),
            Node::Pair(pair) => pair.next(),
        }
    }

    /// Moves to the first sample at or after `time`; never backwards.
    fn seek(&mut self, time: i64) -> State {
        match self {
            Node::Leaf(leaf) => leaf.seek(time),
            Node::Pair(pair) => pair.seek(time),
        }
    }

    fn time(&self) -> i64 {
        match self {
            Node::Leaf(leaf) => leaf.track.times()[leaf.at],
            Node::Pair(pair) => pair.active().time(),
        }
    }

    fn pick(&self) -> Pick {
        match self {
            Node::Leaf(leaf) => leaf.pick(),
            Node::Pair(pair) => pair.active().pick(),
        }
    }

    fn lift_to(&mut self, previous: f64) {
        match self {
            Node::Leaf(leaf) => leaf.lift_to(previous),
            Node::Pair(pair) => pair.lift_to(previous),
        }
    }
}

struct Leaf<'a> {
    id: usize,
    track: Track<'a>,
    /// Position of the current sample; not valid before the first `next`.
    at: usize,
    started: bool,
    /// Added to every float, since a switch met a lower counter.
    offset: f64,
}

impl<'a> Leaf<'a> {
    fn new(id: usize, track: Track<'a>) -> Leaf<'a> {
        Leaf { id, track, at: 0, started: false, offset: 0.0 }
    }

    fn state(&self) -> State {
        match self.track.times().get(self.at) {
            None => State::Ended,
            Some(_) if self.track.float(self.at).is_some() => State::OnFloat,
            Some(_) => State::OnHistogram,
        }
    }

    fn next(&mut self) -> State {
        if self.started && self.at < self.track.times().len() {
            self.at += 1;
        }
        self.started = true;
        self.state()
    }

    fn seek(&mut self, time: i64) -> State {
        self.started = true;
        let times = self.track.times();
        while self.at < times.len() && times[self.at] < time {
            self.at += 1;
        }
        self.state()
    }

    fn pick(&self) -> Pick {
        let float = self.track.float(self.at).map(|value| value + self.offset);
        Pick { track: self.id, index: self.at, float, consecutive: true }
    }

    fn lift_to(&mut self, previous: f64) {
        if let Some(value) = self.pick().float
            && previous > value
        {
            self.offset += previous - value;
        }
    }
}

struct Pair<'a> {
    sides: [Node<'a>; 2],
    states: [State; 2],
    penalties: [i64; 2],
    active: usize,
    /// Time of the last sample taken.
    last: Option<i64>,
}

impl<'a> Pair<'a> {
    fn new(mut a: Node<'a>, mut b: Node<'a>) -> Pair<'a> {
        let states = [a.next(), b.next()];
        Pair { sides: [a, b], states, penalties: [0, 0], active: 0, last: None }
    }

    fn active(&self) -> &Node<'a> {
        &self.sides[self.active]
    }

    fn next(&mut self) -> State {
        let before = self.active;
        let previous = if self.states[before] == State::OnFloat { self.active().pick().float } else { None };
        for side in 0..2 {
            if self.states[side] != State::Ended {
                let behind = self.last.unwrap_or(i64::MIN).saturating_add(1);
                self.states[side] = self.sides[side].seek(behind.saturating_add(self.penalties[side]));
            }
        }
        self.active = match self.states {
            [State::Ended, _] => 1,
            [_, State::Ended] => 0,
            _ => usize::from(self.sides[0].time() > self.sides[1].time()),
        };
        let (here, other) = (self.active, 1 - self.active);
        if self.states[here] != State::Ended {
            let time = self.sides[here].time();
            if self.states[other] != State::Ended {
                self.penalties[other] = match self.last {
                    Some(last) => time.saturating_sub(last).saturating_mul(2),
                    None => INITIAL_PENALTY_MS,
                };
            }
            self.penalties[here] = 0;
            self.last = Some(time);
        }
        if let Some(previous) = previous
            && here != before
        {
            self.lift_to(previous);
        }
        self.states[here]
    }

    fn seek(&mut self, time: i64) -> State {
        loop {
            if self.states[self.active] != State::Ended && self.active().time() >= time {
                return self.states[self.active];
            }
            if self.next() == State::Ended {
                return State::Ended;
            }
        }
    }

    fn lift_to(&mut self, previous: f64) {
        for side in 0..2 {
            if self.states[side] == State::OnFloat {
                self.sides[side].lift_to(previous);
            }
        }
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
            let by_tree: Vec<_> = merge_counters(&tracks).iter().map(|p| (p.track, p.index)).collect();
            let by_fold: Vec<_> = places(&tracks).iter().map(|p| (p.track as usize, p.index as usize)).collect();
            prop_assert_eq!(by_tree, by_fold);
        }
    }
}
