//! Series read from one block, column by column.

use std::ops::Range;

use bytes::Bytes;
use tithon_chunks::{ChunkError, ChunkMeta, EncodedChunk, Encoding, TimeRange, Timestamp, put_record};
use tithon_index::{SeriesRef, SymbolRef};

use crate::{BlockError, BlockFile, BlockId, Tombstones, record, trim};

/// A label: name and value.
pub(crate) type Pair = (SymbolRef, SymbolRef);

/// A chunk whose data is in the fetched bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkSlice<'a> {
    pub(crate) encoding: Encoding,
    pub(crate) min_time: Timestamp,
    pub(crate) max_time: Timestamp,
    pub(crate) data: &'a [u8],
    /// The place in its batch.
    pub(crate) record: Record,
}

impl ChunkSlice<'_> {
    pub(crate) fn range(&self) -> TimeRange {
        TimeRange { min: self.min_time, max: self.max_time }
    }

    /// A copy of the chunk.
    pub(crate) fn owned(self) -> EncodedChunk {
        let ChunkSlice { encoding, min_time, max_time, data, .. } = self;
        EncodedChunk { encoding, min_time, max_time, data: Bytes::copy_from_slice(data) }
    }
}

/// Labels and chunks of series.
#[derive(Debug, Default)]
pub(super) struct Columns {
    ids: Vec<SeriesRef>,
    labels: Vec<Pair>,
    label_ends: Vec<u32>,
    chunks: Vec<ChunkMeta>,
    chunk_ends: Vec<u32>,
}

impl Columns {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn clear(&mut self) {
        self.ids.clear();
        self.labels.clear();
        self.label_ends.clear();
        self.chunks.clear();
        self.chunk_ends.clear();
    }

    pub(super) fn push(&mut self, id: SeriesRef, labels: &[Pair], chunks: &[ChunkMeta]) {
        self.ids.push(id);
        self.labels.extend_from_slice(labels);
        self.label_ends.push(self.labels.len() as u32);
        self.chunks.extend_from_slice(chunks);
        self.chunk_ends.push(self.chunks.len() as u32);
    }

    /// Copies some of the series.
    pub(super) fn part(&self, series: Range<usize>) -> Columns {
        let mut part = Columns::default();
        for i in series {
            part.push(self.ids[i], &self.labels[self.labels_of(i)], &self.chunks[self.chunks_of(i)]);
        }
        part
    }

    /// The chunks of all series.
    pub(super) fn chunks(&self) -> &[ChunkMeta] {
        &self.chunks
    }

    /// The chunks of each series, from series `first` on.
    pub(super) fn chunks_from(&self, first: usize) -> impl Iterator<Item = &[ChunkMeta]> {
        (first..self.len()).map(|i| &self.chunks[self.chunks_of(i)])
    }

    fn labels_of(&self, i: usize) -> Range<usize> {
        between(&self.label_ends, i)
    }

    fn chunks_of(&self, i: usize) -> Range<usize> {
        between(&self.chunk_ends, i)
    }
}

/// The range of item `i` in a column, given the ends of all items.
pub(super) fn between(ends: &[u32], i: usize) -> Range<usize> {
    let start = if i == 0 { 0 } else { ends[i - 1] as usize };
    start..ends[i] as usize
}

/// The place of a chunk's record in the fetched bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    slot: u32,
    len: u32,
    start: usize,
}

impl Record {
    pub(super) fn new(slot: usize, range: Range<usize>) -> Record {
        Record { slot: slot as u32, len: range.len() as u32, start: range.start }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start..self.start + self.len as usize
    }
}

/// Series of one block and the bytes of their chunks, whose checksums are not verified yet.
#[derive(Debug)]
pub(crate) struct Batch {
    block: BlockId,
    columns: Columns,
    /// One record for each chunk.
    records: Vec<Record>,
    fetched: Vec<Bytes>,
}

impl Batch {
    pub(super) fn new(block: BlockId, columns: Columns, records: Vec<Record>, fetched: Vec<Bytes>) -> Batch {
        Batch { block, columns, records, fetched }
    }

    /// Number of series.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn labels(&self, series: usize) -> &[Pair] {
        &self.columns.labels[self.columns.labels_of(series)]
    }

    /// The chunks of a series, ascending by first, then last time, and their records.
    pub(crate) fn chunks(&self, series: usize) -> impl ExactSizeIterator<Item = (&ChunkMeta, Record)> {
        let range = self.columns.chunks_of(series);
        self.columns.chunks[range.clone()].iter().zip(self.records[range].iter().copied())
    }

    /// The chunks alone.
    pub(crate) fn metas(&self, series: usize) -> &[ChunkMeta] {
        &self.columns.chunks[self.columns.chunks_of(series)]
    }

    /// The bytes of a record.
    pub(crate) fn raw(&self, record: Record) -> &[u8] {
        &self.fetched[record.slot as usize][record.range()]
    }

    /// Encoding and data of a chunk; verifies the checksum. A chunk of unknown encoding is an error: no block may be
    /// made from bytes that readers do not understand.
    pub(crate) fn chunk(&self, meta: &ChunkMeta, record: Record) -> Result<(Encoding, &[u8]), BlockError> {
        match record::verified(self.raw(record), u64::from(meta.chunk_ref.offset())) {
            Ok((encoding @ Encoding::Unknown(_), _)) => {
                Err(self.at_fault(meta, ChunkError::UnsupportedEncoding(encoding)))
            }
            found => found.map_err(|source| self.at_fault(meta, source)),
        }
    }

    /// The chunks of a series; verifies their checksums.
    pub(crate) fn slices(&self, series: usize) -> Result<Vec<ChunkSlice<'_>>, BlockError> {
        let chunk = |(meta, record): (&ChunkMeta, Record)| {
            let (encoding, data) = self.chunk(meta, record)?;
            let (min_time, max_time) = (meta.min_time, meta.max_time);
            Ok(ChunkSlice { encoding, min_time, max_time, data, record })
        };
        self.chunks(series).map(chunk).collect()
    }

    /// The chunks of a series; verifies their checksums. The data are slices of the fetched bytes.
    pub(crate) fn encoded(&self, series: usize) -> Result<Vec<EncodedChunk>, BlockError> {
        let chunk = |(meta, record): (&ChunkMeta, Record)| {
            let (encoding, data) = self.chunk(meta, record)?;
            let data = self.fetched[record.slot as usize].slice_ref(data);
            Ok(EncodedChunk { encoding, min_time: meta.min_time, max_time: meta.max_time, data })
        };
        self.chunks(series).map(chunk).collect()
    }

    /// The error of a chunk.
    pub(crate) fn at_fault(&self, meta: &ChunkMeta, source: ChunkError) -> BlockError {
        let file = BlockFile::Segment(meta.chunk_ref.segment());
        BlockError::Chunk { block: self.block, file, offset: u64::from(meta.chunk_ref.offset()), source }
    }

    /// Whether nothing is deleted and all chunks lie inside `range`.
    pub(super) fn is_untouched(&self, tombstones: &Tombstones, range: TimeRange) -> bool {
        self.columns.chunks.iter().all(|c| range.covers(c.range()))
            && self.columns.ids.iter().all(|id| tombstones.of(u64::from(id.0)).is_empty())
    }

    /// Removes deleted samples and those outside `range`, and series of which no sample is left.
    pub(super) fn trimmed(self, tombstones: &Tombstones, range: TimeRange) -> Result<Batch, BlockError> {
        let outside = [
            TimeRange { min: Timestamp::MIN, max: Timestamp(range.min.0.saturating_sub(1)) },
            TimeRange { min: Timestamp(range.max.0.saturating_add(1)), max: Timestamp::MAX },
        ];
        let (mut columns, mut records, mut made) = (Columns::default(), Vec::new(), Vec::new());
        for i in 0..self.len() {
            let deleted = tombstones.of(u64::from(self.columns.ids[i].0));
            let mut metas = Vec::new();
            for (chunk, meta) in self.encoded(i)?.into_iter().zip(self.metas(i)) {
                let inside = trim::without(chunk, deleted).and_then(|chunk| match chunk {
                    Some(chunk) if !range.covers(chunk.range()) => trim::without(chunk, &outside),
                    chunk => Ok(chunk),
                });
                let Some(chunk) = inside.map_err(|source| self.at_fault(meta, source))? else { continue };
                metas.push(ChunkMeta { min_time: chunk.min_time, max_time: chunk.max_time, ..*meta });
                let start = made.len();
                put_record(chunk.encoding, &chunk.data, &mut made);
                records.push(Record::new(0, start..made.len()));
            }
            if !metas.is_empty() {
                columns.push(self.columns.ids[i], self.labels(i), &metas);
            }
        }
        Ok(Batch { block: self.block, columns, records, fetched: vec![made.into()] })
    }
}
