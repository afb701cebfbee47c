//! Runs the selection of one block. Steps run on the CPU pool, or on the calling thread as long as they are few and
//! short. Reads between steps are awaited, unless the block is mapped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tithon_bucket::BucketBlock;
use tithon_chunks::Aggregate;
use tithon_engine::{BlockFile, FileRange, Reads, Select, SelectedSeries, SeriesShard, Step};
use tithon_index::Labels;
use tithon_proto::check_aggregates;
use tithon_runtime::{Cpu, Priority};
use tokio::sync::mpsc::Sender;

use crate::StoreError;
use crate::memory::{Call, Charge};
use crate::postings_cache::{Key, PostingsCache};

/// The limits of one request over all its blocks, and the series and bytes selected so far.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    pub(crate) series_max: u64,
    pub(crate) chunks_max: u64,
    pub(crate) bytes_max: u64,
    series: AtomicU64,
    chunks: AtomicU64,
    bytes: AtomicU64,
    reads: Mutex<Reads>,
}

impl Budget {
    /// Limits on series, chunks, and bytes read from blocks; 0 means no limit.
    pub(crate) fn new(series_max: u64, chunks_max: u64, bytes_max: u64) -> Budget {
        Budget { series_max, chunks_max, bytes_max, ..Budget::default() }
    }

    /// Numbers of series and chunks selected so far.
    pub(crate) fn spent(&self) -> (u64, u64) {
        (self.series.load(Ordering::Relaxed), self.chunks.load(Ordering::Relaxed))
    }

    /// The bytes that selections have read so far.
    pub(crate) fn reads(&self) -> Reads {
        *self.reads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_reads(&self, reads: Reads) {
        *self.reads.lock().unwrap_or_else(PoisonError::into_inner) += reads;
    }

    /// Counts bytes read from a block. Fails when the limit is exceeded.
    pub(crate) fn take_bytes(&self, fetched: &[Bytes]) -> Result<(), StoreError> {
        spend("bytes", &self.bytes, fetched.iter().map(Bytes::len).sum(), self.bytes_max)
    }

    fn take(&self, series: &[SelectedSeries]) -> Result<(), StoreError> {
        self.take_series(series.len())?;
        let chunks: usize = series.iter().map(|s| s.chunks.len()).sum();
        spend("chunks", &self.chunks, chunks, self.chunks_max)
    }

    /// Counts series whose labels alone are read. Fails when the limit is exceeded.
    pub(crate) fn take_series(&self, n: usize) -> Result<(), StoreError> {
        spend("series", &self.series, n, self.series_max)
    }
}

fn spend(what: &'static str, spent: &AtomicU64, n: usize, limit: u64) -> Result<(), StoreError> {
    let got = spent.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
    if limit > 0 && got > limit { Err(StoreError::Limit { what, limit, got }) } else { Ok(()) }
}

/// The selection of one block. It yields series with the labels that they are sent with, in the order of these labels.
pub(crate) struct BlockJob {
    pub(crate) block: Arc<BucketBlock>,
    pub(crate) select: Select,
    pub(crate) shard: Option<SeriesShard>,
    pub(crate) aggregates: Arc<[Aggregate]>,
    pub(crate) budget: Arc<Budget>,
    /// Number of series that may still be sent.
    pub(crate) left: usize,
    /// Cache entry for the postings that the matchers select; `None` when they are not cached.
    pub(crate) kept: Option<Kept>,
    /// Cache entry for the selected series themselves, which are cached when they are few.
    pub(crate) kept_series: Option<Kept>,
    /// The call that is charged for the memory of fetched and yielded data.
    pub(crate) call: Arc<Call>,
    /// Whether little work is expected, so that the calling thread does it.
    pub(crate) is_light: bool,
    /// The ranges of a mapped block that the next step reads.
    pub(crate) read: Vec<FileRange>,
}

/// An entry of the postings cache, present or to be filled.
pub(crate) struct Kept {
    pub(crate) cache: Arc<PostingsCache>,
    pub(crate) key: Key,
    pub(crate) tenant: String,
    pub(crate) was_asked: bool,
}

/// What a block's task sends. The last part is [`Part::End`] or [`Part::Fault`]; a channel that closes without one has
/// lost its sender.
pub(crate) enum Part {
    /// The next series, and the charge for their memory.
    Series(Vec<SelectedSeries>, Charge),
    /// The series that cannot be sent, with its labels if known, and why. Nothing of the block follows.
    Fault(Option<Labels>, StoreError),
    /// All wanted series of the block have been sent.
    End,
}

/// Index pages are released when a step has read at least this many bytes.
const RELEASED_BYTES: u64 = 128 << 10;

/// Limits of a light step: bytes that it reads and series that the matchers select.
const LIGHT_BYTES: usize = 256 << 10;
const LIGHT_SERIES: usize = 512;

enum Outcome {
    Fetch(Vec<FileRange>),
    /// The work is no longer light; the bytes are for the next step.
    Heavy(Vec<Bytes>),
    /// Series, and the last part if nothing follows them.
    Series(Vec<SelectedSeries>, Option<Part>),
}

impl BlockJob {
    /// Sends the block's series in order until they end, one fails, or the receiver is dropped.
    pub(crate) async fn drive(self, cpu: Cpu, out: Sender<Part>) {
        let (mut job, mut fetched) = (self, Vec::new());
        loop {
            let (block, given) = (job.block.id(), std::mem::take(&mut fetched));
            let is_light = job.is_light;
            let advance = move || {
                let outcome = job.advance(given);
                (job, outcome)
            };
            let step =
                if is_light { Cpu::run_here(advance) } else { cpu.run(Priority::Query, advance).await };
            let (series, last) = match step {
                Ok((same, outcome)) => {
                    job = same;
                    match outcome {
                        Outcome::Series(series, last) => (series, last),
                        Outcome::Heavy(bytes) => {
                            fetched = bytes;
                            continue;
                        }
                        Outcome::Fetch(ranges) => match job.fetch(&ranges).await {
                            Ok(bytes) => {
                                fetched = bytes;
                                continue;
                            }
                            Err(error) => (Vec::new(), Some(Part::Fault(None, error))),
                        },
                    }
                }
                Err(source) => {
                    let fault = Part::Fault(None, StoreError::Reader { block, source: Box::new(source) });
                    return drop(out.send(fault).await);
                }
            };
            if !series.is_empty() {
                let part = match job.call.charge(bytes_of(&series)).await {
                    Ok(charge) => Part::Series(series, charge),
                    Err(error) => return drop(out.send(Part::Fault(None, error)).await),
                };
                if out.send(part).await.is_err() {
                    return;
                }
            }
            if let Some(last) = last {
                return drop(out.send(last).await);
            }
        }
    }

    /// Reads ranges over the network. Their bytes are charged until their last slice is dropped, and what is read between
    /// them until they are there.
    async fn fetch(&self, ranges: &[FileRange]) -> Result<Vec<Bytes>, StoreError> {
        let wanted: u64 = ranges.iter().map(|range| range.len).sum();
        let mut charge = self.call.charge(wanted.saturating_add(self.block.gap_bytes(ranges))).await?;
        let fetched = self.block.fetch(ranges).await?;
        charge.shrink_to(wanted);
        self.budget.take_bytes(&fetched)?;
        Ok(charge.put_on(fetched))
    }

    /// Runs steps until there are series to send or bytes to fetch.
    fn advance(&mut self, mut fetched: Vec<Bytes>) -> Outcome {
        self.ask_cache();
        loop {
            if self.is_light && self.is_much(&fetched) {
                self.is_light = false;
                return Outcome::Heavy(fetched);
            }
            let step = self.select.step(std::mem::take(&mut fetched));
            let read = std::mem::take(&mut self.read);
            self.release(&read);
            self.budget.add_reads(self.select.take_reads());
            // If a mapped file was cut meanwhile, the step may have read zeros, so its result is dropped.
            if let Err(error) = self.block.check() {
                return Outcome::Series(Vec::new(), Some(Part::Fault(None, error.into())));
            }
            self.fill_cache();
            match step {
                // A step that asks for no ranges pauses long work so that other tasks get their turn.
                Ok(Step::Fetch(ranges)) if ranges.is_empty() => return Outcome::Fetch(ranges),
                Ok(Step::Fetch(ranges)) => match self.block.read(&ranges) {
                    Some(Ok(bytes)) => {
                        if let Err(error) = self.budget.take_bytes(&bytes) {
                            return fail(error);
                        }
                        (fetched, self.read) = (bytes, ranges);
                    }
                    Some(Err(error)) => return fail(error.into()),
                    None => return Outcome::Fetch(ranges),
                },
                Ok(Step::Batch(batch)) => {
                    let mut series = batch.series;
                    if let Err(error) = self.budget.take(&series) {
                        return Outcome::Series(Vec::new(), Some(Part::Fault(None, error)));
                    }
                    let last = self.keep_wanted(&mut series);
                    if last.is_some() || !series.is_empty() {
                        return Outcome::Series(series, last);
                    }
                }
                Ok(Step::Done) => return Outcome::Series(Vec::new(), Some(Part::End)),
                Err(error) => return fail(error.into()),
            }
        }
    }

    /// Whether a step on these bytes is too long for light work.
    fn is_much(&self, fetched: &[Bytes]) -> bool {
        fetched.iter().map(Bytes::len).sum::<usize>() > LIGHT_BYTES
            || self.select.postings().is_some_and(|postings| postings.len() > LIGHT_SERIES)
    }

    /// Looks up the cache for the selected series or, failing that, for their postings.
    fn ask_cache(&mut self) {
        if let Some(kept) = self.kept_series.as_mut().filter(|kept| !kept.was_asked) {
            kept.was_asked = true;
            if let Some(series) = kept.cache.get_series(&kept.key, &self.block, &kept.tenant) {
                self.select.set_kept(&series);
                (self.kept_series, self.kept) = (None, None);
                return;
            }
            if kept.cache.was_asked(&kept.key) {
                self.select.keep();
            }
        }
        let Some(kept) = self.kept.as_mut().filter(|kept| !kept.was_asked) else { return };
        kept.was_asked = true;
        if let Some(postings) = kept.cache.get(&kept.key, &self.block, &kept.tenant) {
            self.select.set_postings(postings);
            self.kept = None;
        }
    }

    /// Puts the selected postings, and the series if they are few, into the cache once they are known.
    fn fill_cache(&mut self) {
        if let Some(series) = self.select.take_kept()
            && let Some(kept) = self.kept_series.take()
        {
            kept.cache.put_series(kept.key, &self.block, series);
        }
        if let Some(postings) = self.select.postings()
            && let Some(kept) = self.kept.take()
        {
            kept.cache.put(kept.key, &self.block, postings);
        }
    }

    /// Releases the pages of the index between the first and the last range read, if many bytes were read.
    fn release(&self, read: &[FileRange]) {
        let mut parts = read.iter().filter(|range| range.file == BlockFile::Index);
        let bytes: u64 = parts.clone().map(|range| range.len).sum();
        if let Some(block) = self.block.mapped()
            && bytes >= RELEASED_BYTES
            && let Some(first) = parts.next()
        {
            let end = parts.map(|range| range.end()).max().unwrap_or(0).max(first.end());
            block.release(&FileRange { len: end.saturating_sub(first.start), ..*first });
        }
    }

    /// Keeps the series of the shard, up to the limit and up to the first series that cannot be sent. Returns the last
    /// part when nothing more is to be read.
    fn keep_wanted(&mut self, series: &mut Vec<SelectedSeries>) -> Option<Part> {
        if let Some(shard) = &self.shard {
            let mut buffer = Vec::new();
            series.retain(|s| shard.holds(&s.labels, &mut buffer));
        }
        series.truncate(self.left);
        let fault = series.iter().enumerate().find_map(|(i, series)| Some((i, self.fault(series)?)));
        if let Some((i, error)) = fault {
            let at = series[i].labels.clone();
            series.truncate(i);
            return Some(Part::Fault(Some(at), error));
        }
        self.left -= series.len();
        (self.left == 0).then_some(Part::End)
    }

    /// The error of a series that cannot be sent.
    fn fault(&self, series: &SelectedSeries) -> Option<StoreError> {
        let checked = series.chunks.iter().try_for_each(|chunk| check_aggregates(chunk, &self.aggregates));
        let (block, labels) = (self.block.id(), || series.labels.clone());
        checked.err().map(|source| StoreError::Chunk { block, labels: labels(), source })
    }
}

/// Approximate memory of series without their chunk data, which lie in fetched or mapped bytes.
fn bytes_of(series: &[SelectedSeries]) -> u64 {
    let of = |series: &SelectedSeries| 64 + series.labels.bytes() + 64 * series.chunks.len();
    series.iter().map(of).sum::<usize>() as u64
}

/// The outcome of an error, which names the series at fault if it is known.
fn fail(error: StoreError) -> Outcome {
    Outcome::Series(Vec::new(), Some(Part::Fault(error.series().cloned(), error)))
}
