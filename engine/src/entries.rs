//! The series entries of a block's index, read in bounded batches. Selections, label queries, scans, verification,
//! digests and health checks all walk an index through [`Entries`].

use std::sync::Arc;

use bytes::Bytes;
use tithon_chunks::{ChunkRef, TimeRange};
use tithon_index::{IndexHeader, Matcher, Postings, PostingsPlan, SeriesEntry, SeriesRef};

use crate::input::InputBlock;
use crate::records::{Kind, Place, Records, estimate, usual_bytes};
use crate::{BlockError, BlockFile, BlockId, BlockMeta, FileRange, ReadBytes};

/// The number of entries that are usually read at once.
pub(crate) const ENTRIES_AT_ONCE: usize = 4096;

/// The number of bytes of entries that a walk over all series reads at once.
const WALK_BYTES: u64 = 4 << 20;

/// The most that an entry is expected to take, as in Thanos, bytes.
const ENTRY_BYTES: u64 = 65_536;

/// The least that is asked for an entry whose size is not known, bytes.
const ENTRY_BYTES_MIN: u64 = 128;

/// The most of the next entry that is read to see where its chunks begin, bytes: labels and one chunk.
const HEAD_BYTES: u64 = 256;

/// The most bytes between two entries.
const PADDING_BYTES: u64 = 15;

/// Reads the entries of a list of series, a batch at a time. It does no I/O: it returns the ranges of the index that it
/// needs, and takes their bytes.
pub(crate) struct Entries {
    block: BlockId,
    header: Arc<IndexHeader>,
    kind: Kind,
    /// The same with the beginning of the next entry.
    kind_with_head: Kind,
    postings: Postings,
    /// For each of the postings, a series whose entry lies behind its own; empty if none are known.
    next: Vec<Option<SeriesRef>>,
    /// How many of the postings have been asked for.
    asked: usize,
    /// The series of the current batch and their entries.
    batch: Vec<SeriesRef>,
    records: Records,
}

impl Entries {
    /// A reader for the block that `meta` and `header` describe; it has no series yet.
    pub(crate) fn new(meta: &BlockMeta, header: Arc<IndexHeader>) -> Entries {
        let [kind, kind_with_head] = entry_kinds(meta, &header);
        Entries {
            block: meta.ulid,
            header,
            kind,
            kind_with_head,
            postings: Postings::default(),
            next: Vec::new(),
            asked: 0,
            batch: Vec::new(),
            records: Records::new(meta.ulid, kind, Vec::new()),
        }
    }

    /// Reads so much behind each entry that the first chunk of the next one is usually seen, which tells where the last
    /// chunk of this one ends. For reads over a network, where this is less than what is saved of chunks.
    pub(crate) fn look_behind(&mut self) {
        self.kind = self.kind_with_head;
    }

    /// Begins to read the entries of these series.
    pub(crate) fn set_postings(&mut self, postings: Postings) {
        self.set_postings_and_next(postings, Vec::new());
    }

    /// The same, where for each series one is known whose entry lies behind its own. None of these must be right: what
    /// was too short is asked for again.
    pub(crate) fn set_postings_and_next(&mut self, postings: Postings, next: Vec<Option<SeriesRef>>) {
        (self.postings, self.next, self.asked) = (postings, next, 0);
    }

    /// The series to read, in the order of the index.
    pub(crate) fn postings(&self) -> &Postings {
        &self.postings
    }

    /// Number of series to read.
    pub(crate) fn n_series(&self) -> usize {
        self.postings.len()
    }

    /// Whether the entries of all series have been asked for.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.asked == self.postings.len()
    }

    /// Asks for no entry after the current batch.
    pub(crate) fn stop(&mut self) {
        self.asked = self.postings.len();
    }

    /// Begins the batch of the next `n` series, or fewer at the end; returns the ranges to fetch for it.
    pub(crate) fn ask(&mut self, n: usize) -> Vec<FileRange> {
        let from = self.asked;
        self.asked = self.postings.len().min(from.saturating_add(n));
        self.batch.clear();
        self.batch.extend(self.postings.iter().skip(from).take(self.asked - from));
        let next = |i: usize| self.next.get(from + i).copied().flatten();
        let places = self.batch.iter().enumerate().map(|(i, id)| self.place(*id, next(i)));
        self.records = Records::new(self.block, self.kind, places.collect());
        self.records.ranges()
    }

    /// The place of an entry, which ends at the latest where that of `next` begins.
    fn place(&self, id: SeriesRef, next: Option<SeriesRef>) -> Place {
        let (offset, Kind { estimate, behind, .. }) = (self.header.series_offset(id), self.kind);
        let size = next.and_then(|next| self.header.series_offset(next).checked_sub(offset));
        let expected = size.map_or(estimate, |size| size.saturating_add(behind).min(estimate));
        Place { file: BlockFile::Index, offset, expected }
    }

    /// Begins the batch of the next series whose entries lie within so many bytes, at least one series; for lists of
    /// all series, whose entries lie side by side.
    fn ask_within(&mut self, bytes: u64) -> Vec<FileRange> {
        let mut offsets = self.postings.iter().skip(self.asked).map(|id| self.header.series_offset(id));
        let first = offsets.next().unwrap_or_default();
        let n = 1 + offsets.take_while(|offset| offset.saturating_sub(first) < bytes).count();
        self.ask(n)
    }

    /// Takes the bytes of the ranges last asked for; returns the ranges still missing, none when the batch is complete.
    pub(crate) fn accept(&mut self, fetched: Vec<Bytes>) -> Result<Vec<FileRange>, BlockError> {
        self.records.accept(fetched)
    }

    /// The bytes read for the current batch.
    pub(crate) fn read(&self) -> ReadBytes {
        self.records.read()
    }

    /// The series of the current batch.
    pub(crate) fn batch(&self) -> &[SeriesRef] {
        &self.batch
    }

    /// Decodes the entry of series `i` of the current batch, with those of its chunks that share a millisecond with
    /// `range`. The chunk behind the last one of a series may be the next series' first one.
    pub(crate) fn decode(
        &self,
        i: usize,
        range: TimeRange,
        entry: &mut SeriesEntry,
    ) -> Result<(), BlockError> {
        let offset = self.header.series_offset(self.batch[i]);
        let (slot, place) = self.records.find(i)?;
        let (own, behind) = self.records.slot(slot)[place.start..].split_at(place.len());
        let size = entry.decode(own, offset, range).map_err(BlockError::index(self.block))?;
        if self.kind.behind > 0 && entry.behind.is_none() && !entry.chunks.is_empty() {
            entry.behind = self.first_chunk_in(offset.saturating_add(size as u64), behind);
        }
        Ok(())
    }

    /// The first chunk of the next entry behind offset `end` of the index, where `bytes` begin; `None` if they end
    /// before it.
    fn first_chunk_in(&self, end: u64, bytes: &[u8]) -> Option<ChunkRef> {
        let padding = usize::try_from(self.header.next_series_offset(end)?.checked_sub(end)?).ok()?;
        SeriesEntry::first_chunk(bytes.get(padding..)?)
    }
}

/// Visits all series of a block in the order of its index; deletions are not applied. `visit` is given the error of an
/// entry that cannot be decoded, and decides whether the walk goes on.
pub fn walk<E: From<BlockError>>(
    mut source: InputBlock<'_>,
    mut visit: impl FnMut(SeriesRef, Result<&SeriesEntry, BlockError>) -> Result<(), E>,
) -> Result<(), E> {
    let mut entries = Entries::new(&source.meta, Arc::clone(&source.header));
    entries.set_postings(all_series(&mut source)?);
    let mut entry = SeriesEntry::default();
    while !entries.is_exhausted() {
        let mut missing = entries.ask_within(WALK_BYTES);
        while !missing.is_empty() {
            let fetched = source.fetch(&missing)?;
            missing = entries.accept(fetched)?;
        }
        for (i, series) in entries.batch().iter().enumerate() {
            let decoded = entries.decode(i, TimeRange::ALL, &mut entry);
            visit(*series, decoded.map(|()| &entry))?;
        }
    }
    Ok(())
}

/// The list of all series of a block.
pub(crate) fn all_series(source: &mut InputBlock<'_>) -> Result<Postings, BlockError> {
    matching_series(source, &[])
}

/// The series of a block that satisfy all matchers.
pub(crate) fn matching_series(
    source: &mut InputBlock<'_>,
    matchers: &[Matcher],
) -> Result<Postings, BlockError> {
    let block = source.meta.ulid;
    let plan = PostingsPlan::new(&source.header, matchers, 0).map_err(BlockError::index(block))?;
    let ranges: Vec<FileRange> = plan.ranges().iter().map(index_range).collect();
    let fetched = source.fetch(&ranges)?;
    plan.resolve(&fetched).map_err(BlockError::index(block))
}

/// A range of the index file.
pub(crate) fn index_range(range: &std::ops::Range<u64>) -> FileRange {
    FileRange { file: BlockFile::Index, start: range.start, len: range.end.saturating_sub(range.start) }
}

/// How entries are read: alone, and with the beginning of the next one.
fn entry_kinds(meta: &BlockMeta, header: &IndexHeader) -> [Kind; 2] {
    let bounds = header.series_bounds();
    let (bytes, n) = (bounds.end.saturating_sub(bounds.start), header.n_series().ok().flatten().unwrap_or(0));
    // Not known in blocks that a Prometheus wrote.
    let largest = estimate(meta.thanos.as_ref().map_or(0, |t| t.index_stats.series_max_size), ENTRY_BYTES);
    let usual = usual_bytes(bytes, n, ENTRY_BYTES_MIN..=ENTRY_BYTES);
    let alone = Kind {
        what: "series entry",
        estimate: largest.unwrap_or(usual),
        behind: 0,
        size: |bytes| match SeriesEntry::size_hint(bytes) {
            Ok(size) => size.map(|n| n as u64),
            // The length field is malformed: decoding returns the error.
            Err(_) => Some(bytes.len() as u64),
        },
    };
    // Half of what is usual is twice the average. What is usual, other than the largest, has room for the next entry.
    let behind = (usual / 2).min(alone.estimate).min(HEAD_BYTES) + PADDING_BYTES;
    let room = if largest.is_some() { behind } else { 0 };
    [alone, Kind { estimate: alone.estimate + room, behind, ..alone }]
}
