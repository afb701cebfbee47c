//! Finds bytes of the segments that belong to no chunk of the index.

use std::ops::Range;

use bytes::Bytes;
use tithon_chunks::{ChunkRef, SEGMENT_HEADER_BYTES};

use crate::BlockFile;

/// The bytes of all segments that are covered by chunks.
pub(super) struct Coverage {
    segments: Vec<Segment>,
}

struct Segment {
    len: u64,
    /// All bytes before this offset belong to chunks: chunks mostly lie in the order of the series.
    next: u64,
    /// Chunks that were added before the ones in front of them.
    ahead: Vec<Range<u64>>,
}

impl Coverage {
    pub(super) fn new(segments: &[Bytes]) -> Coverage {
        let segment = |bytes: &Bytes| Segment {
            len: bytes.len() as u64,
            next: SEGMENT_HEADER_BYTES as u64,
            ahead: Vec::new(),
        };
        Coverage { segments: segments.iter().map(segment).collect() }
    }

    /// Adds the record of a chunk.
    pub(super) fn add(&mut self, chunk: ChunkRef, size: u64) {
        let Some(segment) = self.segments.get_mut(chunk.segment() as usize) else { return };
        let start = u64::from(chunk.offset());
        if start == segment.next {
            segment.next = start.saturating_add(size);
        } else {
            segment.ahead.push(start..start.saturating_add(size));
        }
    }

    /// Descriptions of the stretches that belong to no chunk.
    pub(super) fn gaps(mut self) -> Vec<String> {
        let mut out = Vec::new();
        for (number, segment) in self.segments.iter_mut().enumerate() {
            segment.ahead.sort_unstable_by_key(|range| (range.start, range.end));
            let mut at = segment.next;
            let end = std::iter::once(segment.len..segment.len);
            for range in segment.ahead.iter().cloned().chain(end) {
                if range.start > at {
                    let (file, n) = (BlockFile::Segment(number as u32), range.start - at);
                    out.push(format!("{file} at offset {at}: {n} bytes belong to no chunk of the index"));
                }
                at = at.max(range.end);
            }
        }
        out
    }
}
