//! XOR chunks (encoding 1): floats by Gorilla's scheme.
//!
//! `be16 count; varint t0, 64 bits v0; uvarint t1 - t0, xor code v1; then per sample a code for the change of the
//! distance in time and an xor code`. Prometheus `tsdb/chunkenc/xor.go`, Facebook's Gorilla paper.

mod encode;

use crate::bits::BitReader;
use crate::sink::Sink;
use crate::xor_code::XorWindow;
use crate::{ChunkError, Encoding, Reader};

pub use encode::XorEncoder;

/// Most samples a chunk of `len` bytes can hold: two bits each after the second.
pub(crate) const fn samples_max(len: usize) -> usize {
    2 + 4 * len
}

/// Decodes `data` into `sink`, which holds all samples before the damage when this fails.
///
/// `RUNS`: take stretches of unchanged samples at once.
#[inline(always)]
pub(crate) fn walk<const RUNS: bool>(data: &[u8], sink: &mut impl Sink) -> Result<(), ChunkError> {
    let mut head = Reader::new(data);
    let n = usize::from(head.u16_be("sample count")?);
    if n == 0 {
        return Ok(());
    }
    let mut t = head.varint("first timestamp")?;
    let mut bits = head.u64_be("first value")?;
    if !sink.push(t, bits, 0) || n == 1 {
        return Ok(());
    }
    let mut delta = head.uvarint("first time delta")? as i64;
    let mut reader = BitReader::new(data, head.offset());
    let mut window = XorWindow::default();
    t = t.wrapping_add(delta);
    bits ^= window.read(&mut reader);
    if reader.overrun() {
        return Err(truncated(1, n));
    }
    if !sink.push(t, bits, 0) {
        return Ok(());
    }
    let mut i = 2;
    while i < n {
        let peeked = reader.window();
        if RUNS && peeked >> 62 == 0 {
            let sure = (64 - (reader.position() & 7)).min(reader.left());
            let run = ((peeked.leading_zeros() as usize).min(sure) / 2).min(n - i);
            if run == 0 {
                return Err(truncated(i, n));
            }
            if !sink.run(t, delta, bits, run) {
                return Ok(());
            }
            t = t.wrapping_add(delta.wrapping_mul(run as i64));
            reader.skip(2 * run);
            i += run;
            continue;
        }
        delta = delta.wrapping_add(read_dod(&mut reader, peeked));
        t = t.wrapping_add(delta);
        bits ^= window.read(&mut reader);
        if reader.overrun() {
            return Err(truncated(i, n));
        }
        if !sink.push(t, bits, 0) {
            return Ok(());
        }
        i += 1;
    }
    Ok(())
}

pub(crate) const fn truncated(sample: usize, expected: usize) -> ChunkError {
    ChunkError::TruncatedSamples { encoding: Encoding::Xor, sample, expected }
}

/// Bits of the prefix and of the field behind it, by the number of leading ones.
const DOD: [(u32, u32); 5] = [(1, 0), (2, 14), (3, 17), (4, 20), (4, 64)];

/// Reads the change of the time distance; `peeked` is the reader's window.
#[inline(always)]
fn read_dod(reader: &mut BitReader<'_>, peeked: u64) -> i64 {
    let ones = (!peeked).leading_zeros().min(4) as usize;
    if ones == 0 {
        reader.skip(1);
        return 0;
    }
    let (prefix, size) = DOD[ones];
    if size == 64 {
        reader.skip(4);
        return reader.read64() as i64;
    }
    reader.skip((prefix + size) as usize);
    shifted_signed((peeked << prefix) >> (64 - size), size)
}

/// The signed number in the `size` bits of `u`, whose range is shifted by one: -(2^(n-1) - 1) to 2^(n-1).
#[inline(always)]
pub(crate) const fn shifted_signed(u: u64, size: u32) -> i64 {
    let up = 64 - size;
    (((u.wrapping_sub(1)) << up) as i64 >> up).wrapping_add(1)
}

/// Whether `v` fits `size` bits in the range shifted by one.
#[inline(always)]
pub(crate) const fn fits_shifted(v: i64, size: u32) -> bool {
    let half = 1i64 << (size - 1);
    -half < v && v <= half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_signed_fields_is_shifted_by_one() {
        assert_eq!(shifted_signed(0b100, 3), 4);
        assert_eq!(shifted_signed(0b101, 3), -3);
        assert_eq!(shifted_signed(0b111, 3), -1);
        assert_eq!(shifted_signed(0, 3), 0);
        assert_eq!(shifted_signed(1 << 13, 14), 8192);
        for size in [3u32, 6, 14, 20, 25, 56] {
            let half = 1i64 << (size - 1);
            for v in [-half + 1, -1, 0, 1, half - 1, half] {
                assert!(fits_shifted(v, size));
                assert_eq!(shifted_signed(v as u64 & ((1 << size) - 1), size), v);
            }
            assert!(!fits_shifted(-half, size) && !fits_shifted(half + 1, size));
        }
    }
}
