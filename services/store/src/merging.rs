//! The series of several blocks become one answer. Runs on a thread that may block.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::vec::IntoIter;

use tithon_engine::{BlockId, Merge, SelectedSeries, SeriesBatch, merge};
use tithon_index::Labels;
use tithon_storeapi::SeriesPart;
use tokio::runtime::Handle;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use crate::StoreError;
use crate::drive::Part;
use crate::outlet::{Outlet, Refused};

/// Series in one part of an answer, and bytes of it unless one series alone has more.
const BATCH_SERIES: usize = 256;
const BATCH_BYTES: usize = 1 << 20;
/// A reader that takes nothing for so long counts as stalled.
const STALLED_AFTER: Duration = Duration::from_millis(200);

/// What is wrong with blocks of one request.
pub(crate) struct Faults {
    pub(crate) abort: bool,
    /// Of series, by the labels they are sent with: told when the answer comes to them.
    of_series: Mutex<Vec<(Labels, StoreError)>>,
    any_of_series: AtomicBool,
    warnings: Mutex<Vec<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    pub(crate) fn new(abort: bool) -> Faults {
        let (of_series, any_of_series) = (Mutex::default(), AtomicBool::new(false));
        Faults { abort, of_series, any_of_series, warnings: Mutex::default() }
    }

    /// Makes a warning of a fault where the request and the fault allow it.
    pub(crate) fn tolerate(&self, error: StoreError) -> Result<(), StoreError> {
        if self.abort || !error.spares_other_blocks() {
            return Err(error);
        }
        locked(&self.warnings).push(error.to_string());
        Ok(())
    }

    fn keep(&self, labels: &Labels, error: StoreError) {
        locked(&self.of_series).push((labels.clone(), error));
        self.any_of_series.store(true, Ordering::Release);
    }

    /// Tells of the faults that were kept of a series.
    fn come_to(&self, labels: &Labels) -> Result<(), StoreError> {
        if !self.any_of_series.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut of_series = locked(&self.of_series);
        while let Some(i) = of_series.iter().position(|(at, _)| at == labels) {
            self.tolerate(of_series.swap_remove(i).1)?;
        }
        Ok(())
    }
}

/// The series of one block, as they come. A series at fault comes without chunks.
pub(crate) struct Incoming {
    block: BlockId,
    parts: Receiver<Part>,
    current: IntoIter<SelectedSeries>,
    ended: bool,
    faults: Arc<Faults>,
}

impl Incoming {
    pub(crate) fn new(block: BlockId, parts: Receiver<Part>, faults: Arc<Faults>) -> Incoming {
        Incoming { block, parts, current: Vec::new().into_iter(), ended: false, faults }
    }
}

impl Iterator for Incoming {
    type Item = Result<SelectedSeries, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(series) = self.current.next() {
                return Some(Ok(series));
            }
            if self.ended {
                return None;
            }
            let part = self.parts.blocking_recv();
            self.ended = !matches!(part, Some(Part::Series(_)));
            match part {
                Some(Part::Series(series)) => self.current = series.into_iter(),
                Some(Part::End) => {}
                Some(Part::Fault(Some(labels), error)) => {
                    self.faults.keep(&labels, error);
                    return Some(Ok(SelectedSeries { labels, chunks: Vec::new() }));
                }
                Some(Part::Fault(None, error)) => {
                    if let Err(error) = self.faults.tolerate(error) {
                        return Some(Err(error));
                    }
                }
                None => {
                    if let Err(error) = self.faults.tolerate(StoreError::ReaderLost { block: self.block }) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}

/// An answer being made.
pub(crate) struct Merging {
    merged: Merge<Incoming>,
    faults: Arc<Faults>,
    skip_chunks: bool,
    /// How many more series are wanted.
    left: usize,
    /// What is to be sent next, and its bytes.
    ready: VecDeque<(SeriesPart, usize)>,
    pub(crate) n_sent: usize,
}

/// How far an answer came.
pub(crate) enum Progress {
    /// To its end.
    Done,
    /// The reader takes nothing at the moment.
    Stalled,
    /// Nobody reads any more.
    Gone,
}

impl Merging {
    /// Series of all streams, at most `limit` of them.
    pub(crate) fn new(
        streams: Vec<Incoming>,
        faults: Arc<Faults>,
        skip_chunks: bool,
        limit: usize,
    ) -> Merging {
        let merged = merge(streams);
        Merging { merged, faults, skip_chunks, left: limit, ready: VecDeque::new(), n_sent: 0 }
    }

    /// Sends until the series end, the reader stalls or is gone.
    pub(crate) fn run(&mut self, outlet: &Outlet, runtime: &Handle) -> Result<Progress, StoreError> {
        loop {
            if self.ready.is_empty() && !self.fill(outlet)? {
                return Ok(Progress::Done);
            }
            let Some((part, bytes)) = self.ready.pop_front() else { continue };
            match outlet.offer(part, bytes) {
                Ok(()) => {}
                Err(Refused::Gone) => return Ok(Progress::Gone),
                Err(Refused::Full(part)) => {
                    self.ready.push_front((part, bytes));
                    if runtime.block_on(async { timeout(STALLED_AFTER, outlet.room()).await }).is_err() {
                        return Ok(Progress::Stalled);
                    }
                }
            }
        }
    }

    /// Makes the next parts: warnings and series. False at the end.
    fn fill(&mut self, outlet: &Outlet) -> Result<bool, StoreError> {
        let (mut series, mut bytes) = (Vec::with_capacity(BATCH_SERIES.min(self.left)), 0);
        while self.left > 0 && series.len() < BATCH_SERIES && bytes < BATCH_BYTES {
            let Some(next) = self.merged.next().transpose()? else { break };
            self.faults.come_to(&next.labels)?;
            if next.chunks.is_empty() && !self.skip_chunks {
                continue;
            }
            bytes += size(&next);
            self.left -= 1;
            series.push(next);
        }
        for warning in std::mem::take(&mut *locked(&self.faults.warnings)) {
            // When the reader leaves, the readers of blocks are stopped: that is no fault of the blocks.
            if !outlet.is_closed() {
                tracing::warn!(error = %warning, "block left out of an answer");
            }
            let bytes = warning.len();
            self.ready.push_back((SeriesPart::Warning(warning), bytes));
        }
        if !series.is_empty() {
            self.n_sent += series.len();
            self.ready.push_back((SeriesPart::Series(SeriesBatch { series }), bytes));
        }
        Ok(!self.ready.is_empty())
    }
}

/// About the bytes that a series takes.
fn size(series: &SelectedSeries) -> usize {
    let chunks: usize = series.chunks.iter().map(|chunk| 64 + chunk.data.len()).sum();
    64 + series.labels.bytes() + chunks
}
