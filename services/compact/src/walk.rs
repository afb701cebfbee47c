//! A walk over an index that lies in the bucket, a few MiB at a time: what `IndexHealth::check` counts, without the index.

use bytes::Bytes;
use tithon_bucket::{BucketBlock, BucketError};
use tithon_chunks::{ChunkRef, TimeRange};
use tithon_engine::{BlockFile, FileRange};
use tithon_index::{IndexError, IndexHealth, PostingsPlan, SeriesDecoder, SeriesEntry};

use crate::CompactError;

/// Read at once.
const WINDOW_BYTES: u64 = 4 << 20;
/// An entry that begins so close to the end of a window is read with the next.
const ENTRY_BYTES: u64 = 1 << 20;
/// An entry that is longer still is read so far.
const LONG_ENTRY_BYTES: u64 = 64 << 20;

/// A sum over the places of chunks: equal sets of places have equal sums, in whatever order they are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RefSum(u64);

impl RefSum {
    pub(crate) fn add(&mut self, chunk: ChunkRef) {
        let mixed = chunk.0.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = self.0.wrapping_add((mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93));
    }
}

/// Walks all series; answers with the places of their chunks too. Fails at once on what `IndexHealth::check` fails on.
pub(crate) fn walk(
    block: &BucketBlock,
    fetch: impl Fn(&[FileRange]) -> Result<Vec<Bytes>, BucketError>,
) -> Result<(IndexHealth, RefSum), CompactError> {
    let failed = |source| CompactError::Walk { block: block.id(), source };
    let header = block.header();
    let plan = PostingsPlan::new(header, &[], 0).map_err(failed)?;
    let range = |start, len| FileRange { file: BlockFile::Index, start, len };
    let ranges: Vec<FileRange> =
        plan.ranges().iter().map(|r| range(r.start, r.end.saturating_sub(r.start))).collect();
    let postings = plan.resolve(&fetch(&ranges)?).map_err(failed)?;
    let read = |start, len| -> Result<Bytes, CompactError> { Ok(fetch(&[range(start, len)])?.remove(0)) };
    let (mut entry, mut decoder) = (SeriesEntry::default(), SeriesDecoder::new(header));
    let (mut health, mut refs, mut last) = (IndexHealth::default(), RefSum::default(), None);
    let (mut window, mut at) = (Bytes::new(), 0u64);
    let (min, max) = (block.meta().min_time, block.meta().max_time);
    for id in postings.iter() {
        let offset = header.series_offset(id);
        let left = (at + window.len() as u64).saturating_sub(offset);
        if offset < at || (left < ENTRY_BYTES && (left == 0 || window.len() as u64 == WINDOW_BYTES)) {
            (window, at) = (read(offset, WINDOW_BYTES)?, offset);
        }
        let bytes = window.slice((offset - at) as usize..);
        if entry.decode(&bytes, offset, TimeRange::ALL).is_err() {
            let bytes = read(offset, LONG_ENTRY_BYTES)?;
            entry.decode(&bytes, offset, TimeRange::ALL).map_err(failed)?;
        }
        let invalid = |what, found, expected| failed(IndexError::Invalid { what, offset, found, expected });
        let labels: Vec<_> = decoder.pairs(&entry).map_err(failed)?.to_vec();
        if labels.is_empty() {
            return Err(invalid("label count", 0, "at least one label"));
        }
        if last.as_ref().is_some_and(|last| *last >= labels) {
            return Err(invalid("order of series", health.series, "label sets that ascend"));
        }
        if entry.chunks.is_empty() {
            return Err(invalid("chunk count", 0, "at least one chunk"));
        }
        health.series += 1;
        health.out_of_order_labels += u64::from(!labels.is_sorted_by(|a, b| a.0 < b.0));
        health.count_chunks(&entry.chunks, min, max);
        entry.chunks.iter().for_each(|chunk| refs.add(chunk.chunk_ref));
        last = Some(labels);
    }
    Ok((health, refs))
}
