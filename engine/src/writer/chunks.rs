//! The segment files of a block under construction.

use tithon_chunks::{
    ChunkMeta, EncodedChunk, Encoding, Placement, SEGMENT_HEADER, SegmentCutter, put_record,
};

use super::files::{BlockFiles, NamedSink};
use crate::BlockError;

/// A chunk with a finished record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenChunk<'a> {
    /// Its times; the reference is ignored.
    pub(crate) meta: ChunkMeta,
    /// Bytes of the data inside the record.
    pub(crate) data_len: usize,
    /// Length field, encoding, data and checksum.
    pub(crate) record: &'a [u8],
}

impl<'a> WrittenChunk<'a> {
    /// The offset of the checksum.
    fn end(&self) -> usize {
        self.record.len() - 4
    }

    pub(crate) fn data(&self) -> &'a [u8] {
        &self.record[self.end() - self.data_len..self.end()]
    }

    pub(crate) fn encoding(&self) -> Encoding {
        Encoding::from_byte(self.record[self.end() - self.data_len - 1])
    }
}

/// Appends chunks, and opens a new segment when one is full.
#[derive(Debug)]
pub(super) struct ChunkFiles {
    cutter: SegmentCutter,
    open: Option<NamedSink>,
    names: Vec<String>,
    placements: Vec<Placement>,
    lengths: Vec<usize>,
    record: Vec<u8>,
}

impl ChunkFiles {
    pub(super) fn new(segment_bytes_max: u64) -> ChunkFiles {
        ChunkFiles {
            cutter: SegmentCutter::new(segment_bytes_max),
            open: None,
            names: Vec::new(),
            placements: Vec::new(),
            lengths: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Writes the chunks of one series and appends their places to `metas`.
    pub(super) fn write(
        &mut self,
        files: &mut dyn BlockFiles,
        chunks: &[EncodedChunk],
        metas: &mut Vec<ChunkMeta>,
    ) -> Result<(), BlockError> {
        self.lengths.clear();
        self.lengths.extend(chunks.iter().map(|c| c.data.len()));
        let mut placements = std::mem::take(&mut self.placements);
        placements.clear();
        self.cutter.place(&self.lengths, &mut placements);
        for (chunk, placement) in chunks.iter().zip(&placements) {
            if placement.opens_segment {
                self.next_segment(files)?;
            }
            self.record.clear();
            put_record(chunk.encoding, &chunk.data, &mut self.record);
            self.append()?;
            metas.push(ChunkMeta {
                min_time: chunk.min_time,
                max_time: chunk.max_time,
                chunk_ref: placement.chunk_ref,
            });
        }
        self.placements = placements;
        Ok(())
    }

    /// Writes records of one series and appends their places to `metas`.
    pub(super) fn copy(
        &mut self,
        files: &mut dyn BlockFiles,
        chunks: &[WrittenChunk<'_>],
        metas: &mut Vec<ChunkMeta>,
    ) -> Result<(), BlockError> {
        self.lengths.clear();
        self.lengths.extend(chunks.iter().map(|c| c.data_len));
        let mut placements = std::mem::take(&mut self.placements);
        placements.clear();
        self.cutter.place(&self.lengths, &mut placements);
        for (chunk, placement) in chunks.iter().zip(&placements) {
            if placement.opens_segment {
                self.next_segment(files)?;
            }
            self.open.as_mut().expect("the first placement opens a segment").put(chunk.record)?;
            metas.push(ChunkMeta { chunk_ref: placement.chunk_ref, ..chunk.meta });
        }
        self.placements = placements;
        Ok(())
    }

    fn next_segment(&mut self, files: &mut dyn BlockFiles) -> Result<(), BlockError> {
        self.close()?;
        let name = format!("{:06}", self.names.len() + 1);
        self.open = Some(NamedSink::create(files, &format!("chunks/{name}"))?);
        self.names.push(name);
        self.record.clear();
        self.record.extend_from_slice(&SEGMENT_HEADER);
        self.append()
    }

    /// Writes `record` to the open segment.
    fn append(&mut self) -> Result<(), BlockError> {
        self.open.as_mut().expect("the first placement opens a segment").put(&self.record)
    }

    fn close(&mut self) -> Result<(), BlockError> {
        self.open.take().map_or(Ok(()), NamedSink::finish)
    }

    /// Finishes the segments; returns their names.
    pub(super) fn finish(mut self) -> Result<Vec<String>, BlockError> {
        self.close()?;
        Ok(self.names)
    }
}
