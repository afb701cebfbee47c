//! Reads a block once from front to back: series in label order, with their strings as numbers that several blocks
//! share, and their chunks as records in the fetched bytes.

mod batch;
mod ready;
mod symbols;

use std::sync::Arc;

use tithon_chunks::{ChunkMeta, TimeRange};
use tithon_index::{HealthCheck, IndexError, SeriesEntry, SymbolRef};

use crate::BlockError;
use crate::entries::{ENTRIES_AT_ONCE, Entries, all_series};
use crate::input::InputBlock;
use crate::records::{Records, chunk_kind};

pub(crate) use self::batch::{Batch, ChunkSlice, Pair, Record};

pub(crate) use self::ready::ReadyChunks;
pub(crate) use self::symbols::{SymbolMap, SymbolUnion};

use self::batch::Columns;

/// A source that is being read.
pub(crate) struct Scan<'a> {
    source: InputBlock<'a>,
    symbols: SymbolMap,
    range: TimeRange,
    /// `None` before the list of all series has been read.
    entries: Option<Entries>,
    /// Series whose entries have been read.
    pending: Columns,
    /// How many of the pending series have been returned.
    taken: usize,
    /// Counts the faults of all entries, if the index is to be checked.
    check: Option<HealthCheck<SymbolRef>>,
}

impl<'a> Scan<'a> {
    /// All series with samples inside `range`; `symbols` are those of the source.
    pub(crate) fn new(source: InputBlock<'a>, symbols: SymbolMap, range: TimeRange) -> Scan<'a> {
        let (version, meta) = (source.header.version(), &source.meta);
        let check = source.accept.is_some().then(|| HealthCheck::new(version, meta.min_time, meta.max_time));
        Scan { source, symbols, range, entries: None, pending: Columns::default(), taken: 0, check }
    }

    /// The next series, with deletions applied; `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Batch>, BlockError> {
        loop {
            if self.taken == self.pending.len() && !self.read_entries()? {
                self.judge()?;
                return Ok(None);
            }
            let n = self.series_at_once();
            let columns = self.pending.part(self.taken..self.taken + n);
            self.taken += n;
            let batch = self.read_chunks(columns)?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
    }

    /// Called at the end: fails if the index is refused.
    fn judge(&mut self) -> Result<(), BlockError> {
        let (Some(check), Some(accept)) = (self.check.take(), &self.source.accept) else { return Ok(()) };
        let health = check.finish();
        match accept(&health) {
            true => Ok(()),
            false => Err(BlockError::Unhealthy { block: self.source.meta.ulid, health: Box::new(health) }),
        }
    }

    /// Reads entries into `pending`; returns whether there were any.
    fn read_entries(&mut self) -> Result<bool, BlockError> {
        let mut entries = match self.entries.take() {
            Some(entries) => entries,
            None => {
                let mut entries = Entries::new(&self.source.meta, Arc::clone(&self.source.header));
                entries.set_postings(all_series(&mut self.source)?);
                entries
            }
        };
        self.taken = 0;
        self.pending.clear();
        let mut missing = entries.ask(ENTRIES_AT_ONCE);
        while !missing.is_empty() {
            let fetched = self.source.fetch(&missing)?;
            missing = entries.accept(fetched)?;
        }
        self.decode_entries(&entries)?;
        Ok(!self.entries.insert(entries).batch().is_empty())
    }

    fn decode_entries(&mut self, entries: &Entries) -> Result<(), BlockError> {
        let block = self.source.meta.ulid;
        let mut entry = SeriesEntry::default();
        let decoded = if self.check.is_some() { TimeRange::ALL } else { self.range };
        for (i, id) in entries.batch().iter().enumerate() {
            entries.decode(i, decoded, &mut entry)?;
            self.shared_symbols(&mut entry.labels).map_err(BlockError::index(block))?;
            if let Some(check) = &mut self.check {
                let offset = self.source.header.series_offset(*id);
                check.add(offset, &entry.labels, &entry.chunks).map_err(BlockError::index(block))?;
                entry.chunks.retain(|chunk| self.range.overlaps(chunk.range()));
            }
            let deleted = self.source.tombstones.of(u64::from(id.0));
            if !deleted.is_empty() {
                entry.chunks.retain(|c| !deleted.iter().any(|d| d.covers(c.range())));
            }
            if entry.chunks.is_empty() {
                continue;
            }
            let by_time = |c: &ChunkMeta| (c.min_time, c.max_time);
            if !entry.chunks.is_sorted_by_key(by_time) {
                entry.chunks.sort_by_key(by_time);
            }
            self.put_right(&mut entry.labels);
            self.pending.push(*id, &entry.labels, &entry.chunks);
        }
        Ok(())
    }

    /// Replaces the block's own numbers of strings by the shared numbers.
    fn shared_symbols(&self, labels: &mut [Pair]) -> Result<(), IndexError> {
        for (name, value) in labels {
            (*name, *value) = (self.symbols.get(*name)?, self.symbols.get(*value)?);
        }
        Ok(())
    }

    /// Sorts labels that a malformed index has out of order, and removes empty ones.
    fn put_right(&self, labels: &mut Vec<Pair>) {
        if let Some(empty) = self.symbols.empty() {
            labels.retain(|(_, value)| *value != empty);
        }
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            labels.sort_by_key(|(name, _)| *name);
        }
    }

    /// How many pending series have chunks that fit one fetch, judged by the distances between the chunks; at least
    /// one.
    fn series_at_once(&self) -> usize {
        let (mut bytes, estimate) = (0, chunk_kind(&self.source.meta).estimate);
        let mut last: Option<u64> = None;
        for (n, chunks) in self.pending.chunks_from(self.taken).enumerate() {
            for chunk in chunks {
                let at = chunk.chunk_ref.0;
                bytes += last.and_then(|last| at.checked_sub(last)).map_or(estimate, |d| d.min(estimate));
                last = Some(at);
            }
            if bytes > self.source.chunk_bytes && n > 0 {
                return n;
            }
        }
        self.pending.len() - self.taken
    }

    fn read_chunks(&mut self, columns: Columns) -> Result<Batch, BlockError> {
        let block = self.source.meta.ulid;
        let kind = chunk_kind(&self.source.meta);
        let places = columns.chunks().iter().map(|chunk| kind.chunk_place(chunk, None)).collect();
        let mut records = Records::new(block, kind, places);
        let mut missing = records.ranges();
        while !missing.is_empty() {
            let fetched = self.source.fetch(&missing)?;
            missing = records.accept(fetched)?;
        }
        let found = (0..columns.chunks().len())
            .map(|i| records.find(i).map(|(slot, range)| Record::new(slot, range)))
            .collect::<Result<Vec<_>, _>>()?;
        let batch = Batch::new(block, columns, found, records.into_fetched());
        if batch.is_untouched(&self.source.tombstones, self.range) {
            return Ok(batch);
        }
        batch.trimmed(&self.source.tombstones, self.range)
    }
}

/// A batch that several rounds of a merge may hold.
pub(crate) type SharedBatch = Arc<Batch>;
