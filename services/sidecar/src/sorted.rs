//! The series of a Prometheus in the order of the labels that they are sent with.

use std::collections::VecDeque;

use tithon_engine::{Disorder, Order, SelectedSeries, SeriesShard};
use tithon_index::{Labels, Relabel};

/// Takes series in the order of their own labels, in which a Prometheus sends them. External labels are added, and labels taken away;
/// series that change places by that are held back, series that become equal are joined.
pub(crate) struct Sorted {
    relabel: Relabel,
    shard: Option<SeriesShard>,
    order: Order<SelectedSeries>,
    /// The own labels of the last series.
    last: Labels,
    /// Series whose places are certain.
    certain: VecDeque<SelectedSeries>,
    /// Whether series that follow each other may be sent with the same labels: where some lost labels, came in parts, or out of order.
    may_join: bool,
    /// Whether series were handed out.
    begun: bool,
    /// Buffer for hashing labels.
    buffer: Vec<u8>,
    /// Number of series taken.
    pub(crate) series: u64,
    /// Number of their chunks.
    pub(crate) chunks: u64,
}

/// Series came in another order after some were handed out.
#[derive(Debug, thiserror::Error)]
#[error("series are not sorted: {before} comes before {after}")]
pub(crate) struct Unsorted {
    before: Labels,
    after: Labels,
}

impl Sorted {
    /// Takes series of one `shard`, or all. Unless `comes_sorted` all of them are held back.
    pub(crate) fn new(relabel: Relabel, shard: Option<SeriesShard>, comes_sorted: bool) -> Sorted {
        let disorder = if comes_sorted { Disorder::of_any(&relabel) } else { Disorder::Anywhere };
        Sorted {
            relabel,
            shard,
            order: held_by(disorder),
            last: Labels::default(),
            certain: VecDeque::new(),
            may_join: !comes_sorted,
            begun: false,
            buffer: Vec::new(),
            series: 0,
            chunks: 0,
        }
    }

    /// Takes the next series, or more chunks of the last one. Fails when series turn out not to be sorted and it is too late for that.
    pub(crate) fn push(&mut self, series: SelectedSeries) -> Result<(), Unsorted> {
        let SelectedSeries { labels: own, chunks } = series;
        let labels = self.relabel.apply(&own);
        if self.shard.as_ref().is_some_and(|shard| !shard.holds(&labels, &mut self.buffer)) {
            return Ok(());
        }
        let (shared, order) = own.compare(&self.last);
        if order.is_lt() && *self.order.disorder() != Disorder::Anywhere {
            self.hold_all(&own)?;
        }
        self.series += u64::from(self.series == 0 || order.is_ne());
        let is_whole = labels.packed().len() == own.packed().len() + self.relabel.added_bytes();
        self.may_join |= order.is_eq() || !is_whole;
        self.chunks += chunks.len() as u64;
        self.order.share(shared);
        let leading = self.order.disorder().leading(&own);
        self.order.push(SelectedSeries { labels, chunks }, leading, &mut self.certain);
        self.last = own;
        Ok(())
    }

    /// Series are not sorted: from now on all are held back.
    fn hold_all(&mut self, own: &Labels) -> Result<(), Unsorted> {
        if self.begun {
            return Err(Unsorted { before: self.last.clone(), after: own.clone() });
        }
        self.finish();
        self.may_join = true;
        self.order = held_by(Disorder::Anywhere);
        for series in std::mem::take(&mut self.certain) {
            self.order.push(series, 0, &mut self.certain);
        }
        Ok(())
    }

    /// No series follow.
    pub(crate) fn finish(&mut self) {
        self.order.finish(&mut self.certain);
    }

    /// The next `n` series, or fewer at the end; `None` while more must be taken first, and behind the last one.
    pub(crate) fn batch(&mut self, n: usize, has_ended: bool) -> Option<Vec<SelectedSeries>> {
        // Behind the last series there may be more chunks of it.
        if self.certain.is_empty() || !has_ended && self.certain.len() <= n {
            return None;
        }
        let mut batch: Vec<SelectedSeries> = Vec::with_capacity(n.min(self.certain.len()));
        while let Some(next) = self.certain.pop_front() {
            if self.may_join && batch.last().is_some_and(|last| last.labels == next.labels) {
                batch.last_mut().into_iter().for_each(|last| last.chunks.extend_from_slice(&next.chunks));
            } else if batch.len() < n {
                batch.push(next);
            } else {
                self.certain.push_front(next);
                break;
            }
        }
        // The last one may go on in what comes next.
        if !has_ended && self.certain.is_empty() {
            self.certain.extend(batch.pop());
        }
        if batch.is_empty() {
            return None;
        }
        self.begun = true;
        for series in &mut batch {
            series.chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
        }
        Some(batch)
    }
}

fn held_by(disorder: Disorder) -> Order<SelectedSeries> {
    Order::new(disorder, |series| &series.labels)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tithon_chunks::{EncodedChunk, Encoding, Timestamp};

    use super::*;

    fn chunk(t: i64) -> EncodedChunk {
        let (min_time, max_time) = (Timestamp(t), Timestamp(t + 1));
        EncodedChunk { encoding: Encoding::Xor, min_time, max_time, data: vec![t as u8].into() }
    }

    /// All batches of a call; each series has a chunk of its own number, and those that are given in parts another one.
    fn sent(
        sorted: &mut Sorted,
        own: &[Labels],
        in_parts: bool,
        n: usize,
    ) -> Result<Vec<SelectedSeries>, Unsorted> {
        let mut out = Vec::new();
        for (i, labels) in own.iter().enumerate() {
            let i = i as i64;
            sorted.push(SelectedSeries { labels: labels.clone(), chunks: vec![chunk(i)] })?;
            out.extend(sorted.batch(n, false).into_iter().flatten());
            if in_parts {
                sorted.push(SelectedSeries { labels: labels.clone(), chunks: vec![chunk(i + 100)] })?;
            }
        }
        sorted.finish();
        while let Some(batch) = sorted.batch(n, true) {
            out.extend(batch);
        }
        Ok(out)
    }

    fn model(relabel: &Relabel, own: &[Labels], in_parts: bool) -> Vec<SelectedSeries> {
        let mut all: BTreeMap<Labels, Vec<EncodedChunk>> = BTreeMap::new();
        for (i, labels) in own.iter().enumerate() {
            let chunks = all.entry(relabel.apply(labels)).or_default();
            chunks.push(chunk(i as i64));
            chunks.extend(in_parts.then(|| chunk(i as i64 + 100)));
        }
        let series = all.into_iter().map(|(labels, mut chunks)| {
            chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
            SelectedSeries { labels, chunks }
        });
        series.collect()
    }

    #[test]
    fn many_that_are_not_sorted_are_sorted_once() {
        let relabel = Relabel::new(&Labels::from_pairs([("m", "x")]), &[] as &[&str]);
        let own: Vec<Labels> =
            (0..30_000).rev().map(|i| Labels::from_pairs([("a", format!("{i:05}"))])).collect();
        for comes_sorted in [false, true] {
            let mut sorted = Sorted::new(relabel.clone(), None, comes_sorted);
            // Nothing is handed out before it is seen that they are not sorted.
            let sent = sent(&mut sorted, &own, false, 100).expect("nothing was handed out");
            assert_eq!(sent.len(), own.len());
            assert!(sent.is_sorted_by(|a, b| a.labels < b.labels));
        }
    }

    proptest! {
        #[test]
        fn as_if_all_were_collected_and_sorted(
            external in prop::collection::btree_map("[a-f]", "[xy]", 0..3),
            without in prop::collection::btree_set("[a-f]", 0..3),
            series in prop::collection::vec(prop::collection::btree_map("[a-f]", "[xy]", 0..5), 0..20),
            swapped in prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<prop::sample::Index>())),
            in_parts in any::<bool>(),
            comes_sorted in prop::bool::weighted(0.8),
            n in 1..5_usize,
        ) {
            let without: Vec<String> = without.into_iter().collect();
            let relabel = Relabel::new(&Labels::from_pairs(external), &without);
            let mut own: Vec<Labels> = series.into_iter().map(Labels::from_pairs).collect();
            own.sort();
            own.dedup();
            if let Some((a, b)) = swapped.filter(|_| !own.is_empty()) {
                let (a, b) = (a.index(own.len()), b.index(own.len()));
                own.swap(a, b);
            }
            let mut sorted = Sorted::new(relabel.clone(), None, comes_sorted);
            match sent(&mut sorted, &own, in_parts, n) {
                Ok(sent) => {
                    prop_assert_eq!(sent, model(&relabel, &own, in_parts));
                    prop_assert_eq!(sorted.series, own.len() as u64);
                }
                Err(_) => prop_assert!(comes_sorted && !own.is_sorted()),
            }
        }
    }
}
