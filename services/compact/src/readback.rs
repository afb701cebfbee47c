//! Reads a block back from the bucket before its sources are marked or deleted: the index, and every record of the segments
//! with its checksum, counted and compared with meta.json.

use std::sync::Arc;

use bytes::Bytes;
use rayon::iter::{ParallelBridge, ParallelIterator};
use tithon_bucket::BucketBlock;
use tithon_chunks::{ChunkError, ChunkRef, RecordSlice, SEGMENT_HEADER_BYTES, SegmentReader, sample_count};
use tithon_engine::verify::index_health;
use tithon_engine::{BlockError, BlockFile, FileRange};
use tithon_index::IndexHealth;
use tokio::runtime::Handle;

use crate::{CompactError, Compactor, Verify};

/// Bytes of a segment read at once.
const WINDOW_BYTES: u64 = 8 << 20;
/// Longer records are taken for damage: no writer makes them.
const RECORD_BYTES_MAX: usize = 64 << 20;

/// A sum over the places of chunks: equal sets of places have equal sums, in whatever order they are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RefSum(u64);

impl RefSum {
    fn add(&mut self, chunk: ChunkRef) {
        let mixed = chunk.0.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = self.0.wrapping_add((mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93));
    }
}

/// What the segments of a block hold.
#[derive(Clone, Copy, Debug, Default)]
struct Contents {
    chunks: u64,
    samples: u64,
    refs: RefSum,
}

impl Contents {
    /// What two parts hold together.
    fn and(self, other: Contents) -> Contents {
        Contents {
            chunks: self.chunks + other.chunks,
            samples: self.samples + other.samples,
            refs: RefSum(self.refs.0.wrapping_add(other.refs.0)),
        }
    }
}

impl Compactor {
    /// Reads back a block whose files are in the bucket, with or without its meta.json. Fails where its counts are not those
    /// of its meta, where it cannot be read to its end, and with [`Verify::Full`] where a chunk's checksum is wrong.
    pub(crate) async fn read_back(
        &self,
        block: Arc<BucketBlock>,
        verify: Verify,
    ) -> Result<IndexHealth, CompactError> {
        let runtime = Handle::current();
        self.compute(move || {
            // The index and the segments at the same time.
            let (index, segments) = rayon::join(
                || read_index(&block, &runtime),
                || (verify == Verify::Full).then(|| read_segments(&block, &runtime)).transpose(),
            );
            let ((health, refs), segments) = (index?, segments?);
            compare(&block, &health, refs, segments.as_ref())?;
            block.check()?;
            Ok(health)
        })
        .await?
    }
}

/// Fails where what was found is not what the block's meta and its index say.
fn compare(
    block: &BucketBlock,
    health: &IndexHealth,
    refs: RefSum,
    segments: Option<&Contents>,
) -> Result<(), CompactError> {
    let unhealthy = |what: String| Err(CompactError::Unhealthy { block: block.id(), what });
    let differ = |what: &str, found: u64, expected: u64| match found == expected {
        true => Ok(()),
        false => unhealthy(format!("{found} {what} were read back, expected {expected}")),
    };
    let stats = block.meta().stats;
    // Old metas have no counts.
    let is_told = (stats.num_series, stats.num_chunks, stats.num_samples) != (0, 0, 0);
    if is_told {
        differ("series", health.series, stats.num_series)?;
        differ("chunks of the index", health.chunks, stats.num_chunks)?;
    }
    let Some(found) = segments else { return Ok(()) };
    differ("chunks", found.chunks, health.chunks)?;
    if is_told {
        differ("samples", found.samples, stats.num_samples)?;
    }
    if found.refs != refs {
        return unhealthy("the index does not point to the chunks of the segments".to_owned());
    }
    Ok(())
}

/// Walks the index.
fn read_index(block: &BucketBlock, runtime: &Handle) -> Result<(IndexHealth, RefSum), CompactError> {
    let mut refs = RefSum::default();
    let health = index_health(block.input(runtime), |entry| {
        entry.chunks.iter().for_each(|chunk| refs.add(chunk.chunk_ref));
    })?;
    Ok((health, refs))
}

/// Reads all segments: one part after the other is read, and those that were read are checked at the same time.
fn read_segments(block: &BucketBlock, runtime: &Handle) -> Result<Contents, CompactError> {
    let parts = Parts { block, runtime, sizes: block.segment_sizes(), number: 0, at: 0 };
    let parts = parts.par_bridge().map(|part| part?.check(block));
    parts.try_reduce(Contents::default, |a, b| Ok(a.and(b)))
}

/// Whole records of a segment.
struct Part {
    number: u32,
    /// Where they lie in the segment.
    at: u64,
    records: Bytes,
}

impl Part {
    fn check(self, block: &BucketBlock) -> Result<Contents, CompactError> {
        let Part { number, at: start, records } = self;
        let file = BlockFile::Segment(number);
        let (mut contents, mut at) = (Contents::default(), start);
        while at - start < records.len() as u64 {
            let at_fault = |source| BlockError::Chunk { block: block.id(), file, offset: at, source };
            let record = RecordSlice::parse(&records, (at - start) as usize).map_err(at_fault)?;
            record.verify(at).map_err(at_fault)?;
            contents.samples += sample_count(record.encoding, record.data).map_err(at_fault)? as u64;
            contents.chunks += 1;
            contents.refs.add(ChunkRef(u64::from(number) << 32 | at));
            at += record.raw.len() as u64;
        }
        if let Some(mapped) = block.mapped() {
            mapped.release(&FileRange { file, start, len: at - start });
        }
        Ok(contents)
    }
}

/// The segments of a block, cut into parts of about [`WINDOW_BYTES`] where records end. Ends after an error.
struct Parts<'b> {
    block: &'b BucketBlock,
    runtime: &'b Handle,
    sizes: Vec<u64>,
    number: u32,
    at: u64,
}

impl Iterator for Parts<'_> {
    type Item = Result<Part, CompactError>;

    fn next(&mut self) -> Option<Self::Item> {
        let size = loop {
            let size = *self.sizes.get(self.number as usize)?;
            if self.at < size || self.at == 0 {
                break size;
            }
            (self.number, self.at) = (self.number + 1, 0);
        };
        let part = self.cut(size);
        match &part {
            Ok(part) => self.at = part.at + part.records.len() as u64,
            Err(_) => self.sizes.clear(),
        }
        Some(part)
    }
}

impl Parts<'_> {
    /// The records from `at` on; in front of the first ones is the header of the segment.
    fn cut(&self, size: u64) -> Result<Part, CompactError> {
        let file = BlockFile::Segment(self.number);
        let at_fault = |at: usize, source| {
            let (block, offset) = (self.block.id(), self.at + at as u64);
            BlockError::Chunk { block, file, offset, source }
        };
        let mut window = self.read(size, WINDOW_BYTES)?;
        let mut start = 0;
        if self.at == 0 {
            SegmentReader::open(window.clone()).map_err(|source| at_fault(0, source))?;
            start = SEGMENT_HEADER_BYTES;
        }
        let mut end = start;
        while end < window.len() {
            let is_cut = self.at + (window.len() as u64) < size;
            match RecordSlice::parse(&window, end) {
                Ok(record) => end += record.raw.len(),
                // The next part begins with this record.
                Err(ChunkError::Truncated { .. }) if is_cut && end > start => break,
                // A record that is longer than a window.
                Err(ChunkError::Truncated { needed, .. })
                    if is_cut && needed.saturating_add(end) > window.len() && needed <= RECORD_BYTES_MAX =>
                {
                    window = self.read(size, (end + needed) as u64)?;
                }
                Err(source) => return Err(at_fault(end, source).into()),
            }
        }
        let at = self.at + start as u64;
        if end == start && at < size {
            let (needed, left) = (1, window.len() - start);
            let truncated = ChunkError::Truncated { what: "chunk record", offset: start, needed, left };
            return Err(at_fault(start, truncated).into());
        }
        Ok(Part { number: self.number, at, records: window.slice(start..end) })
    }

    /// The next bytes of the segment, fewer at its end.
    fn read(&self, size: u64, len: u64) -> Result<Bytes, CompactError> {
        let file = BlockFile::Segment(self.number);
        let range = FileRange { file, start: self.at, len: len.min(size.saturating_sub(self.at)) };
        let mut found = match self.block.read(&[range]) {
            Some(found) => found?,
            None => self.runtime.block_on(self.block.fetch(&[range]))?,
        };
        Ok(found.remove(0))
    }
}
