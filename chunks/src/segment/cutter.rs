//! Where one segment file ends and the next begins: Prometheus's rules, without any file.

use super::{LENGTH_BYTES_MAX, SEGMENT_HEADER_BYTES};
use crate::ChunkRef;
use crate::reader::uvarint_len;

/// Where a chunk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The chunk's reference: segment and offset.
    pub chunk_ref: ChunkRef,
    /// Whether a new segment starts before this chunk: finish the file at hand, open the next one and write
    /// the segment header.
    pub opens_segment: bool,
}

/// Places chunks in segments, all chunks of one series at a time.
#[derive(Clone, Debug)]
pub struct SegmentCutter {
    segment_bytes_max: u64,
    n_segments: u32,
    /// Bytes in the current segment, 0 before the first one is opened.
    written: u64,
}

impl SegmentCutter {
    /// A cutter that starts with no segment and cuts at `segment_bytes_max`
    /// ([`SEGMENT_BYTES_MAX`](super::SEGMENT_BYTES_MAX) by default upstream).
    pub const fn new(segment_bytes_max: u64) -> SegmentCutter {
        SegmentCutter { segment_bytes_max, n_segments: 0, written: 0 }
    }

    /// Places the chunks of one series, given the lengths of their data; appends one placement a chunk to `out`.
    ///
    /// A chunk never spans segments; one that is larger than a segment gets one to itself. Offsets are 32 bits
    /// wide: with a limit below 4 GiB they suffice unless a single chunk is larger than that.
    pub fn place(&mut self, data_lens: &[usize], out: &mut Vec<Placement>) {
        let header = SEGMENT_HEADER_BYTES as u64;
        let before = self.written;
        let mut first_batch = true;
        let mut batch_bytes = 0u64;
        for (i, len) in data_lens.iter().enumerate() {
            let size_max = (LENGTH_BYTES_MAX + 1 + 4) as u64 + *len as u64;
            batch_bytes += size_max;
            let mut cut = i != 0 && batch_bytes + header > self.segment_bytes_max;
            if first_batch && before > header {
                cut = batch_bytes + before > self.segment_bytes_max;
                first_batch = !cut;
            }
            if cut {
                batch_bytes = size_max;
            }
            let opens_segment = cut || self.n_segments == 0;
            if opens_segment {
                self.n_segments += 1;
                self.written = header;
            }
            let chunk_ref = ChunkRef::new(self.n_segments - 1, self.written as u32);
            out.push(Placement { chunk_ref, opens_segment });
            self.written += (uvarint_len(*len as u64) + 1 + len + 4) as u64;
        }
    }

    /// Segments opened so far.
    pub const fn n_segments(&self) -> u32 {
        self.n_segments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(limit: u64, series: &[&[usize]], expected: &[(u32, u32, bool)]) {
        let mut cutter = SegmentCutter::new(limit);
        let mut out = Vec::new();
        for lens in series {
            cutter.place(lens, &mut out);
        }
        let got: Vec<_> =
            out.iter().map(|p| (p.chunk_ref.segment(), p.chunk_ref.offset(), p.opens_segment)).collect();
        assert_eq!(got, expected);
        assert_eq!(cutter.n_segments(), expected.last().map_or(0, |e| e.0 + 1));
    }

    #[test]
    fn everything_in_one_segment() {
        check(1000, &[&[10, 10], &[200]], &[(0, 8, true), (0, 24, false), (0, 40, false)]);
    }

    #[test]
    fn the_varint_counts_five_bytes_when_cutting() {
        // 8 + 2 * (5+1+10+4) = 48
        check(48, &[&[10, 10]], &[(0, 8, true), (0, 24, false)]);
        check(47, &[&[10, 10]], &[(0, 8, true), (1, 8, true)]);
        // The second series sees 24 bytes written and needs 20.
        check(44, &[&[10], &[10]], &[(0, 8, true), (0, 24, false)]);
        check(43, &[&[10], &[10]], &[(0, 8, true), (1, 8, true)]);
    }

    #[test]
    fn a_series_spans_segments_and_an_oversized_chunk_stands_alone() {
        check(50, &[&[10, 500, 10]], &[(0, 8, true), (1, 8, true), (2, 8, true)]);
        check(50, &[&[500], &[10]], &[(0, 8, true), (1, 8, true)]);
        check(50, &[&[], &[10]], &[(0, 8, true)]);
    }
}
