//! Merges streams of series in label order: a loser tree finds the smallest label set, and series with equal labels are
//! joined.
//!
//! [`Merge`] is a state machine without input or output: it names the stream whose next batch it needs, and the caller
//! waits for that batch in its own way, on a thread or in a task. [`merge`] runs it over streams in memory.
//!
//! A tree of losers (Knuth, volume 3, 5.4.1) compares once a level, where a binary heap compares twice.

use std::cmp::Ordering;
use std::vec::IntoIter;

use tithon_chunks::EncodedChunk;

use crate::SelectedSeries;

/// Merges streams that each ascend by labels. Series with equal labels become one: their chunks ascend by time, exact
/// duplicates are dropped, and overlaps are kept.
pub struct Merge {
    streams: Vec<Stream>,
    /// The next series of each stream; `None` when the stream has ended.
    heads: Vec<Option<SelectedSeries>>,
    /// For each match, counted from the root at 1, the stream that lost it. Leaves are the streams.
    losers: Vec<usize>,
    winner: usize,
    /// The head of the winner has been taken and the next one has not been read yet.
    taken: bool,
    /// The series being put together, and whether its chunks come from several streams.
    series: Option<SelectedSeries>,
    is_joined: bool,
}

/// Series of one stream that have arrived and have not been read yet.
#[derive(Default)]
struct Stream {
    batch: IntoIter<SelectedSeries>,
    has_ended: bool,
}

/// The next need or result of a merge.
#[derive(Debug, PartialEq)]
pub enum MergeStep {
    /// Call [`Merge::feed`] or [`Merge::end`] for this stream before the next step.
    Need(usize),
    /// The next series.
    Series(SelectedSeries),
    /// There are no more series.
    Done,
}

impl Merge {
    /// A merge of `n` streams, numbered from 0. Of equal labels, chunks of lower streams come first.
    pub fn new(n: usize) -> Merge {
        Merge {
            streams: (0..n).map(|_| Stream::default()).collect(),
            heads: Vec::with_capacity(n),
            losers: Vec::new(),
            winner: 0,
            taken: false,
            series: None,
            is_joined: false,
        }
    }

    /// Hands over the next series of a stream. Call it when all series before them are read, as [`MergeStep::Need`]
    /// says.
    pub fn feed(&mut self, stream: usize, batch: Vec<SelectedSeries>) {
        self.streams[stream].batch = batch.into_iter();
    }

    /// Says that a stream has no more series.
    pub fn end(&mut self, stream: usize) {
        self.streams[stream].has_ended = true;
    }

    /// Takes the next step. Reads a stream no further than the series returned require.
    pub fn step(&mut self) -> MergeStep {
        // At first every stream needs a first series.
        while self.heads.len() < self.streams.len() {
            match self.read(self.heads.len()) {
                Some(head) => self.heads.push(head),
                None => return MergeStep::Need(self.heads.len()),
            }
            if self.heads.len() == self.streams.len() {
                self.play_all();
            }
        }
        if self.streams.is_empty() {
            return MergeStep::Done;
        }
        loop {
            if self.taken {
                let Some(head) = self.read(self.winner) else { return MergeStep::Need(self.winner) };
                self.heads[self.winner] = head;
                self.taken = false;
                self.play_winner();
            }
            let head = &mut self.heads[self.winner];
            match (&mut self.series, head.as_mut()) {
                (None, None) => return MergeStep::Done,
                (None, Some(_)) => (self.series, self.is_joined) = (head.take(), false),
                (Some(series), Some(same)) if same.labels == series.labels => {
                    series.chunks.append(&mut same.chunks);
                    (*head, self.is_joined) = (None, true);
                }
                (Some(_), _) => break,
            }
            self.taken = true;
        }
        let Some(mut series) = self.series.take() else { return MergeStep::Done };
        if self.is_joined {
            join_chunks(&mut series.chunks);
        }
        MergeStep::Series(series)
    }

    /// The next series of a stream, `Some(None)` at its end, `None` when it has not arrived yet.
    fn read(&mut self, stream: usize) -> Option<Option<SelectedSeries>> {
        let Stream { batch, has_ended } = &mut self.streams[stream];
        match batch.next() {
            None if !*has_ended => None,
            next => Some(next),
        }
    }

    /// Plays all matches between the heads.
    fn play_all(&mut self) {
        let n = self.streams.len();
        self.losers = vec![0; n];
        let mut winners = vec![0; 2 * n];
        for i in 0..n {
            winners[n + i] = i;
        }
        for node in (1..n).rev() {
            let (a, b) = (winners[2 * node], winners[2 * node + 1]);
            let (winner, loser) = if self.beats(b, a) { (b, a) } else { (a, b) };
            (winners[node], self.losers[node]) = (winner, loser);
        }
        self.winner = winners.get(1).copied().unwrap_or(0);
    }

    /// Plays the matches of the last winner again, which has a new head.
    fn play_winner(&mut self) {
        let mut winner = self.winner;
        let mut node = (self.streams.len() + winner) / 2;
        while node > 0 {
            if self.beats(self.losers[node], winner) {
                std::mem::swap(&mut self.losers[node], &mut winner);
            }
            node /= 2;
        }
        self.winner = winner;
    }

    /// Whether stream `a` comes strictly before stream `b`; of equal labels the earlier stream wins.
    fn beats(&self, a: usize, b: usize) -> bool {
        match (&self.heads[a], &self.heads[b]) {
            (Some(x), Some(y)) => x.labels.cmp(&y.labels).then(a.cmp(&b)) == Ordering::Less,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => a < b,
        }
    }
}

/// Merges streams that are in memory, each ascending by labels, as [`Merge`] does.
pub fn merge(streams: impl IntoIterator<Item = Vec<SelectedSeries>>) -> impl Iterator<Item = SelectedSeries> {
    let streams: Vec<_> = streams.into_iter().collect();
    let mut merge = Merge::new(streams.len());
    for (i, stream) in streams.into_iter().enumerate() {
        merge.feed(i, stream);
        merge.end(i);
    }
    std::iter::from_fn(move || match merge.step() {
        MergeStep::Series(series) => Some(series),
        // No stream needs more series: all have ended.
        MergeStep::Need(_) | MergeStep::Done => None,
    })
}

/// Sorts chunks of one series by first, then last time, and drops exact duplicates.
fn join_chunks(chunks: &mut Vec<EncodedChunk>) {
    chunks.sort_by_key(|c| (c.min_time, c.max_time));
    let mut kept: Vec<EncodedChunk> = Vec::with_capacity(chunks.len());
    for chunk in chunks.drain(..) {
        let same_range = kept.iter().rev().take_while(|k| k.range() == chunk.range());
        if same_range.clone().all(|k| k.encoding != chunk.encoding || k.data != chunk.data) {
            kept.push(chunk);
        }
    }
    *chunks = kept;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tithon_chunks::{Encoding, Timestamp};
    use tithon_index::Labels;

    use super::*;

    fn chunk(min: i64, max: i64, data: u8) -> EncodedChunk {
        EncodedChunk {
            encoding: Encoding::Xor,
            min_time: Timestamp(min),
            max_time: Timestamp(max),
            data: vec![data].into(),
        }
    }

    fn series(name: u8, chunks: Vec<EncodedChunk>) -> SelectedSeries {
        SelectedSeries { labels: Labels::from_pairs([("a", [b'a' + name])]), chunks }
    }

    proptest! {
        #[test]
        fn merge_is_a_map_of_sorted_sets(
            streams in prop::collection::vec(
                prop::collection::btree_map(0u8..20, prop::collection::vec((0i64..4, 0i64..3, 0u8..2), 0..4), 0..12), 0..9),
        ) {
            let mut model: BTreeMap<u8, std::collections::BTreeSet<(i64, i64, u8)>> = BTreeMap::new();
            let mut inputs = Vec::new();
            for stream in &streams {
                let mut input = Vec::new();
                for (name, chunks) in stream {
                    let mut chunks: Vec<_> = chunks.iter().map(|(min, len, data)| (*min, min + len, *data)).collect();
                    chunks.sort_unstable();
                    chunks.dedup();
                    model.entry(*name).or_default().extend(chunks.iter().copied());
                    let chunks = chunks.into_iter().map(|(min, max, data)| chunk(min, max, data)).collect();
                    input.push(series(*name, chunks));
                }
                inputs.push(input);
            }
            prop_assert_eq!(in_pieces(&inputs), merge(inputs.clone()).collect::<Vec<_>>());
            let merged: Vec<_> = merge(inputs).collect();
            let names: Vec<_> = merged.iter().map(|s| s.labels.clone()).collect();
            let expected: Vec<_> = model.keys().map(|n| series(*n, vec![]).labels).collect();
            prop_assert_eq!(names, expected);
            for (ours, theirs) in merged.iter().zip(model.values()) {
                let found: Vec<_> = ours.chunks.iter().map(|c| (c.min_time.0, c.max_time.0, c.data[0])).collect();
                prop_assert!(found.is_sorted_by_key(|c| (c.0, c.1)));
                let mut sorted = found.clone();
                sorted.sort_unstable();
                prop_assert_eq!(sorted, theirs.iter().copied().collect::<Vec<_>>());
            }
        }
    }

    /// The merge of streams whose batches have one series each and arrive when they are asked for.
    fn in_pieces(inputs: &[Vec<SelectedSeries>]) -> Vec<SelectedSeries> {
        let mut left: Vec<_> = inputs.iter().map(|input| input.iter()).collect();
        let (mut merge, mut merged) = (Merge::new(inputs.len()), Vec::new());
        loop {
            match merge.step() {
                MergeStep::Need(i) => match left[i].next() {
                    Some(series) => merge.feed(i, vec![series.clone()]),
                    None => merge.end(i),
                },
                MergeStep::Series(series) => merged.push(series),
                MergeStep::Done => return merged,
            }
        }
    }

    #[test]
    fn a_stream_is_read_no_further_than_needed() {
        let mut merge = Merge::new(2);
        assert_eq!(merge.step(), MergeStep::Need(0));
        merge.feed(0, vec![series(0, vec![]), series(2, vec![])]);
        assert_eq!(merge.step(), MergeStep::Need(1));
        merge.feed(1, vec![series(1, vec![])]);
        assert_eq!(merge.step(), MergeStep::Series(series(0, vec![])));
        assert_eq!(merge.step(), MergeStep::Need(1));
        // An empty batch does not end a stream.
        merge.feed(1, vec![]);
        assert_eq!(merge.step(), MergeStep::Need(1));
        merge.end(1);
        assert_eq!(merge.step(), MergeStep::Series(series(1, vec![])));
        assert_eq!(merge.step(), MergeStep::Need(0));
    }
}
