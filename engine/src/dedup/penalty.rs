//! The penalty algorithm: follow one replica, and go to another only when it has been silent for too long.
//!
//! Two replicas are merged by going on with whoever has the earlier sample, where the one left behind has first to
//! skip twice the distance of the last two samples taken. More replicas are folded from the left. Thanos
//! `pkg/dedup/iter.go`.

use super::track::{Pick, Track};

/// What is skipped before any distance is known, milliseconds.
const INITIAL_PENALTY_MS: i64 = 5000;

/// Merges the tracks. With `counters`, floats of a replica whose counter stands lower at a switch are lifted, so
/// that no switch looks like a reset.
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

/// Where a sample of the result is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) track: u32,
    pub(crate) index: u32,
}

/// Merges tracks by times alone.
pub(crate) fn places(tracks: &[Track<'_>]) -> Vec<Place> {
    let mut out = Vec::with_capacity(tracks.iter().map(|t| t.times().len()).max().unwrap_or(0));
    each(tracks, |place| out.push(place));
    out
}

/// Hands over each place of the result in turn. As values play no part, the fold goes pair by pair over whole
/// sequences.
pub(crate) fn each(tracks: &[Track<'_>], mut take: impl FnMut(Place)) {
    let (first, rest, last) = match tracks {
        [] => return,
        [only] => return (0..only.times().len() as u32).for_each(|index| take(Place { track: 0, index })),
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
        merge_two(before, with.times(), |time, from_second, index| {
            next_times.push(time);
            let second = Place { track: i as u32 + 1, index: index as u32 };
            next.push(if from_second { second } else { place_of(&merged, index) });
        });
        (merged, times) = (Some(next), next_times);
    }
    let before = if merged.is_none() { first.times() } else { times.as_slice() };
    let track = tracks.len() as u32 - 1;
    merge_two(before, last.times(), |_, from_second, index| {
        take(if from_second { Place { track, index: index as u32 } } else { place_of(&merged, index) });
    });
}

/// The rule for two: calls `take` with each sample's time, whether it is of the second track, and its position.
fn merge_two(a: &[i64], b: &[i64], mut take: impl FnMut(i64, bool, usize)) {
    let (mut i, mut j) = (0, 0);
    let (mut penalty_a, mut penalty_b) = (0i64, 0i64);
    let mut last: Option<i64> = None;
    loop {
        if let Some(last) = last {
            let behind = last.saturating_add(1);
            let (from_a, from_b) = (behind.saturating_add(penalty_a), behind.saturating_add(penalty_b));
            while i < a.len() && a[i] < from_a {
                i += 1;
            }
            while j < b.len() && b[j] < from_b {
                j += 1;
            }
        }
        let (ours, theirs) = (a.get(i).copied(), b.get(j).copied());
        let distance = |time: i64| match last {
            Some(last) => time.saturating_sub(last).saturating_mul(2),
            None => INITIAL_PENALTY_MS,
        };
        let time = match (ours, theirs) {
            (None, None) => return,
            (Some(time), other) if other.is_none_or(|other| time <= other) => {
                if other.is_some() {
                    penalty_b = distance(time);
                }
                penalty_a = 0;
                take(time, false, i);
                time
            }
            (other, Some(time)) => {
                if other.is_some() {
                    penalty_a = distance(time);
                }
                penalty_b = 0;
                take(time, true, j);
                time
            }
            (Some(_), None) => unreachable!("the first arm takes it"),
        };
        last = Some(time);
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

    /// Moves on until `time` is reached; stays where that is the case already.
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
    /// The sample it stands on; meaningless before the first `next`.
    at: usize,
    started: bool,
    /// What is added to every float from here on.
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

    proptest! {
        /// The fold over whole sequences picks what the tree that goes sample by sample picks.
        #[test]
        fn both_ways_agree(
            gaps in prop::collection::vec(prop::collection::vec(1i64..40_000, 0..40), 0..5),
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
