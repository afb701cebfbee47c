//! Reads records whose offsets are known and whose lengths are not: series entries and chunks.
//!
//! Each record is asked for up to the next one, if that is known, or by an estimated length; ranges that touch are
//! combined. A record that turns out longer is asked for once more, exactly.

use std::ops::Range;

use bytes::Bytes;
use tithon_chunks::{ChunkMeta, ChunkRef};

use crate::{BlockError, BlockFile, BlockId, BlockMeta, FileRange, ReadBytes, record};

/// The offset of a record, and the most bytes that it is expected to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: BlockFile,
    pub(crate) offset: u64,
    pub(crate) expected: u64,
}

/// How records of one kind are read.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) what: &'static str,
    /// Most records have at most this many bytes.
    pub(crate) estimate: u64,
    /// Returns a record's whole size from its first bytes; `None` when these are too few.
    pub(crate) size: fn(&[u8]) -> Option<u64>,
}

/// Records that are being fetched.
pub(crate) struct Records {
    kind: Kind,
    block: BlockId,
    places: Vec<Place>,
    /// For each place, the range that holds it.
    slots: Vec<u32>,
    ranges: Vec<FileRange>,
    fetched: Vec<Bytes>,
    /// Records that were longer than their range: the place, and the bytes fetched for it.
    long: Vec<(usize, Bytes)>,
    retried: bool,
    read: ReadBytes,
}

/// Ranges closer than this, in bytes, are combined.
const GAP_BYTES: u64 = 512;

/// The most bytes of a record, whatever its length field says.
const RECORD_BYTES_MAX: u64 = 64 << 20;

impl Records {
    pub(crate) fn new(block: BlockId, kind: Kind, places: Vec<Place>) -> Records {
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        if !places.is_sorted() {
            order.sort_by_key(|i| places[*i as usize]);
        }
        let mut slots = vec![0; places.len()];
        let mut ranges: Vec<FileRange> = Vec::new();
        for &i in &order {
            let Place { file, offset, expected } = places[i as usize];
            let end = offset.saturating_add(expected);
            match ranges.last_mut() {
                Some(last) if last.file == file && offset <= last.end().saturating_add(GAP_BYTES) => {
                    last.len = end.max(last.end()) - last.start;
                }
                _ => ranges.push(FileRange { file, start: offset, len: end - offset }),
            }
            slots[i as usize] = ranges.len() as u32 - 1;
        }
        let (fetched, long, read) = (Vec::new(), Vec::new(), ReadBytes::default());
        Records { kind, block, places, slots, ranges, fetched, long, retried: false, read }
    }

    /// The ranges to fetch first.
    pub(crate) fn ranges(&self) -> Vec<FileRange> {
        self.ranges.clone()
    }

    /// The number of ranges whose bytes the next [`Records::accept`] expects.
    pub(crate) fn n_asked(&self) -> usize {
        if self.retried { self.long.len() } else { self.ranges.len() }
    }

    /// The bytes taken so far, and those of records whose sizes are known.
    pub(crate) fn read(&self) -> ReadBytes {
        self.read
    }

    /// Takes the fetched bytes; returns the ranges still missing, none on the second call.
    pub(crate) fn accept(&mut self, fetched: Vec<Bytes>) -> Result<Vec<FileRange>, BlockError> {
        let expected = self.n_asked();
        if fetched.len() != expected {
            return Err(BlockError::Fetched { block: self.block, got: fetched.len(), expected });
        }
        self.read.fetched += fetched.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        if self.retried {
            for (long, bytes) in self.long.iter_mut().zip(fetched) {
                self.read.touched += bytes.len() as u64;
                long.1 = bytes;
            }
            return Ok(Vec::new());
        }
        self.fetched = fetched;
        self.retried = true;
        let mut missing = Vec::new();
        for i in 0..self.places.len() {
            let bytes = self.tail(i);
            let needed = match (self.kind.size)(bytes) {
                Some(size) if size <= bytes.len() as u64 => {
                    self.read.touched += size;
                    continue;
                }
                Some(size) => size.min(RECORD_BYTES_MAX),
                None => self.kind.estimate,
            };
            missing.push(FileRange { file: self.places[i].file, start: self.places[i].offset, len: needed });
            self.long.push((i, Bytes::new()));
        }
        Ok(missing)
    }

    /// The first fetch from the start of record `i` on.
    fn tail(&self, i: usize) -> &[u8] {
        let slot = self.slots[i] as usize;
        let skipped = self.places[i].offset - self.ranges[slot].start;
        usize::try_from(skipped).ok().and_then(|n| self.fetched[slot].get(n..)).unwrap_or(&[])
    }

    /// The place of record `i`, cut to its size: the index in [`Records::into_fetched`], and the range of bytes.
    pub(crate) fn find(&self, i: usize) -> Result<(usize, Range<usize>), BlockError> {
        let (slot, start, whole): (usize, usize, &[u8]) =
            match self.long.binary_search_by_key(&i, |(place, _)| *place) {
                Ok(found) => (self.fetched.len() + found, 0, &self.long[found].1),
                Err(_) => {
                    let slot = self.slots[i] as usize;
                    let tail = self.tail(i);
                    (slot, self.fetched[slot].len() - tail.len(), tail)
                }
            };
        let left = whole.len() as u64;
        match (self.kind.size)(whole) {
            Some(size) if size <= left => Ok((slot, start..start + size as usize)),
            size => Err(BlockError::Short {
                block: self.block,
                file: self.places[i].file,
                what: self.kind.what,
                offset: self.places[i].offset,
                needed: size.unwrap_or(left.saturating_add(1)),
                left,
            }),
        }
    }

    /// The bytes fetched for the records of a slot.
    pub(crate) fn slot(&self, slot: usize) -> &Bytes {
        self.fetched.get(slot).unwrap_or_else(|| &self.long[slot - self.fetched.len()].1)
    }

    /// The bytes of record `i`, cut to its size.
    pub(crate) fn bytes(&self, i: usize) -> Result<&[u8], BlockError> {
        let (slot, range) = self.find(i)?;
        Ok(&self.slot(slot)[range])
    }

    /// All fetched bytes.
    pub(crate) fn into_fetched(self) -> Vec<Bytes> {
        self.fetched.into_iter().chain(self.long.into_iter().map(|(_, bytes)| bytes)).collect()
    }
}

/// The most that a chunk is expected to take, as in Thanos, bytes.
const CHUNK_BYTES: u64 = 16_000;

/// The least that is asked for a chunk whose size is not known, bytes.
const CHUNK_BYTES_MIN: u64 = 512;

/// The kind of a block's chunks.
pub(crate) fn chunk_kind(meta: &BlockMeta) -> Kind {
    let recorded = meta.thanos.as_ref().map_or(0, |t| t.index_stats.chunk_max_size);
    let assumed = if recorded > 0 { CHUNK_BYTES } else { usual_bytes(meta) };
    Kind { what: "chunk", estimate: estimate(recorded, assumed), size: record::size }
}

/// What most chunks of a block take at most, where meta.json does not tell it but has the sizes of the segments, as a
/// sidecar writes it: four times the average.
fn usual_bytes(meta: &BlockMeta) -> u64 {
    let files = meta.thanos.as_ref().map(|thanos| thanos.files.as_slice()).unwrap_or_default();
    let segments = files.iter().filter(|file| file.rel_path.starts_with("chunks/"));
    let bytes = segments.fold(0_u64, |sum, file| sum.saturating_add(file.size_bytes));
    match bytes.checked_div(meta.stats.num_chunks) {
        None | Some(0) => CHUNK_BYTES,
        Some(average) => average.saturating_mul(4).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES),
    }
}

/// Chunks further apart than this, in bytes, are not treated as neighbours.
const NEIGHBOUR_BYTES: u64 = 64 << 10;

impl Kind {
    /// The place of a chunk; `next` is a chunk that may directly follow it.
    pub(crate) fn chunk_place(&self, chunk: &ChunkMeta, next: Option<ChunkRef>) -> Place {
        let (file, offset) = (chunk.chunk_ref.segment(), u64::from(chunk.chunk_ref.offset()));
        let distance = next
            .filter(|next| next.segment() == file)
            .and_then(|next| u64::from(next.offset()).checked_sub(offset))
            .filter(|distance| (1..=NEIGHBOUR_BYTES).contains(distance));
        Place { file: BlockFile::Segment(file), offset, expected: distance.unwrap_or(self.estimate) }
    }
}

/// The size in meta.json, or the assumed size if there is none or it is larger.
pub(crate) fn estimate(recorded: i64, assumed: u64) -> u64 {
    u64::try_from(recorded).ok().filter(|n| *n > 0).map_or(assumed, |n| n.min(assumed))
}
