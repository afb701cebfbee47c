//! The segment files of a block under construction.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use tithon_chunks::{ChunkMeta, EncodedChunk, Placement, SEGMENT_HEADER, SegmentCutter, put_record};

use crate::BlockError;
use crate::publish::sync_dir;

const BUFFER_BYTES: usize = 1 << 20;

/// Appends chunks, opening segment after segment.
#[derive(Debug)]
pub(super) struct ChunkFiles {
    dir: PathBuf,
    cutter: SegmentCutter,
    open: Option<(PathBuf, BufWriter<File>)>,
    names: Vec<String>,
    placements: Vec<Placement>,
    lengths: Vec<usize>,
    record: Vec<u8>,
}

impl ChunkFiles {
    pub(super) fn new(dir: PathBuf, segment_bytes_max: u64) -> ChunkFiles {
        ChunkFiles {
            dir,
            cutter: SegmentCutter::new(segment_bytes_max),
            open: None,
            names: Vec::new(),
            placements: Vec::new(),
            lengths: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Writes the chunks of one series and appends where they lie to `metas`.
    pub(super) fn write(
        &mut self,
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
                self.next_segment()?;
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

    fn next_segment(&mut self) -> Result<(), BlockError> {
        self.close()?;
        let name = format!("{:06}", self.names.len() + 1);
        let path = self.dir.join(&name);
        let file = File::create_new(&path).map_err(BlockError::io(&path))?;
        self.names.push(name);
        self.open = Some((path, BufWriter::with_capacity(BUFFER_BYTES, file)));
        self.record.clear();
        self.record.extend_from_slice(&SEGMENT_HEADER);
        self.append()
    }

    /// Writes `record` to the open segment.
    fn append(&mut self) -> Result<(), BlockError> {
        let (path, file) = self.open.as_mut().expect("the first placement opens a segment");
        file.write_all(&self.record).map_err(BlockError::io(&*path))
    }

    fn close(&mut self) -> Result<(), BlockError> {
        let Some((path, file)) = self.open.take() else { return Ok(()) };
        let synced = file.into_inner().map_err(|e| e.into_error()).and_then(|file| file.sync_all());
        synced.map_err(BlockError::io(path))
    }

    /// Makes the segments durable; answers with their names.
    pub(super) fn finish(mut self) -> Result<Vec<String>, BlockError> {
        self.close()?;
        sync_dir(&self.dir)?;
        Ok(self.names)
    }
}
