//! A block as it is stored: every series of the index with every chunk, deletions not applied. For tools.

use bytes::Bytes;
use tithon_chunks::{ChunkMeta, Encoding, SegmentReader, TimeRange};
use tithon_index::{IndexReader, Labels, Postings, SeriesDecoder, SeriesEntry, SeriesRef};

use crate::{Block, BlockError, BlockFile};

/// A series as the index has it.
#[derive(Clone, Debug)]
pub struct StoredSeries {
    /// Its reference in postings lists.
    pub id: SeriesRef,
    /// The labels of the index; external labels are not among them.
    pub labels: Labels,
    /// Its chunks in the order stored.
    pub chunks: Vec<StoredChunk>,
}

/// A chunk as the segment has it, its checksum verified.
#[derive(Clone, Debug)]
pub struct StoredChunk {
    /// What the index says of it.
    pub meta: ChunkMeta,
    /// How the data is encoded.
    pub encoding: Encoding,
    /// The data, a slice of the map.
    pub data: Bytes,
}

/// All series of a block in index order; made by [`Block::stored`].
pub struct StoredSeriesIter<'b> {
    block: &'b Block,
    index: IndexReader,
    segments: Vec<SegmentReader>,
    postings: Postings,
    next: usize,
    entry: SeriesEntry,
}

impl Block {
    /// Every series with every chunk, in index order. A damaged series or chunk is an error in its place; the walk
    /// goes on behind it.
    pub fn stored(&self) -> Result<StoredSeriesIter<'_>, BlockError> {
        let index = IndexReader::open(self.index().clone()).map_err(BlockError::index(self.id()))?;
        let postings = index.postings(&[], 0).map_err(BlockError::index(self.id()))?;
        let mut segments = Vec::with_capacity(self.segments().len());
        for bytes in self.segments() {
            let file = BlockFile::Segment(segments.len() as u32);
            let segment = SegmentReader::open(bytes.clone()).map_err(|source| BlockError::Chunk {
                block: self.id(),
                file,
                offset: 0,
                source,
            })?;
            segments.push(segment);
        }
        Ok(StoredSeriesIter {
            block: self,
            index,
            segments,
            postings,
            next: 0,
            entry: SeriesEntry::default(),
        })
    }
}

impl StoredSeriesIter<'_> {
    /// How many series there are.
    pub fn n_series(&self) -> usize {
        self.postings.len()
    }

    fn series(&mut self, id: SeriesRef) -> Result<StoredSeries, BlockError> {
        let block = self.block.id();
        self.index.series(id, TimeRange::ALL, &mut self.entry).map_err(BlockError::index(block))?;
        let labels =
            SeriesDecoder::new(self.index.header()).labels(&self.entry).map_err(BlockError::index(block))?;
        let chunks = self.entry.chunks.iter().map(|meta| self.chunk(meta)).collect::<Result<_, _>>()?;
        Ok(StoredSeries { id, labels, chunks })
    }

    fn chunk(&self, meta: &ChunkMeta) -> Result<StoredChunk, BlockError> {
        let (block, segment, offset) = (self.block.id(), meta.chunk_ref.segment(), meta.chunk_ref.offset());
        let reader = self.segments.get(segment as usize).ok_or(BlockError::NoSegment {
            block,
            segment,
            segments: self.segments.len(),
        })?;
        let (encoding, data) = reader.chunk(offset).map_err(|source| BlockError::Chunk {
            block,
            file: BlockFile::Segment(segment),
            offset: u64::from(offset),
            source,
        })?;
        Ok(StoredChunk { meta: *meta, encoding, data })
    }
}

impl Iterator for StoredSeriesIter<'_> {
    type Item = Result<StoredSeries, BlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.postings.get(self.next)?;
        self.next += 1;
        Some(self.series(id))
    }
}
