//! The chain rule: the union of all samples by time; of several with one time, one stays.
//!
//! Which one is decided by the order of upstream's binary heap, so that heap is kept here operation by operation.
//! Prometheus `storage/merge.go`, `chainSampleIterator`.

use super::track::{Pick, Track};
use crate::heap::Heap;

/// Merges the tracks. A pick is `consecutive` when no other track was looked at to find it.
pub(crate) fn merge(tracks: &[Track<'_>]) -> Vec<Pick> {
    let mut picks = Vec::with_capacity(tracks.iter().map(|t| t.times().len()).sum());
    merge_each(tracks, |pick| picks.push(pick));
    picks
}

/// Like [`merge`], handing over one pick after the other.
pub(crate) fn merge_each(tracks: &[Track<'_>], mut take: impl FnMut(Pick)) {
    let mut chain = Chain::new(tracks);
    while let Some(pick) = chain.next() {
        take(pick);
    }
}

struct Chain<'a> {
    tracks: &'a [Track<'a>],
    /// The sample that each track stands on.
    at: Vec<usize>,
    /// Resting tracks, the one with the earliest sample on top.
    heap: Heap<usize>,
    /// The track that goes on; it stands before the sample `at` until `started`.
    current: Option<usize>,
    started: bool,
    last: Option<i64>,
}

impl<'a> Chain<'a> {
    fn new(tracks: &'a [Track<'a>]) -> Chain<'a> {
        let mut chain = Chain {
            tracks,
            at: vec![0; tracks.len()],
            heap: Heap::new(),
            current: (!tracks.is_empty()).then_some(0),
            started: false,
            last: None,
        };
        for (i, track) in tracks.iter().enumerate().skip(1) {
            if !track.times().is_empty() {
                chain.rest(i);
            }
        }
        chain
    }

    fn next(&mut self) -> Option<Pick> {
        let mut changed = !self.started;
        loop {
            let current = self.current?;
            if self.started {
                self.at[current] += 1;
            }
            self.started = true;
            match self.tracks[current].times().get(self.at[current]) {
                Some(time) if Some(*time) == self.last => continue,
                Some(time) => match self.heap.top() {
                    Some(top) if *time >= self.time(*top) => self.rest(current),
                    _ => return Some(self.take(current, changed)),
                },
                None if self.heap.is_empty() => {
                    self.current = None;
                    return None;
                }
                None => {}
            }
            let popped = self.wake()?;
            self.current = Some(popped);
            changed = true;
            if Some(self.time(popped)) != self.last {
                return Some(self.take(popped, changed));
            }
        }
    }

    fn take(&mut self, track: usize, changed: bool) -> Pick {
        let index = self.at[track];
        self.last = Some(self.time(track));
        Pick { track, index, float: self.tracks[track].float(index), consecutive: !changed }
    }

    /// Puts a track aside.
    fn rest(&mut self, track: usize) {
        let time = |t: &usize| self.tracks[*t].times()[self.at[*t]];
        self.heap.push(track, |a, b| time(a) < time(b));
    }

    /// Takes the resting track with the earliest sample.
    fn wake(&mut self) -> Option<usize> {
        let time = |t: &usize| self.tracks[*t].times()[self.at[*t]];
        self.heap.pop(|a, b| time(a) < time(b))
    }

    fn time(&self, track: usize) -> i64 {
        self.tracks[track].times()[self.at[track]]
    }
}
