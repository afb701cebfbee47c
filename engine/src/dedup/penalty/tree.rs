//! Counters of any number of replicas, sample by sample: a tree of pairs, in which a switch reaches all replicas below it.
//!
//! Thanos `pkg/dedup/iter.go`, `dedupSeriesIterator`.

use super::INITIAL_PENALTY_MS;
use crate::dedup::track::{Pick, Track};

/// Passes the merged samples to `take`, with floats raised at switches.
pub(in crate::dedup) fn merge_each(tracks: &[Track<'_>], mut take: impl FnMut(Pick)) {
    let Some((first, rest)) = tracks.split_first() else { return };
    let mut node = Node::Leaf(Leaf::new(0, *first));
    for (i, track) in rest.iter().enumerate() {
        node = Node::Pair(Box::new(Pair::new(node, Node::Leaf(Leaf::new(i + 1, *track)))));
    }
    while node.next() != State::Ended {
        take(node.pick());
    }
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
    /// The offset of every float, which grows at switches that meet a lower counter.
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
