//! Reads records whose offsets are known and whose lengths are not: series entries and chunks.
//!
//! Each record is asked for up to the next one, if that is known, or by an estimated length; ranges that touch are
//! combined. A record that turns out longer is asked for once more, exactly.

use std::ops::{Range, RangeInclusive};

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
    /// Most records have at most this many bytes, those wanted behind them included.
    pub(crate) estimate: u64,
    /// The number of bytes wanted behind each record; fewer are no fault.
    pub(crate) behind: u64,
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
    /// Bytes between records that the ranges hold only because they were combined.
    gaps: u64,
    read: ReadBytes,
}

/// Ranges closer than this, in bytes, are combined.
const GAP_BYTES: u64 = 512;

/// The least that is asked for a record: enough for its length field, bytes.
const RECORD_BYTES_MIN: u64 = 5;

/// The most bytes of a record, whatever its length field says.
const RECORD_BYTES_MAX: u64 = 64 << 20;

impl Records {
    pub(crate) fn new(block: BlockId, kind: Kind, mut places: Vec<Place>) -> Records {
        places.iter_mut().for_each(|place| place.expected = place.expected.max(RECORD_BYTES_MIN));
        let mut order: Vec<u32> = (0..places.len() as u32).collect();
        if !places.is_sorted() {
            order.sort_by_key(|i| places[*i as usize]);
        }
        let mut slots = vec![0; places.len()];
        let (mut ranges, mut gaps): (Vec<FileRange>, u64) = (Vec::new(), 0);
        for &i in &order {
            let Place { file, offset, expected } = places[i as usize];
            let end = offset.saturating_add(expected);
            match ranges.last_mut() {
                Some(last) if last.file == file && offset <= last.end().saturating_add(GAP_BYTES) => {
                    gaps += offset.saturating_sub(last.end());
                    last.len = end.max(last.end()) - last.start;
                }
                _ => ranges.push(FileRange { file, start: offset, len: end - offset }),
            }
            slots[i as usize] = ranges.len() as u32 - 1;
        }
        let (fetched, long, read) = (Vec::new(), Vec::new(), ReadBytes::default());
        Records { kind, block, places, slots, ranges, fetched, long, retried: false, gaps, read }
    }

    /// The ranges to fetch first.
    pub(crate) fn ranges(&self) -> Vec<FileRange> {
        self.ranges.clone()
    }

    /// The number of ranges whose bytes the next [`Records::accept`] expects.
    pub(crate) fn n_asked(&self) -> usize {
        if self.retried { self.long.len() } else { self.ranges.len() }
    }

    /// The bytes taken so far, gaps not counted, and those of records whose sizes are known.
    pub(crate) fn read(&self) -> ReadBytes {
        self.read
    }

    /// Takes the fetched bytes; returns the ranges still missing, none on the second call.
    pub(crate) fn accept(&mut self, fetched: Vec<Bytes>) -> Result<Vec<FileRange>, BlockError> {
        let expected = self.n_asked();
        if fetched.len() != expected {
            return Err(BlockError::Fetched { block: self.block, got: fetched.len(), expected });
        }
        let handed = fetched.iter().map(|bytes| bytes.len() as u64).sum::<u64>();
        if self.retried {
            self.read.fetched += handed;
            for (long, bytes) in self.long.iter_mut().zip(fetched) {
                let all = bytes.len() as u64;
                self.read.touched += (self.kind.size)(&bytes).map_or(all, |size| size.min(all));
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
                    // A longer record goes on in the gap behind it.
                    let longer = size.saturating_sub(self.places[i].expected);
                    self.gaps = self.gaps.saturating_sub(longer);
                    continue;
                }
                Some(size) => size.min(RECORD_BYTES_MAX).saturating_add(self.kind.behind),
                None => self.kind.estimate,
            };
            missing.push(FileRange { file: self.places[i].file, start: self.places[i].offset, len: needed });
            self.long.push((i, Bytes::new()));
        }
        self.read.fetched += handed.saturating_sub(self.gaps);
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

    /// All fetched bytes.
    pub(crate) fn into_fetched(self) -> Vec<Bytes> {
        self.fetched.into_iter().chain(self.long.into_iter().map(|(_, bytes)| bytes)).collect()
    }
}

/// The most that a chunk is expected to take, as in Thanos, bytes.
const CHUNK_BYTES: u64 = 16_000;

/// The least that is asked for a chunk whose size is not known, bytes.
const CHUNK_BYTES_MIN: u64 = 512;

/// The kind of a block's chunks. Without a recorded maximum, the sizes of segments in meta.json are looked at, which a
/// sidecar writes.
pub(crate) fn chunk_kind(meta: &BlockMeta) -> Kind {
    let thanos = meta.thanos.as_ref();
    let files = thanos.map(|thanos| thanos.files.as_slice()).unwrap_or_default();
    let segments = files.iter().filter(|file| file.rel_path.starts_with("chunks/"));
    let bytes = segments.fold(0_u64, |sum, file| sum.saturating_add(file.size_bytes));
    let recorded = thanos.map_or(0, |thanos| thanos.index_stats.chunk_max_size);
    let usual = usual_bytes(bytes, meta.stats.num_chunks, CHUNK_BYTES_MIN..=CHUNK_BYTES);
    Kind {
        what: "chunk",
        estimate: estimate(recorded, CHUNK_BYTES).unwrap_or(usual),
        behind: 0,
        size: record::size,
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

/// The size of the largest record as meta.json tells it, at most `most`; `None` if it is not told.
pub(crate) fn estimate(recorded: i64, most: u64) -> Option<u64> {
    u64::try_from(recorded).ok().filter(|n| *n > 0).map(|n| n.min(most))
}

/// What most of `n` records take at most where their largest is not known: four times the average, within `limits`; the
/// upper limit if there is no average.
pub(crate) fn usual_bytes(bytes: u64, n: u64, limits: RangeInclusive<u64>) -> u64 {
    match bytes.checked_div(n) {
        None | Some(0) => *limits.end(),
        Some(average) => average.saturating_mul(4).clamp(*limits.start(), *limits.end()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tithon_chunks::put_uvarint;

    use super::*;

    /// Records of so many bytes of data, each behind a gap, in one file; and where each lies.
    fn file(sizes: &[(usize, usize)]) -> (Vec<u8>, Vec<Range<usize>>) {
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        for (gap, size) in sizes {
            bytes.resize(bytes.len() + gap, 0xff);
            let start = bytes.len();
            put_uvarint(*size as u64, &mut bytes);
            // Encoding, data and checksum.
            bytes.resize(bytes.len() + 1 + size + 4, 7);
            places.push(start..bytes.len());
        }
        (bytes, places)
    }

    proptest! {
        #[test]
        fn records_are_found_with_any_expectation(
            records in prop::collection::vec((0_usize..1500, 0_usize..400, 0_u64..3000), 1..12),
            (estimate, behind) in (0_u64..600, 0_u64..40),
            reversed: bool,
        ) {
            let (bytes, mut found) = file(&records.iter().map(|(gap, size, _)| (*gap, *size)).collect::<Vec<_>>());
            let file = BlockFile::Segment(0);
            let mut places: Vec<Place> = found
                .iter()
                .zip(&records)
                .map(|(place, (_, _, expected))| Place { file, offset: place.start as u64, expected: *expected })
                .collect();
            if reversed {
                found.reverse();
                places.reverse();
            }
            let kind = Kind { what: "record", estimate, behind, size: record::size };
            let mut reader = Records::new(BlockId::from_parts(1, 1), kind, places);
            let (mut missing, mut rounds, mut handed) = (reader.ranges(), 0, 0);
            while !missing.is_empty() {
                let at = |n: u64| (n as usize).min(bytes.len());
                let read: Vec<Bytes> =
                    missing.iter().map(|r| Bytes::copy_from_slice(&bytes[at(r.start)..at(r.end())])).collect();
                handed += read.iter().map(Bytes::len).sum::<usize>() as u64;
                missing = reader.accept(read).unwrap();
                rounds += 1;
            }
            prop_assert!(rounds <= 2);
            for (i, place) in found.iter().enumerate() {
                let (slot, range) = reader.find(i).unwrap();
                prop_assert_eq!(&reader.slot(slot)[range], &bytes[place.clone()]);
            }
            let ReadBytes { fetched, touched } = reader.read();
            prop_assert_eq!(touched, found.iter().map(|place| place.len() as u64).sum::<u64>());
            prop_assert!(touched <= fetched && fetched <= handed, "{} {} {}", touched, fetched, handed);
        }
    }
}
