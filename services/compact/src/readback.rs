//! Reads a block back from the bucket before its sources are marked or deleted: the index, and every record of the segments
//! with its checksum, counted and compared with meta.json.

use std::sync::Arc;

use bytes::Bytes;
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
#[derive(Debug, Default)]
struct Contents {
    chunks: u64,
    samples: u64,
    refs: RefSum,
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

/// Reads all segments from front to back.
fn read_segments(block: &BucketBlock, runtime: &Handle) -> Result<Contents, CompactError> {
    let mut contents = Contents::default();
    for (number, size) in (0u32..).zip(block.segment_sizes()) {
        let file = BlockFile::Segment(number);
        let read = |start: u64, len: u64| -> Result<Bytes, CompactError> {
            if let (Some(mapped), Some(before)) = (block.mapped(), start.checked_sub(WINDOW_BYTES)) {
                mapped.release(&FileRange { file, start: before, len: WINDOW_BYTES });
            }
            let range = FileRange { file, start, len: len.min(size.saturating_sub(start)) };
            let mut found = match block.read(&[range]) {
                Some(found) => found?,
                None => runtime.block_on(block.fetch(&[range]))?,
            };
            Ok(found.remove(0))
        };
        let at_fault = |offset, source| BlockError::Chunk { block: block.id(), file, offset, source };
        let (mut window, mut base) = (read(0, WINDOW_BYTES)?, 0u64);
        SegmentReader::open(window.clone()).map_err(|source| at_fault(0, source))?;
        let mut at = SEGMENT_HEADER_BYTES as u64;
        while at < size {
            let parsed = RecordSlice::parse(&window, (at - base) as usize);
            // Of a record that reaches out of the window, how many bytes it takes; the file may end inside it.
            let reaching_out = match &parsed {
                Err(ChunkError::Truncated { needed, .. }) if base < at || *needed as u64 > WINDOW_BYTES => {
                    Some(*needed)
                }
                _ => None,
            };
            let record = match reaching_out {
                Some(needed) => {
                    let len = WINDOW_BYTES.max(needed.min(RECORD_BYTES_MAX) as u64);
                    (window, base) = (read(at, len)?, at);
                    RecordSlice::parse(&window, 0)
                }
                None => parsed,
            };
            let record = record.map_err(|source| at_fault(at, source))?;
            record.verify(at).map_err(|source| at_fault(at, source))?;
            let samples = sample_count(record.encoding, record.data);
            contents.samples += samples.map_err(|source| at_fault(at, source))? as u64;
            contents.chunks += 1;
            contents.refs.add(ChunkRef(u64::from(number) << 32 | at));
            at += record.raw.len() as u64;
        }
    }
    Ok(contents)
}
