//! Selects the series that match, and their chunks: a state machine without I/O.
//!
//! [`Select::step`] asks for byte ranges and takes their bytes, until it returns batches of series, with the labels and
//! in the order in which they are sent. A caller with a mapped block returns slices; a caller with object storage
//! fetches the ranges. There are at least three rounds: postings, series entries, chunks; the last two are repeated for
//! every batch.

mod chunks;
mod decode;
mod kept;
mod labels;
mod reads;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tithon_chunks::{ChunkMeta, ChunkRef, TimeRange};
use tithon_index::{
    IndexError, IndexHeader, Labels, Matcher, Planning, Postings, PostingsPlan, Relabel, SeriesRef, SymbolRef,
};

use crate::entries::{ENTRIES_AT_ONCE, Entries, index_range};
use crate::records::{Kind, Records, chunk_kind};
use crate::{BlockError, BlockId, BlockMeta, FileRange, Order, SelectedSeries, SeriesBatch, Tombstones};

use self::kept::Keeping;
pub use self::kept::KeptSeries;
pub use self::labels::{LabelRequest, LabelSelect, LabelStep};
pub use self::reads::{ReadBytes, Reads};

/// The selection to make.
#[derive(Clone, Debug)]
pub struct SelectRequest {
    /// Conditions that a series must all satisfy; an empty list selects every series.
    pub matchers: Vec<Matcher>,
    /// The chunks that share a millisecond with this range are selected, and the series that have such chunks.
    pub range: TimeRange,
    /// Return only labels.
    pub skip_chunks: bool,
    /// The most series to return, the first in the order of the index; 0 means no limit.
    pub limit: usize,
    /// Labels to add to all series, and labels to remove.
    pub relabel: Relabel,
}

impl SelectRequest {
    /// All series and chunks that share a millisecond with `range` and satisfy `matchers`, with the labels of the index.
    pub fn new(matchers: Vec<Matcher>, range: TimeRange) -> SelectRequest {
        SelectRequest { matchers, range, skip_chunks: false, limit: 0, relabel: Relabel::default() }
    }
}

/// The next need or result of a selection.
#[derive(Debug)]
pub enum Step {
    /// Hand the bytes of these ranges to the next step, in this order.
    Fetch(Vec<FileRange>),
    /// The next series; pass no bytes to the next step.
    Batch(SeriesBatch),
    /// There are no more series.
    Done,
}

/// The number of chunks that are fetched at once, unless one series alone has more.
const BATCH_CHUNKS: usize = 16_384;
/// The lower limits of [`Select::in_smaller_batches`] for series and chunks.
const BATCH_SERIES_MIN: usize = 256;
const BATCH_CHUNKS_MIN: usize = 1024;

/// For up to this many series it is looked up where their entries end; those of more lie close together.
const FEW_SERIES: usize = 4096;

/// A selection from one block.
pub struct Select {
    block: BlockId,
    header: Arc<IndexHeader>,
    tombstones: Arc<Tombstones>,
    request: SelectRequest,
    entries: Entries,
    chunks: Kind,
    /// Series whose place in the order is not certain yet; `None` before the first entry was decoded.
    order: Option<Order<Pending>>,
    /// Labels of the last entry that was decoded.
    last_labels: Vec<(SymbolRef, SymbolRef)>,
    /// Series whose chunks are yet to be fetched.
    pending: VecDeque<Pending>,
    /// Number of series found, and number returned.
    found: usize,
    yielded: usize,
    /// The error of the series after the pending ones; returned when those have been returned and more are wanted.
    fault: Option<BlockError>,
    batch_series: usize,
    batch_chunks: usize,
    /// Number of series entries of the last batch.
    last_batch: usize,
    /// Ask for the next series entries together with chunks.
    reads_ahead: bool,
    /// Whether the series found are to be kept.
    keeping: Keeping,
    reads: Reads,
    phase: Phase,
}

/// A series known from its entry, with the labels that it is sent with.
struct Pending {
    id: SeriesRef,
    labels: Labels,
    chunks: Vec<ChunkMeta>,
    /// The chunk that is stored after the last of these, if one is known.
    behind: Option<ChunkRef>,
}

/// The input that the selection waits for.
enum Phase {
    Plan(Planning),
    Postings(PostingsPlan),
    Entries,
    Chunks {
        series: Vec<Pending>,
        records: Records,
        /// The next series entries are read with the chunks.
        with_entries: bool,
    },
    /// The next series entries have arrived.
    Decode,
    /// No read is pending.
    Between,
    Done,
}

impl Select {
    /// A selection from the block that `meta` and `header` describe.
    pub fn new(
        meta: &BlockMeta,
        header: Arc<IndexHeader>,
        tombstones: Arc<Tombstones>,
        request: SelectRequest,
    ) -> Select {
        Select {
            block: meta.ulid,
            entries: Entries::new(meta, Arc::clone(&header)),
            chunks: chunk_kind(meta),
            header,
            tombstones,
            request,
            order: None,
            last_labels: Vec::new(),
            pending: VecDeque::new(),
            found: 0,
            yielded: 0,
            fault: None,
            batch_series: ENTRIES_AT_ONCE,
            batch_chunks: BATCH_CHUNKS,
            last_batch: 0,
            reads_ahead: false,
            keeping: Keeping::No,
            reads: Reads::default(),
            phase: Phase::Plan(Planning::default()),
        }
    }

    /// Makes batches of 1 / `parts` of the usual size, for a caller that keeps batches of so many selections at once.
    pub fn in_smaller_batches(mut self, parts: usize) -> Select {
        self.batch_series = (ENTRIES_AT_ONCE / parts.max(1)).max(BATCH_SERIES_MIN);
        self.batch_chunks = (BATCH_CHUNKS / parts.max(1)).max(BATCH_CHUNKS_MIN);
        self
    }

    /// Reads the next series entries together with the chunks of the series before, which saves one round per batch,
    /// and looks at more of the index to ask for fewer bytes of chunks. For a caller whose reads take long.
    pub fn reading_ahead(mut self) -> Select {
        self.reads_ahead = true;
        if !self.request.skip_chunks {
            self.entries.look_behind();
        }
        self
    }

    /// Sets, before the first step, the series that satisfy the matchers, which are not looked up then.
    pub fn set_postings(&mut self, postings: Postings) {
        self.entries.set_postings(postings);
        self.phase = Phase::Between;
    }

    /// The series that satisfy the matchers, whether or not they have chunks in the range; `None` before they are
    /// known.
    pub fn postings(&self) -> Option<&Postings> {
        (!matches!(self.phase, Phase::Plan(_) | Phase::Postings(_))).then(|| self.entries.postings())
    }

    /// The bytes read since this was last asked.
    pub fn take_reads(&mut self) -> Reads {
        std::mem::take(&mut self.reads)
    }

    /// Advances the selection. `fetched` are the bytes of the ranges that the last step asked for; for a range that
    /// reaches behind the end of its file, they end with the file. A step that asks for no range is a pause in long
    /// work. After an error the selection has ended; the series before the one with the error have been returned.
    pub fn step(&mut self, fetched: Vec<Bytes>) -> Result<Step, BlockError> {
        let step = self.advance(fetched);
        if step.is_err() {
            self.phase = Phase::Done;
        }
        step
    }

    fn advance(&mut self, mut fetched: Vec<Bytes>) -> Result<Step, BlockError> {
        loop {
            let step = match std::mem::replace(&mut self.phase, Phase::Between) {
                Phase::Plan(planning) => self.plan(planning)?,
                Phase::Postings(plan) => {
                    let given = std::mem::take(&mut fetched);
                    let bytes = given.iter().map(|bytes| bytes.len() as u64).sum();
                    self.reads.postings += ReadBytes { fetched: bytes, touched: bytes };
                    self.set_found(&plan, &given).map_err(BlockError::index(self.block))?;
                    None
                }
                Phase::Entries => {
                    let missing = self.entries.accept(std::mem::take(&mut fetched))?;
                    if missing.is_empty() {
                        self.reads.series += self.entries.read();
                    }
                    self.phase = if missing.is_empty() { Phase::Decode } else { Phase::Entries };
                    (!missing.is_empty()).then_some(Step::Fetch(missing))
                }
                Phase::Chunks { series, mut records, with_entries } => {
                    let mut chunks = std::mem::take(&mut fetched);
                    let entries = chunks.split_off(records.n_asked().min(chunks.len()));
                    let mut missing = records.accept(chunks)?;
                    if with_entries {
                        missing.extend(self.entries.accept(entries)?);
                    }
                    if missing.is_empty() {
                        self.reads.chunks += records.read();
                        if with_entries {
                            self.reads.series += self.entries.read();
                        }
                        self.phase = if with_entries { Phase::Decode } else { Phase::Between };
                        self.batch(series, &records)
                    } else {
                        self.phase = Phase::Chunks { series, records, with_entries };
                        Some(Step::Fetch(missing))
                    }
                }
                Phase::Decode => {
                    self.decode_entries()?;
                    None
                }
                Phase::Between => self.next_fetch()?,
                Phase::Done => {
                    self.phase = Phase::Done;
                    Some(Step::Done)
                }
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    fn plan(&mut self, mut planning: Planning) -> Result<Option<Step>, BlockError> {
        let more = planning.step(&self.header, &self.request.matchers);
        if more.map_err(BlockError::index(self.block))? {
            self.phase = Phase::Plan(planning);
            return Ok(Some(Step::Fetch(Vec::new())));
        }
        let plan = planning.finish(&self.header, 0);
        let plan = plan.map_err(BlockError::index(self.block))?;
        let ranges: Vec<FileRange> = plan.ranges().iter().map(index_range).collect();
        self.phase = Phase::Postings(plan);
        Ok((!ranges.is_empty()).then_some(Step::Fetch(ranges)))
    }

    /// Takes the lists of the plan.
    fn set_found(&mut self, plan: &PostingsPlan, lists: &[Bytes]) -> Result<(), IndexError> {
        let found = plan.resolve(lists)?;
        let next = match self.reads_ahead && found.len() <= FEW_SERIES {
            true => plan.next_series(lists, &found)?,
            false => Vec::new(),
        };
        self.entries.set_postings_and_next(found, next);
        Ok(())
    }

    /// Between two rounds: the chunks of pending series, else the next entries, else the end.
    fn next_fetch(&mut self) -> Result<Option<Step>, BlockError> {
        let left = match self.request.limit {
            0 => usize::MAX,
            limit => limit - self.yielded,
        };
        if self.pending.is_empty()
            && self.entries.is_exhausted()
            && let Some(order) = &mut self.order
        {
            order.finish(&mut self.pending);
        }
        if left > 0
            && self.pending.is_empty()
            && let Some(fault) = self.fault.take()
        {
            return Err(fault);
        }
        if left == 0 || (self.pending.is_empty() && self.entries.is_exhausted()) {
            self.phase = Phase::Done;
            return Ok(None);
        }
        if self.pending.is_empty() {
            // With a limit, no more entries are read than series are wanted, except if some series have no chunk in the
            // range.
            let ranges = self.ask_entries(left);
            self.phase = Phase::Entries;
            return Ok(Some(Step::Fetch(ranges)));
        }
        let series = self.take_pending(left);
        if self.request.skip_chunks {
            let series = series.into_iter().map(|s| SelectedSeries { labels: s.labels, chunks: Vec::new() });
            return Ok(Some(self.yield_batch(series.collect())));
        }
        let places = series.iter().flat_map(|series| {
            let next = series.chunks.iter().skip(1).map(|chunk| Some(chunk.chunk_ref)).chain([series.behind]);
            series.chunks.iter().zip(next).map(|(chunk, next)| self.chunks.chunk_place(chunk, next))
        });
        let records = Records::new(self.block, self.chunks, places.collect());
        let mut ranges = records.ranges();
        // With a limit, only data that is certainly wanted is read.
        let with_entries = self.reads_ahead
            && self.request.limit == 0
            && self.pending.is_empty()
            && !self.entries.is_exhausted();
        if with_entries {
            ranges.extend(self.ask_entries(left));
        }
        self.phase = Phase::Chunks { series, records, with_entries };
        Ok(Some(Step::Fetch(ranges)))
    }

    /// Asks for the next entries, when `left` more series are wanted.
    fn ask_entries(&mut self, left: usize) -> Vec<FileRange> {
        self.last_batch = left.max(self.last_batch.saturating_mul(2)).min(self.batch_series);
        self.entries.ask(self.last_batch)
    }

    /// The first pending series, as many as fit one fetch of chunks.
    fn take_pending(&mut self, most: usize) -> Vec<Pending> {
        let mut series: Vec<Pending> = Vec::new();
        let mut n_chunks = 0;
        while let Some(next) = self.pending.front() {
            n_chunks += next.chunks.len();
            if series.len() == most || (!series.is_empty() && n_chunks > self.batch_chunks) {
                break;
            }
            series.extend(self.pending.pop_front());
        }
        series
    }

    /// Stops after the pending series: the next one has an error.
    fn end_at(&mut self, fault: Option<BlockError>) {
        self.fault = fault;
        self.entries.stop();
    }

    fn yield_batch(&mut self, series: Vec<SelectedSeries>) -> Step {
        self.yielded += series.len();
        Step::Batch(SeriesBatch { series })
    }
}
