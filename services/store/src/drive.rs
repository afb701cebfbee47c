//! Drives the selection from one block: its steps run on the CPU pool, or where they are asked for as long as they are few and
//! short; the reads in between are awaited, unless the block is mapped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tithon_bucket::BucketBlock;
use tithon_chunks::Aggregate;
use tithon_engine::{BlockFile, FileRange, Select, SelectedSeries, SeriesShard, Step};
use tithon_index::Labels;
use tithon_proto::check_aggregates;
use tithon_runtime::{Cpu, Priority};
use tokio::sync::mpsc::Sender;

use crate::StoreError;
use crate::memory::{Call, Charge};
use crate::postings_cache::{Key, PostingsCache};

/// The most that one request may select over all its blocks, and what it has selected so far.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    pub(crate) series_max: u64,
    pub(crate) chunks_max: u64,
    pub(crate) bytes_max: u64,
    series: AtomicU64,
    chunks: AtomicU64,
    bytes: AtomicU64,
}

impl Budget {
    /// A budget of so many series, chunks, and bytes of blocks; 0 is no limit.
    pub(crate) fn new(series_max: u64, chunks_max: u64, bytes_max: u64) -> Budget {
        Budget { series_max, chunks_max, bytes_max, ..Budget::default() }
    }

    /// Series and chunks that were selected so far.
    pub(crate) fn spent(&self) -> (u64, u64) {
        (self.series.load(Ordering::Relaxed), self.chunks.load(Ordering::Relaxed))
    }

    /// Counts bytes of a block that are read.
    pub(crate) fn take_bytes(&self, fetched: &[Bytes]) -> Result<(), StoreError> {
        spend("bytes", &self.bytes, fetched.iter().map(Bytes::len).sum(), self.bytes_max)
    }

    fn take(&self, series: &[SelectedSeries]) -> Result<(), StoreError> {
        self.take_series(series.len())?;
        let chunks: usize = series.iter().map(|s| s.chunks.len()).sum();
        spend("chunks", &self.chunks, chunks, self.chunks_max)
    }

    /// Counts series of which only labels are read.
    pub(crate) fn take_series(&self, n: usize) -> Result<(), StoreError> {
        spend("series", &self.series, n, self.series_max)
    }
}

fn spend(what: &'static str, spent: &AtomicU64, n: usize, limit: u64) -> Result<(), StoreError> {
    let got = spent.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
    if limit > 0 && got > limit { Err(StoreError::Limit { what, limit, got }) } else { Ok(()) }
}

/// The selection from one block: it yields series with the labels, and in the order, that they are sent with.
pub(crate) struct BlockJob {
    pub(crate) block: Arc<BucketBlock>,
    pub(crate) select: Select,
    pub(crate) shard: Option<SeriesShard>,
    pub(crate) aggregates: Arc<[Aggregate]>,
    pub(crate) budget: Arc<Budget>,
    /// How many more series are wanted.
    pub(crate) left: usize,
    /// Where to look for which series the matchers select, and to keep that.
    pub(crate) kept: Option<Kept>,
    /// The same for the series themselves, of which there may be few.
    pub(crate) kept_series: Option<Kept>,
    /// Is charged for what is fetched and yielded.
    pub(crate) call: Arc<Call>,
    /// Whether there is little to do, as far as is known: it is done by the thread that asks.
    pub(crate) is_light: bool,
    /// What the step that comes next reads of a mapped block.
    pub(crate) read: Vec<FileRange>,
}

/// A place in the cache of postings.
pub(crate) struct Kept {
    pub(crate) cache: Arc<PostingsCache>,
    pub(crate) key: Key,
    pub(crate) tenant: String,
    pub(crate) was_asked: bool,
}

/// What a block yields. The last part is [`Part::End`] or [`Part::Fault`]: a channel that closes without one has lost its
/// sender.
pub(crate) enum Part {
    /// The next series, and the charge for them.
    Series(Vec<SelectedSeries>, Charge),
    /// A series that cannot be sent, with its labels where they are known. Nothing of the block follows.
    Fault(Option<Labels>, StoreError),
    /// The block has been read as far as it is wanted.
    End,
}

/// Pages of the index are let go of where so many bytes were read in one round.
const RELEASED_BYTES: u64 = 128 << 10;

/// The most that one step of light work reads, and the most series that it selects.
const LIGHT_BYTES: usize = 256 << 10;
const LIGHT_SERIES: usize = 512;

enum Outcome {
    Fetch(Vec<FileRange>),
    /// There is more to do than it seemed. These bytes are for the next step.
    Heavy(Vec<Bytes>),
    /// Series, and what follows them if they are the last ones.
    Series(Vec<SelectedSeries>, Option<Part>),
}

impl BlockJob {
    /// Sends the block's series in order until they end, one fails, or nobody listens.
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

    /// Reads ranges over the network. What is read is charged until the last slice of it goes.
    async fn fetch(&self, ranges: &[FileRange]) -> Result<Vec<Bytes>, StoreError> {
        let charge = self.call.charge(ranges.iter().map(|range| range.len).sum()).await?;
        let fetched = self.block.fetch(ranges).await?;
        self.budget.take_bytes(&fetched)?;
        Ok(charge.put_on(fetched))
    }

    /// Goes on until there are series to send or bytes to wait for.
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
            // If a mapped file was cut meanwhile, the step read zeros, and its result does not count.
            if let Err(error) = self.block.check() {
                return Outcome::Series(Vec::new(), Some(Part::Fault(None, error.into())));
            }
            self.fill_cache();
            match step {
                // A step that asks for no ranges is a pause in long work, so that other tasks get their turn.
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

    /// Whether a step with these bytes takes longer than light work may.
    fn is_much(&self, fetched: &[Bytes]) -> bool {
        fetched.iter().map(Bytes::len).sum::<usize>() > LIGHT_BYTES
            || self.select.postings().is_some_and(|postings| postings.len() > LIGHT_SERIES)
    }

    /// Takes from the cache the series that the matchers select, or which they are.
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

    /// Keeps in the cache which series the matchers select, and few of them themselves, once that is known.
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

    /// Lets go of the pages of the index from the first to the last range read, where these are long.
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

    /// Keeps the series of the shard, no more than are wanted, and none from the first one on that cannot be sent. Returns
    /// the last part when nothing more is to be read.
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

    /// Why a series cannot be sent.
    fn fault(&self, series: &SelectedSeries) -> Option<StoreError> {
        let checked = series.chunks.iter().try_for_each(|chunk| check_aggregates(chunk, &self.aggregates));
        let (block, labels) = (self.block.id(), || series.labels.clone());
        checked.err().map(|source| StoreError::Chunk { block, labels: labels(), source })
    }
}

/// About the bytes that series take without the data of their chunks, which lie in what was fetched or mapped.
fn bytes_of(series: &[SelectedSeries]) -> u64 {
    let of = |series: &SelectedSeries| 64 + series.labels.bytes() + 64 * series.chunks.len();
    series.iter().map(of).sum::<usize>() as u64
}

/// Ends with a fault, behind the series before the one at fault where that is known.
fn fail(error: StoreError) -> Outcome {
    Outcome::Series(Vec::new(), Some(Part::Fault(error.series().cloned(), error)))
}
