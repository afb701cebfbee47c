//! Merges streams of series in label order: a loser tree finds the least label set, series with equal labels are joined.
//!
//! A tree of losers (Knuth, volume 3, 5.4.1) compares once a level, where a binary heap compares twice.

use std::cmp::Ordering;

use tithon_chunks::EncodedChunk;

use crate::SelectedSeries;

/// Merges streams that each ascend by labels. Series of equal labels become one: their chunks ascend by time, exact
/// duplicates are dropped, overlaps stay. A stream is read no further than the series taken need. An error comes in its
/// stream's place: behind the series before it. After it the merge is over.
pub fn merge<I, E>(streams: impl IntoIterator<Item = I>) -> Merge<I>
where
    I: Iterator<Item = Result<SelectedSeries, E>>,
{
    let streams: Vec<I> = streams.into_iter().collect();
    Merge {
        heads: Vec::with_capacity(streams.len()),
        streams,
        losers: Vec::new(),
        winner: 0,
        taken: false,
        failed: None,
        state: State::New,
    }
}

/// The merged stream; made by [`merge`].
pub struct Merge<I: Iterator> {
    streams: Vec<I>,
    /// The next series of each stream; `None` when it has ended.
    heads: Vec<Option<SelectedSeries>>,
    /// Of each match, counted from the root at 1, the stream that lost it. Leaves are the streams.
    losers: Vec<usize>,
    winner: usize,
    /// The winner's head has been taken and its next series not read yet, as the caller may not want it.
    taken: bool,
    /// An error that was met behind a series that is whole.
    failed: Option<I::Item>,
    state: State,
}

#[derive(PartialEq, Eq)]
enum State {
    New,
    Running,
    Failed,
}

impl<I, E> Merge<I>
where
    I: Iterator<Item = Result<SelectedSeries, E>>,
{
    /// Reads the first series of every stream and plays all matches.
    fn start(&mut self) -> Result<(), E> {
        for stream in &mut self.streams {
            self.heads.push(stream.next().transpose()?);
        }
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
        Ok(())
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

    /// Takes the least series.
    fn pop(&mut self) -> Result<Option<SelectedSeries>, E> {
        if self.streams.is_empty() {
            return Ok(None);
        }
        self.refill()?;
        let least = self.heads[self.winner].take();
        self.taken = least.is_some();
        Ok(least)
    }

    /// Reads the next series of the stream that was last taken from, and plays its matches again.
    fn refill(&mut self) -> Result<(), E> {
        if !std::mem::take(&mut self.taken) {
            return Ok(());
        }
        let mut winner = self.winner;
        self.heads[winner] = self.streams[winner].next().transpose()?;
        let mut node = (self.streams.len() + winner) / 2;
        while node > 0 {
            if self.beats(self.losers[node], winner) {
                std::mem::swap(&mut self.losers[node], &mut winner);
            }
            node /= 2;
        }
        self.winner = winner;
        Ok(())
    }

    fn next_joined(&mut self) -> Result<Option<SelectedSeries>, E> {
        if let Some(failed) = self.failed.take() {
            return failed.map(Some);
        }
        if self.state == State::New {
            self.start()?;
            self.state = State::Running;
        }
        let Some(mut series) = self.pop()? else { return Ok(None) };
        let mut joined = false;
        loop {
            if let Err(error) = self.refill() {
                self.failed = Some(Err(error));
                break;
            }
            match &mut self.heads[self.winner] {
                Some(head) if head.labels == series.labels => series.chunks.append(&mut head.chunks),
                _ => break,
            }
            self.heads[self.winner] = None;
            (self.taken, joined) = (true, true);
        }
        if joined {
            join_chunks(&mut series.chunks);
        }
        Ok(Some(series))
    }
}

/// Sorts chunks of one series by first, then last time, and drops those equal to one before them.
pub fn join_chunks(chunks: &mut Vec<EncodedChunk>) {
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

impl<I, E> Iterator for Merge<I>
where
    I: Iterator<Item = Result<SelectedSeries, E>>,
{
    type Item = Result<SelectedSeries, E>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Failed {
            return None;
        }
        let next = self.next_joined().transpose();
        if matches!(next, Some(Err(_))) {
            self.state = State::Failed;
        }
        next
    }
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
                    input.push(Ok::<_, ()>(series(*name, chunks)));
                }
                inputs.push(input.into_iter());
            }
            let merged: Vec<_> = merge(inputs).map(Result::unwrap).collect();
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

    #[test]
    fn an_error_comes_behind_the_series_before_it_and_ends_the_merge() {
        let good = vec![Ok(series(0, vec![])), Ok(series(1, vec![]))];
        let bad = vec![Ok(series(0, vec![])), Err("broken")];
        let mut merged = merge([good.into_iter(), bad.into_iter()]);
        assert_eq!(merged.next(), Some(Ok(series(0, vec![]))));
        assert_eq!(merged.next(), Some(Err("broken")));
        assert_eq!(merged.next(), None);
    }
}
