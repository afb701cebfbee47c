//! A chunk as it is stored: where it lies, what time it covers, its bytes.

use bytes::Bytes;

use crate::{Encoding, TimeRange, Timestamp};

/// Where a chunk lies in a block: segment index in the upper 32 bits, byte offset in the lower.
///
/// Segment index 0 is the first file of `chunks/` in name order. Prometheus `tsdb/chunks/chunks.go`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef(pub u64);

impl ChunkRef {
    /// The reference of the chunk at `offset` bytes in segment `segment`.
    pub const fn new(segment: u32, offset: u32) -> ChunkRef {
        ChunkRef((segment as u64) << 32 | offset as u64)
    }

    /// Position of the segment file in the sorted listing, from 0.
    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Byte offset of the chunk's length field in its segment.
    pub const fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// What an index says about a chunk. Both times are inside the chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkMeta {
    /// Time of the first sample, milliseconds.
    pub min_time: Timestamp,
    /// Time of the last sample, milliseconds.
    pub max_time: Timestamp,
    /// Where the bytes lie.
    pub chunk_ref: ChunkRef,
}

impl ChunkMeta {
    /// The closed range from the first to the last sample.
    pub const fn range(&self) -> TimeRange {
        TimeRange { min: self.min_time, max: self.max_time }
    }
}

/// A chunk in memory, still encoded; cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedChunk {
    /// How `data` is encoded.
    pub encoding: Encoding,
    /// Time of the first sample, milliseconds.
    pub min_time: Timestamp,
    /// Time of the last sample, milliseconds.
    pub max_time: Timestamp,
    /// The chunk's data, without the encoding byte, length and checksum around it.
    pub data: Bytes,
}

impl EncodedChunk {
    /// The closed range from the first to the last sample.
    pub const fn range(&self) -> TimeRange {
        TimeRange { min: self.min_time, max: self.max_time }
    }
}
