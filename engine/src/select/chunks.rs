//! Cuts chunks out of fetched bytes on many threads.

use bytes::Bytes;
use rayon::prelude::*;
use tithon_chunks::EncodedChunk;

use super::{Pending, Phase, Select, Step};
use crate::records::Records;
use crate::{BlockError, BlockFile, SelectedSeries, record, trim};

/// The least number of series whose chunks one thread cuts.
const CUT_TOGETHER: usize = 64;
/// Up to this many chunks are cut by the calling thread: other threads would not be faster.
const FEW_CHUNKS: usize = 1024;

impl Select {
    /// Cuts the chunks out of the fetched bytes, on as many threads as the pool has; `None` if deletions left no sample
    /// of any series.
    pub(super) fn batch(&mut self, series: Vec<Pending>, records: &Records) -> Option<Step> {
        let mut first = 0;
        let with_first = |pending: Pending| {
            let at = first;
            first += pending.chunks.len();
            (pending, at)
        };
        let mut series: Vec<(Pending, usize)> = series.into_iter().map(with_first).collect();
        // Of several damaged chunks, the first in the order of the answer is reported, whichever thread found it.
        let cut: Vec<(Vec<SelectedSeries>, Option<BlockError>)> = match first <= FEW_CHUNKS {
            true => vec![self.cut_part(&mut series, records)],
            false => series.par_chunks_mut(CUT_TOGETHER).map(|part| self.cut_part(part, records)).collect(),
        };
        let mut selected: Vec<SelectedSeries> = Vec::with_capacity(series.len());
        for (part, fault) in cut {
            selected.extend(part);
            if fault.is_some() {
                self.pending.clear();
                self.order = None;
                self.end_at(fault);
                self.phase = Phase::Between;
                break;
            }
        }
        (!selected.is_empty()).then(|| self.yield_batch(selected))
    }

    /// Series with their chunks, up to the first damaged one; each is given with the number of its first record. Series
    /// without samples are left out.
    fn cut_part(
        &self,
        part: &mut [(Pending, usize)],
        records: &Records,
    ) -> (Vec<SelectedSeries>, Option<BlockError>) {
        let mut fetched = Fetched::default();
        let mut cut = Vec::with_capacity(part.len());
        for (pending, first) in part {
            let labels = std::mem::take(&mut pending.labels);
            match self.cut_chunks(pending, *first, records, &mut fetched) {
                Ok(chunks) if chunks.is_empty() => {}
                Ok(chunks) => cut.push(SelectedSeries { labels, chunks }),
                Err(source) => {
                    return (cut, Some(BlockError::InSeries { labels, source: Box::new(source) }));
                }
            }
        }
        (cut, None)
    }

    fn cut_chunks(
        &self,
        pending: &Pending,
        first: usize,
        records: &Records,
        fetched: &mut Fetched,
    ) -> Result<Vec<EncodedChunk>, BlockError> {
        let deleted = self.tombstones.of(u64::from(pending.id.0));
        let mut chunks = Vec::with_capacity(pending.chunks.len());
        for (i, meta) in pending.chunks.iter().enumerate() {
            let (slot, place) = records.find(first + i)?;
            let fetched = fetched.slot(records, slot);
            let offset = u64::from(meta.chunk_ref.offset());
            let at_fault = |source| BlockError::Chunk {
                block: self.block,
                file: BlockFile::Segment(meta.chunk_ref.segment()),
                offset,
                source,
            };
            let (encoding, data) = record::verified(&fetched[place], offset).map_err(at_fault)?;
            let chunk = EncodedChunk {
                encoding,
                min_time: meta.min_time,
                max_time: meta.max_time,
                data: fetched.slice_ref(data),
            };
            chunks.extend(trim::without(chunk, deleted).map_err(at_fault)?);
        }
        Ok(chunks)
    }
}

/// The slot of [`Records`] that was cut last, with its own reference count: threads that all used the count of the
/// mapped file would wait for each other at every chunk.
#[derive(Default)]
struct Fetched(Option<(usize, Bytes)>);

impl Fetched {
    fn slot(&mut self, records: &Records, slot: usize) -> &Bytes {
        let counted = || (slot, Bytes::from_owner(records.slot(slot).clone()));
        match &mut self.0 {
            Some((held, _)) if *held != slot => self.0 = Some(counted()),
            _ => {}
        }
        &self.0.get_or_insert_with(counted).1
    }
}
