//! Chunks of series ready to be written: copied records, and new records.

use tithon_chunks::{ChunkError, ChunkMeta, ChunkRef, Encoding, TimeRange, put_record};

use super::SharedBatch;
use super::batch::{Batch, ChunkSlice, Record, between};
use crate::writer::WrittenChunk;
use crate::{BlockError, BlockStats};

/// The initial capacity for new chunks, which suffices for most tasks, bytes.
const MADE_BYTES: usize = 128 << 10;

/// One chunk: its times, and the place of its record.
#[derive(Clone, Copy, Debug)]
struct ReadyChunk {
    meta: ChunkMeta,
    data_len: u32,
    /// The number of the batch in the round; `None` for new records.
    batch: Option<u32>,
    record: Record,
}

/// The chunks of some series, in order.
#[derive(Debug, Default)]
pub(crate) struct ReadyChunks {
    made: Vec<u8>,
    pieces: Vec<ReadyChunk>,
    ends: Vec<u32>,
    stats: BlockStats,
}

impl ReadyChunks {
    /// Appends a chunk that is copied from batch `number`; verifies its checksum.
    pub(crate) fn copy(
        &mut self,
        number: u32,
        batch: &Batch,
        meta: &ChunkMeta,
        record: Record,
    ) -> Result<(), BlockError> {
        let (encoding, data) = batch.chunk(meta, record)?;
        self.stats.count(encoding, data).map_err(|source| batch.at_fault(meta, source))?;
        let data_len = data.len() as u32;
        self.pieces.push(ReadyChunk { meta: *meta, data_len, batch: Some(number), record });
        Ok(())
    }

    /// Appends a chunk whose record is in batch `number` and has been verified.
    pub(crate) fn keep(&mut self, number: u32, chunk: &ChunkSlice<'_>) -> Result<(), ChunkError> {
        self.stats.count(chunk.encoding, chunk.data)?;
        let (batch, data_len) = (Some(number), chunk.data.len() as u32);
        self.pieces.push(ReadyChunk { meta: meta(chunk.range()), data_len, batch, record: chunk.record });
        Ok(())
    }

    /// Appends a new chunk.
    pub(crate) fn make(
        &mut self,
        encoding: Encoding,
        range: TimeRange,
        data: &[u8],
    ) -> Result<(), ChunkError> {
        self.stats.count(encoding, data)?;
        if self.made.capacity() == 0 {
            self.made.reserve(MADE_BYTES);
        }
        let start = self.made.len();
        put_record(encoding, data, &mut self.made);
        let record = Record::new(0, start..self.made.len());
        self.pieces.push(ReadyChunk { meta: meta(range), data_len: data.len() as u32, batch: None, record });
        Ok(())
    }

    /// Ends a series.
    pub(crate) fn end_series(&mut self) {
        self.ends.push(self.pieces.len() as u32);
    }

    /// Number of series that were ended.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Counts of the chunks' samples; series and chunks are not counted.
    pub(crate) fn stats(&self) -> &BlockStats {
        &self.stats
    }

    /// Sets `out` to the chunks of series `i`; `batches` are those of the round.
    pub(crate) fn written<'a>(
        &'a self,
        i: usize,
        batches: &'a [SharedBatch],
        out: &mut Vec<WrittenChunk<'a>>,
    ) {
        out.clear();
        out.extend(self.pieces[between(&self.ends, i)].iter().map(|piece| WrittenChunk {
            meta: piece.meta,
            data_len: piece.data_len as usize,
            record: match piece.batch {
                Some(number) => batches[number as usize].raw(piece.record),
                None => &self.made[piece.record.range()],
            },
        }));
    }
}

/// The meta of a chunk without a place.
fn meta(range: TimeRange) -> ChunkMeta {
    ChunkMeta { min_time: range.min, max_time: range.max, chunk_ref: ChunkRef::default() }
}
