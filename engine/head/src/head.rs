//! The newest samples: series in memory behind a log.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tithon_chunks::TimeRange;
use tithon_engine::{BlockError, BlockId, BlockMeta, BlockWriter, Compaction, LabelRequest, MetaParts};
use tithon_index::Texts;

use crate::HeadError;
use crate::chunk::range_end;
use crate::counts::{CHUNK_BYTES, Counts, HeadStats, series_bytes};
use crate::index::Index;
use crate::options::HeadOptions;
use crate::replay::{Replayed, replay};
use crate::series::MemSeries;
use crate::wal::{Files, Keep, Wal, write_checkpoint};

/// The newest samples of a data directory. Appending, reading and truncating may go on at the same time; appenders take turns.
#[derive(Debug)]
pub struct Head {
    pub(crate) options: HeadOptions,
    writer: Mutex<Writer>,
    index: RwLock<Index>,
    pub(crate) counts: Counts,
}

/// What one appender at a time has.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) wal: Wal,
    /// The greatest number of a series that the log has.
    pub(crate) last_id: u64,
    /// Samples before it are in blocks, or too old.
    pub(crate) min_valid: i64,
    /// Series that left the head, with the last segment that may have samples of them.
    gone: BTreeMap<u64, u64>,
}

/// Half a range before the newest sample: older ones are not taken. Nothing, before the first sample.
pub(crate) fn window_start(max_time: i64, range_ms: i64) -> i64 {
    max_time.saturating_sub(range_ms / 2)
}

impl Head {
    /// Opens the log in `dir`, or begins one, and reads all series and samples from `min_valid` on, milliseconds. A damaged
    /// segment is cut behind its last good record and later ones are removed, as [`Replayed::repaired`] tells; a damaged
    /// checkpoint is an error.
    pub fn open(dir: &Path, min_valid: i64, options: HeadOptions) -> Result<(Head, Replayed), HeadError> {
        let (index, counts) = (Index::default(), Counts::default());
        let mut loaded = replay(dir, index, &counts, min_valid, options)?;
        let wal = Wal::create(dir, loaded.next_segment, options.wal)?;
        loaded.replayed.series = loaded.index.len();
        let writer = Writer { wal, last_id: loaded.last_id, min_valid, gone: BTreeMap::new() };
        let head = Head { options, writer: Mutex::new(writer), index: RwLock::new(loaded.index), counts };
        Ok((head, loaded.replayed))
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all that was appended durable.
    pub fn sync(&self) -> Result<(), HeadError> {
        Ok(self.writer().wal.sync()?)
    }

    /// What the head tells of itself now.
    pub fn stats(&self) -> HeadStats {
        let wal_segment = self.writer().wal.segment();
        let counts = &self.counts;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (min, max) = (counts.min_time.load(Ordering::Relaxed), counts.max_time.load(Ordering::Relaxed));
        HeadStats {
            series: self.index().len() as u64,
            chunks: count(&counts.chunks),
            bytes: count(&counts.bytes),
            min_time: (min <= max).then_some(min),
            max_time: (min <= max).then_some(max),
            floats: count(&counts.floats),
            histograms: count(&counts.histograms),
            out_of_order: count(&counts.out_of_order),
            out_of_bounds: count(&counts.out_of_bounds),
            duplicates: count(&counts.duplicates),
            series_created: count(&counts.series_created),
            series_removed: count(&counts.series_removed),
            chunks_created: count(&counts.chunks_created),
            chunks_removed: count(&counts.chunks_removed),
            wal_segment,
        }
    }

    /// The oldest range, from its first millisecond to the first one behind it, when the head spans more than one and a half of
    /// them: no sample will come into it any more. Prometheus `Head.compactable`.
    pub fn full_range(&self) -> Option<(i64, i64)> {
        let (min, max) =
            (self.counts.min_time.load(Ordering::Relaxed), self.counts.max_time.load(Ordering::Relaxed));
        let range = self.options.range_ms;
        (min <= max && max.saturating_sub(min) > (range / 2).saturating_mul(3))
            .then(|| (min, range_end(min, range)))
    }

    /// Writes the samples from `min` to before `max` as a block of `parent`; `None` when there is none. Nothing may be appended
    /// to that time any more, as [`Head::full_range`] says.
    pub fn write_block(
        &self,
        parent: &Path,
        id: BlockId,
        min: i64,
        max: i64,
    ) -> Result<Option<BlockMeta>, BlockError> {
        let (mut series, mut writer) = {
            let index = self.index();
            let series: Vec<Arc<MemSeries>> = index.all().cloned().collect();
            (series, BlockWriter::create_with_symbols(parent, id, index.symbols())?)
        };
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let range = TimeRange::new(min, max - 1);
        for one in series {
            let chunks = one.lock().chunks_in(range);
            assert!(chunks.iter().all(|chunk| range.covers(chunk.range())), "chunks end where ranges do");
            writer.add_series(&one.labels, &chunks)?;
        }
        let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
        writer.finish(MetaParts { min_time: min, max_time: max, compaction, thanos: None })
    }

    /// Drops all samples before `t`, which blocks have, and series without any. Readers that began before must be done.
    pub fn truncate(&self, t: i64) {
        let mut writer = self.writer();
        writer.min_valid = writer.min_valid.max(t);
        let (mut empty, mut min, mut chunks, mut bytes) = (Vec::new(), i64::MAX, 0, 0);
        {
            let index = self.index();
            for series in index.all() {
                let mut state = series.lock();
                let (dropped, dropped_bytes) = state.drop_before(t);
                chunks += dropped as u64;
                bytes += (dropped_bytes + dropped * CHUNK_BYTES) as u64;
                match state.min_time() {
                    Some(first) => min = min.min(first),
                    None => empty.push(Arc::clone(series)),
                }
            }
        }
        bytes += empty.iter().map(|series| series_bytes(series)).sum::<u64>();
        self.index_mut().remove(&empty);
        let segment = writer.wal.segment();
        writer.gone.extend(empty.iter().map(|series| (series.id, segment)));
        let counts = &self.counts;
        counts.series_removed.fetch_add(empty.len() as u64, Ordering::Relaxed);
        counts.chunks_removed.fetch_add(chunks, Ordering::Relaxed);
        counts.chunks.fetch_sub(chunks.min(counts.chunks.load(Ordering::Relaxed)), Ordering::Relaxed);
        counts.bytes.fetch_sub(bytes.min(counts.bytes.load(Ordering::Relaxed)), Ordering::Relaxed);
        let newest = window_start(counts.max_time.load(Ordering::Relaxed), self.options.range_ms);
        counts.min_time.store(min.min(newest).max(t), Ordering::Relaxed);
    }

    /// Makes a checkpoint of the older part of the log, without what is before `t`, and removes that part. Tells whether there
    /// was enough of it. Prometheus `Head.truncateWAL`.
    pub fn truncate_wal(&self, t: i64) -> Result<bool, HeadError> {
        let (dir, last, needed) = {
            let mut writer = self.writer();
            let dir = writer.wal.dir().to_owned();
            let last = writer.wal.next_segment()? - 1;
            let files = Files::of(&dir)?;
            let behind = files.checkpoints.last().map(|(number, _)| number + 1);
            let Some(&(first, _)) = files.segments_from(&dir, behind)?.first() else { return Ok(false) };
            let last = first + last.saturating_sub(first) * 2 / 3;
            if last <= first {
                return Ok(false);
            }
            writer.gone.retain(|_, segment| *segment > last);
            let needed: HashSet<u64> =
                self.index().all().map(|series| series.id).chain(writer.gone.keys().copied()).collect();
            (dir, last, needed)
        };
        let keep = Keep { series: &|id| needed.contains(&id), from_ms: t };
        write_checkpoint(&dir, last, &keep, self.options.wal)?;
        Ok(true)
    }

    /// Label names or values, ascending.
    pub fn labels(&self, request: &LabelRequest) -> Texts {
        let index = self.index();
        let mut found = Texts::default();
        if request.matchers.is_empty() {
            match &request.values_of {
                None => index.names().for_each(|name| found.push(name)),
                Some(label) => index.values(label).for_each(|value| found.push(value)),
            }
            return found;
        }
        let mut texts = std::collections::BTreeSet::new();
        let mut series = index.select(&request.matchers);
        drop(index);
        series.retain(|series| series.lock().has_chunk_in(request.range));
        for series in &series {
            match &request.values_of {
                None => texts.extend(series.labels.iter().map(|(name, _)| name)),
                Some(label) => texts.extend(series.labels.get(label)),
            }
        }
        texts.iter().for_each(|text| found.push(text));
        found
    }
}
