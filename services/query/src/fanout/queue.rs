//! The queue between a store and the evaluator: a task pushes the batches that the store sends, a thread takes them
//! out.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tithon_engine::{Merge, MergeStep, SelectedSeries};
use tithon_index::Labels;
use tithon_promql::Charge;
use tithon_storeapi::Lease;
use tokio::sync::Notify;

use super::SourceError;

/// Number of series that still count as held after they were taken: the evaluator works on one batch and reads the
/// next.
const SERIES_IN_USE: usize = 1024;

/// A store sent series out of order after reading had begun.
#[derive(Debug, thiserror::Error)]
#[error("{store}: series are out of order")]
pub(crate) struct Unordered {
    store: String,
}

/// The call to a store was given up before all its series arrived.
#[derive(Debug, thiserror::Error)]
#[error("the call to a store was given up")]
struct GivenUp;

/// The series that one store sends.
pub(super) struct Queue {
    /// The store's name.
    store: String,
    waiting_bytes_max: u64,
    state: Mutex<State>,
    /// Signalled when a batch arrives or no more will.
    arrived: Condvar,
    /// Signalled when a batch is taken.
    taken: Notify,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    waiting_bytes: u64,
    /// The labels of the last series; no longer updated once the series are out of order.
    last: Option<Labels>,
    is_unordered: bool,
    /// The lease of the mapped files that chunks may be slices of.
    lease: Lease,
    reading: Reading,
    arrival: Arrival,
}

struct Batch {
    series: Vec<SelectedSeries>,
    charge: Charge,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Reading {
    #[default]
    NotBegun,
    Begun,
    /// The reader was dropped and will take no more.
    Over,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Arrival {
    #[default]
    UnderWay,
    Complete,
    GivenUp,
}

impl Queue {
    /// The queue of the store with this name. Once reading has begun, the store waits while the queue holds more than
    /// `waiting_bytes_max` bytes.
    pub(super) fn new(store: String, waiting_bytes_max: u64) -> Queue {
        Queue {
            store,
            waiting_bytes_max,
            state: Mutex::default(),
            arrived: Condvar::new(),
            taken: Notify::new(),
        }
    }

    pub(super) fn store(&self) -> &str {
        &self.store
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the lease of mapped files that chunks may be slices of.
    pub(super) fn absorb(&self, lease: Lease) {
        self.state().lease.absorb(lease);
    }

    pub(super) fn lease(&self) -> Lease {
        self.state().lease.clone()
    }

    /// Adds series, or drops them when the reader is gone. Series out of order are sorted before reading begins.
    ///
    /// Fails when series are out of order after reading has begun.
    pub(super) fn push(&self, series: Vec<SelectedSeries>, charge: Charge) -> Result<(), Unordered> {
        let mut state = self.state();
        if state.reading == Reading::Over {
            return Ok(());
        }
        if !state.is_unordered {
            let is_behind = match (&state.last, series.first()) {
                (Some(last), Some(first)) => *last <= first.labels,
                _ => true,
            };
            if !is_behind || !series.is_sorted_by(|a, b| a.labels <= b.labels) {
                if state.reading == Reading::Begun {
                    return Err(Unordered { store: self.store.clone() });
                }
                state.is_unordered = true;
            }
            if let Some(last) = series.last() {
                state.last = Some(last.labels.clone());
            }
        }
        state.waiting_bytes += charge.bytes();
        state.batches.push_back(Batch { series, charge });
        self.arrived.notify_one();
        Ok(())
    }

    /// Says that all series have arrived.
    pub(super) fn end(&self) {
        self.state().arrival = Arrival::Complete;
        self.arrived.notify_one();
    }

    /// Says that no more series will arrive. Has no effect when all have arrived.
    pub(super) fn stop(&self) {
        let mut state = self.state();
        if state.arrival == Arrival::UnderWay {
            state.arrival = Arrival::GivenUp;
        }
        self.arrived.notify_one();
    }

    /// Waits until the queue has room. Before reading begins there always is room, since the reader may be waiting for
    /// other queues.
    pub(super) async fn room(&self) {
        let is_full = || {
            let state = self.state();
            state.reading == Reading::Begun && state.waiting_bytes > self.waiting_bytes_max
        };
        while is_full() {
            self.taken.notified().await;
        }
    }

    /// Begins to read. When series came out of order, waits for all of them and sorts them.
    fn begin(&self) {
        let mut state = self.state();
        while state.is_unordered && state.arrival == Arrival::UnderWay {
            state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.reading = Reading::Begun;
        if state.is_unordered {
            let mut batches = state.batches.drain(..);
            let Some(mut all) = batches.next() else { return };
            for Batch { series, charge } in batches {
                all.series.extend(series);
                all.charge.absorb(charge);
            }
            all.series.sort_by(|a, b| a.labels.cmp(&b.labels));
            state.batches.push_back(all);
        }
    }

    /// Waits for the next batch and takes it; `None` at the end. Fails when the call to the store was given up.
    fn take(&self) -> Result<Option<Batch>, GivenUp> {
        let mut state = self.state();
        loop {
            if let Some(batch) = state.batches.pop_front() {
                state.waiting_bytes -= batch.charge.bytes();
                self.taken.notify_one();
                return Ok(Some(batch));
            }
            match state.arrival {
                Arrival::Complete => return Ok(None),
                Arrival::GivenUp => return Err(GivenUp),
                Arrival::UnderWay => {
                    state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Drops all batches, since nobody reads any more.
    fn abandon(&self) {
        let mut state = self.state();
        state.reading = Reading::Over;
        state.batches.clear();
        self.taken.notify_one();
    }

    /// Keeps the series for which `keep` returns true; `keep` may change their chunks. Must be called before reading
    /// begins.
    pub(super) fn retain(
        &self,
        mut keep: impl FnMut(&mut SelectedSeries) -> Result<bool, SourceError>,
    ) -> Result<(), SourceError> {
        let mut failed = Ok(());
        for batch in &mut self.state().batches {
            batch.series.retain_mut(|one| {
                failed.is_ok()
                    && keep(one).unwrap_or_else(|error| {
                        failed = Err(error);
                        false
                    })
            });
        }
        failed
    }
}

/// The series of several queues merged in label order; series with equal labels are joined.
pub(super) struct Reader {
    queues: Vec<Arc<Queue>>,
    merge: Merge,
    has_begun: bool,
    has_failed: bool,
    /// Number of series and charge of each batch that was taken and may still be in use.
    in_use: VecDeque<(usize, Charge)>,
    n_in_use: usize,
}

impl Reader {
    pub(super) fn new(queues: Vec<Arc<Queue>>) -> Reader {
        let merge = Merge::new(queues.len());
        Reader { queues, merge, has_begun: false, has_failed: false, in_use: VecDeque::new(), n_in_use: 0 }
    }

    /// Counts `n` series as in use, and drops the charges of batches read long before.
    fn hold(&mut self, n: usize, charge: Charge) {
        self.in_use.push_back((n, charge));
        self.n_in_use += n;
        while let Some((n, _)) = self.in_use.front()
            && self.n_in_use - n >= SERIES_IN_USE
        {
            self.n_in_use -= n;
            self.in_use.pop_front();
        }
    }
}

impl Iterator for Reader {
    type Item = Result<SelectedSeries, SourceError>;

    fn next(&mut self) -> Option<Result<SelectedSeries, SourceError>> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.queues.iter().for_each(|queue| queue.begin());
        }
        // An error is the last item.
        while !self.has_failed {
            match self.merge.step() {
                MergeStep::Series(series) => return Some(Ok(series)),
                MergeStep::Done => return None,
                MergeStep::Need(i) => match self.queues[i].take() {
                    Ok(Some(Batch { series, charge })) => {
                        self.hold(series.len(), charge);
                        self.merge.feed(i, series);
                    }
                    Ok(None) => self.merge.end(i),
                    Err(given_up) => {
                        self.has_failed = true;
                        return Some(Err(given_up.into()));
                    }
                },
            }
        }
        None
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.queues.iter().for_each(|queue| queue.abandon());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tithon_promql::Budget;

    use super::*;

    fn series(names: &[&str]) -> Vec<SelectedSeries> {
        let one =
            |name: &&str| SelectedSeries { labels: Labels::from_pairs([("a", *name)]), chunks: Vec::new() };
        names.iter().map(one).collect()
    }

    fn names(read: impl Iterator<Item = Result<SelectedSeries, SourceError>>) -> Vec<String> {
        let name = |one: SelectedSeries| {
            String::from_utf8_lossy(one.labels.get("a").unwrap_or_default()).into_owned()
        };
        read.map(|one| one.map_or_else(|error| error.to_string(), name)).collect()
    }

    fn queue() -> (Arc<Queue>, Arc<Budget>) {
        (Arc::new(Queue::new("s".to_owned(), 100)), Budget::new(1000, "--some-flag"))
    }

    #[test]
    fn series_are_read_while_they_arrive() {
        let ((one, budget), (other, _)) = (queue(), queue());
        let reader = Reader::new(vec![Arc::clone(&one), Arc::clone(&other)]);
        let reading = std::thread::spawn(move || names(reader));
        let push = |queue: &Queue, list: &[&str]| {
            queue.push(series(list), budget.charge(10).expect("room")).expect("in order");
        };
        push(&one, &["a", "c"]);
        push(&other, &["b", "c"]);
        one.end();
        push(&other, &["d"]);
        other.end();
        assert_eq!(reading.join().expect("no panic"), ["a", "b", "c", "d"]);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn series_out_of_order_are_sorted_unless_they_are_read_already() {
        let (queue, budget) = queue();
        let push = |list: &[&str]| queue.push(series(list), budget.charge(10).expect("room"));
        push(&["b", "c"]).expect("in order");
        push(&["a"]).expect("reading has not begun");
        queue.end();
        assert_eq!(names(Reader::new(vec![Arc::clone(&queue)])), ["a", "b", "c"]);

        let (queue, budget) = self::queue();
        let push = |list: &[&str]| queue.push(series(list), budget.charge(10).expect("room"));
        push(&["b", "c"]).expect("in order");
        let mut reader = Reader::new(vec![Arc::clone(&queue)]);
        assert!(reader.next().is_some());
        assert_eq!(push(&["a"]).expect_err("too late").to_string(), "s: series are out of order");
        queue.stop();
        assert_eq!(names(reader), ["the call to a store was given up"]);
    }

    #[tokio::test]
    async fn a_store_waits_for_a_reader_that_has_begun() {
        let (queue, budget) = queue();
        let push = |list: &[&str]| {
            queue.push(series(list), budget.charge(90).expect("room")).expect("in order");
        };
        push(&["a"]);
        push(&["b"]);
        queue.room().await;
        let mut reader = Reader::new(vec![Arc::clone(&queue)]);
        // The reader takes the second batch before it returns the first series, because that series might continue
        // there.
        assert!(reader.next().is_some());
        push(&["c"]);
        push(&["d"]);
        let waiting = tokio::time::timeout(Duration::from_millis(20), queue.room()).await;
        assert!(waiting.is_err(), "two batches wait, more than there is room for");
        assert!(reader.next().is_some());
        tokio::time::timeout(Duration::from_secs(60), queue.room()).await.expect("there is room");
        drop(reader);
        push(&["e"]);
        assert_eq!(budget.held(), 0, "what nobody reads is not kept");
    }
}
