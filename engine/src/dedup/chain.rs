//! The chain rule: the union of all samples by time; of several samples at one time, one is kept.
//!
//! The order of upstream's binary heap decides which one is kept, so that heap is reproduced here operation by
//! operation. Prometheus `storage/merge.go`, `chainSampleIterator`.

use super::track::{Pick, Track};
use crate::heap::Heap;

/// Merges the tracks. A pick is `consecutive` when it was found without reading another track.
pub(crate) fn merge(tracks: &[Track<'_>]) -> Vec<Pick> {
    let mut picks = Vec::with_capacity(tracks.iter().map(|t| t.times().len()).sum());
    merge_each(tracks, |pick| picks.push(pick));
    picks
}

/// Like [`merge`], but passes the picks to `take` one by one.
pub(crate) fn merge_each(tracks: &[Track<'_>], mut take: impl FnMut(Pick)) {
    if let [a, b] = tracks {
        return merge_two([a, b], take);
    }
    if let Some(picks) = merge_apart(tracks) {
        return picks.into_iter().for_each(take);
    }
    let mut chain = Chain::new(tracks);
    while let Some(pick) = chain.next() {
        take(pick);
    }
}

/// The rule for two tracks: the heap holds the waiting track, or none once a track has ended. The waiting track goes on
/// when the current one has reached its time or passed it.
fn merge_two(tracks: [&Track<'_>; 2], mut take: impl FnMut(Pick)) {
    let times = tracks.map(Track::times);
    // The last position of the current track, and the position at which the other waits.
    let mut at = [usize::MAX, 0];
    let mut current = 0;
    let mut other_rests = !times[1].is_empty();
    let mut last = None;
    let mut changed = true;
    loop {
        at[current] = at[current].wrapping_add(1);
        let here = times[current].get(at[current]).copied();
        if here.is_some() && here == last {
            continue;
        }
        let there = if other_rests { Some(times[1 - current][at[1 - current]]) } else { None };
        let time = match (here, there) {
            (Some(here), None) => here,
            (Some(here), Some(there)) if here < there => here,
            (None, None) => return,
            (_, Some(there)) => {
                other_rests = here.is_some();
                current = 1 - current;
                changed = true;
                if last == Some(there) {
                    continue;
                }
                there
            }
        };
        last = Some(time);
        let float = tracks[current].float(at[current]);
        take(Pick { track: current, index: at[current], float, consecutive: !changed });
        changed = false;
    }
}

/// The picks of tracks no two samples of which have the same time, as of replicas that were not scraped in the same
/// millisecond: then there is only one order. `None` for any others.
///
/// Tracks are chunks as a rule, so that few of them are open at a time.
fn merge_apart(tracks: &[Track<'_>]) -> Option<Vec<Pick>> {
    let first = |track: &usize| tracks[*track].times()[0];
    let mut later: Vec<usize> = (0..tracks.len()).filter(|i| !tracks[*i].times().is_empty()).collect();
    later.sort_by_key(|track| std::cmp::Reverse(first(track)));
    // Each open track behind the time of its next sample.
    let mut open: Vec<(i64, usize)> = Vec::new();
    let (mut at, mut last) = (vec![0; tracks.len()], None);
    let mut picks = Vec::with_capacity(tracks.iter().map(|track| track.times().len()).sum());
    loop {
        let earliest = (0..open.len()).min_by_key(|i| open[*i].0);
        let begins = later.last().map_or(i64::MAX, first);
        let Some(earliest) = earliest.filter(|i| open[*i].0 < begins) else {
            let Some(track) = later.pop() else { return open.is_empty().then_some(picks) };
            open.push((begins, track));
            continue;
        };
        let others = open.iter().enumerate().filter(|(i, _)| *i != earliest).map(|(_, (time, _))| *time);
        let limit = others.min().unwrap_or(i64::MAX).min(begins);
        let (track, mut consecutive) = (open[earliest].1, false);
        let times = tracks[track].times();
        loop {
            let Some(time) = times.get(at[track]).copied() else {
                open.swap_remove(earliest);
                break;
            };
            if time > limit {
                open[earliest].0 = time;
                break;
            }
            if time == limit || last.is_some_and(|last| time <= last) {
                return None;
            }
            let float = tracks[track].float(at[track]);
            picks.push(Pick { track, index: at[track], float, consecutive });
            (at[track], last, consecutive) = (at[track] + 1, Some(time), true);
        }
    }
}

struct Chain<'a> {
    tracks: &'a [Track<'a>],
    /// The current position in each track.
    at: Vec<usize>,
    /// The waiting tracks, each behind the time of the sample at which it waits; the earliest is on top.
    heap: Heap<(i64, usize)>,
    /// The current track; its sample `at` is not read until `started`.
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
                    Some((top, _)) if time >= top => self.rest(current),
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

    /// Puts a track on the heap.
    fn rest(&mut self, track: usize) {
        self.heap.push((self.time(track), track), |(a, _), (b, _)| a < b);
    }

    /// Takes the waiting track with the earliest sample.
    fn wake(&mut self) -> Option<usize> {
        self.heap.pop(|(a, _), (b, _)| a < b).map(|(_, track)| track)
    }

    fn time(&self, track: usize) -> i64 {
        self.tracks[track].times()[self.at[track]]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn times() -> impl Strategy<Value = Vec<i64>> {
        prop::collection::vec(0i64..40, 0..30).prop_map(|mut times| {
            times.sort_unstable();
            times
        })
    }

    proptest! {
        #[test]
        fn two_are_merged_as_by_the_heap(a in times(), b in times()) {
            let values = vec![0.5; 30];
            let tracks = [Track::floats(&a, &values[..a.len()]), Track::floats(&b, &values[..b.len()])];
            let mut chain = Chain::new(&tracks);
            let by_heap: Vec<Pick> = std::iter::from_fn(|| chain.next()).collect();
            prop_assert_eq!(merge(&tracks), by_heap);
        }

        #[test]
        fn several_are_merged_as_by_the_heap(
            all in prop::collection::vec(prop::collection::btree_set(0i64..200, 0..9), 0..8),
            spread in any::<bool>(),
        ) {
            // Spread, no two tracks have a sample at the same time.
            let n = all.len() as i64;
            let times: Vec<Vec<i64>> = all
                .iter()
                .zip(0..)
                .map(|(times, i)| times.iter().map(|t| if spread { t * n + i } else { *t }).collect())
                .collect();
            let values = [0.5; 9];
            let tracks: Vec<Track<'_>> =
                times.iter().map(|times| Track::floats(times, &values[..times.len()])).collect();
            let mut chain = Chain::new(&tracks);
            let by_heap: Vec<Pick> = std::iter::from_fn(|| chain.next()).collect();
            prop_assert!(!spread || tracks.is_empty() || merge_apart(&tracks).is_some());
            prop_assert_eq!(merge(&tracks), by_heap);
        }
    }
}
