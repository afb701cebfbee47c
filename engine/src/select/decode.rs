//! Decodes series entries on many threads: which series follow, with their labels and chunks.

use rayon::prelude::*;
use tithon_chunks::{ChunkMeta, TimeRange};
use tithon_index::{SeriesDecoder, SeriesEntry, SeriesRef, SymbolRef};

use super::{Pending, Select};
use crate::{BlockError, Disorder, Order};

/// A range that holds no chunk.
const NO_CHUNKS: TimeRange = TimeRange::new(i64::MAX, i64::MIN);
/// The number of series entries that one thread decodes at a time.
const DECODED_TOGETHER: usize = 256;

/// The result of one thread's decoding.
struct DecodedPart {
    /// Each series with the number of labels that it shares with the one before, and the number of labels that decide
    /// its place.
    series: Vec<(Pending, usize, usize)>,
    /// The number of labels that the entries after the last series share with it and each other.
    shared_behind: usize,
    last_labels: Vec<(SymbolRef, SymbolRef)>,
    fault: Option<BlockError>,
}

impl Select {
    /// Whether enough series were found. With deletions this is known only later: some of the series may have no sample
    /// left.
    fn has_all_wanted(&self) -> bool {
        self.request.limit > 0 && self.found >= self.request.limit && self.tombstones.is_empty()
    }

    /// Queues the series that have a chunk in the range with samples that are not deleted. Entries are decoded on as
    /// many threads as the pool has.
    pub(super) fn decode_entries(&mut self) -> Result<(), BlockError> {
        let mut order = match self.order.take() {
            Some(order) => order,
            None => {
                let disorder = Disorder::of_block(&self.request.relabel, &self.header);
                Order::new(disorder.map_err(BlockError::index(self.block))?, |series: &Pending| {
                    &series.labels
                })
            }
        };
        let (ids, keeps) = (self.entries.batch(), self.keeps());
        let range = if keeps { TimeRange::ALL } else { self.request.range };
        let decode = |(part, ids)| self.decode_part(order.disorder(), range, part * DECODED_TOGETHER, ids);
        let decoded: Vec<DecodedPart> = match ids.len() <= DECODED_TOGETHER {
            true => vec![decode((0, ids))],
            false => ids.par_chunks(DECODED_TOGETHER).enumerate().map(decode).collect(),
        };
        for part in decoded {
            for (series, shared, leading) in part.series {
                if self.has_all_wanted() {
                    break;
                }
                order.share(shared);
                order.push(series, leading, &mut self.pending);
                self.found += 1;
            }
            order.share(part.shared_behind);
            self.last_labels = part.last_labels;
            let all_wanted = self.has_all_wanted();
            if all_wanted || part.fault.is_some() {
                order.finish(&mut self.pending);
                self.end_at(part.fault.filter(|_| !all_wanted));
                break;
            }
        }
        if keeps {
            order.finish(&mut self.pending);
            self.keep_pending();
        }
        self.order = Some(order);
        Ok(())
    }

    /// Decodes the entries of `ids` with their chunks in `range`, up to the first damaged one. The first id is series
    /// `first` of the batch.
    fn decode_part(
        &self,
        disorder: &Disorder,
        range: TimeRange,
        first: usize,
        ids: &[SeriesRef],
    ) -> DecodedPart {
        let relabel = self.request.relabel.clone();
        let mut decoder = SeriesDecoder::for_some(&self.header, relabel, ids.len());
        let mut entry = SeriesEntry::default();
        let mut part = DecodedPart {
            series: Vec::with_capacity(ids.len()),
            shared_behind: usize::MAX,
            last_labels: Vec::new(),
            fault: None,
        };
        let needs_shared = !matches!(disorder, Disorder::Nowhere | Disorder::Anywhere);
        if needs_shared {
            match first.checked_sub(1) {
                // If that entry is damaged, the part before reports the error.
                Some(before) if self.entries.decode(before, NO_CHUNKS, &mut entry).is_ok() => {
                    part.last_labels.clone_from(&entry.labels);
                }
                Some(_) => {}
                None => part.last_labels.clone_from(&self.last_labels),
            }
        }
        for (i, id) in ids.iter().enumerate() {
            let decoded = self.entries.decode(first + i, range, &mut entry);
            let series = decoded.and_then(|()| self.pending(*id, disorder, &mut decoder, &mut entry));
            if needs_shared && series.is_ok() {
                let same = part.last_labels.iter().zip(&entry.labels).take_while(|(a, b)| a == b).count();
                part.shared_behind = part.shared_behind.min(same);
                part.last_labels.clone_from(&entry.labels);
            }
            match series {
                Ok(Some((series, leading))) => {
                    let shared = std::mem::replace(&mut part.shared_behind, usize::MAX);
                    part.series.push((series, shared, leading));
                }
                Ok(None) => {}
                Err(fault) => {
                    part.fault = Some(fault);
                    break;
                }
            }
        }
        part
    }

    /// The series of an entry, and the number of labels that decide with which series it can change places; `None` if
    /// all its samples in the range are deleted or missing.
    fn pending(
        &self,
        id: SeriesRef,
        disorder: &Disorder,
        decoder: &mut SeriesDecoder<'_>,
        entry: &mut SeriesEntry,
    ) -> Result<Option<(Pending, usize)>, BlockError> {
        let deleted = self.tombstones.of(u64::from(id.0));
        if !deleted.is_empty() {
            let is_left = |c: &ChunkMeta| !deleted.iter().any(|d| d.covers(c.range()));
            let behind_last = entry.chunks.iter().rposition(is_left).map_or(0, |last| last + 1);
            entry.behind = entry.chunks.get(behind_last).map(|chunk| chunk.chunk_ref).or(entry.behind);
            entry.chunks.retain(is_left);
        }
        if entry.chunks.is_empty() {
            return Ok(None);
        }
        entry.chunks.sort_by_key(|c| (c.min_time, c.max_time));
        let labels = decoder.labels(entry).map_err(BlockError::index(self.block))?;
        let mut leading = entry.labels.len();
        if let Disorder::Before(first) = disorder {
            for (i, (name, _)) in entry.labels.iter().enumerate() {
                if decoder.symbol(*name).map_err(BlockError::index(self.block))? >= &**first {
                    leading = i;
                    break;
                }
            }
        }
        let chunks = entry.chunks.clone();
        Ok(Some((Pending { id, labels, chunks, behind: entry.behind }, leading)))
    }
}
