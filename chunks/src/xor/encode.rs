//! Writes XOR chunks, byte for byte as Prometheus's appender.

use super::{DOD, fits_shifted};
use crate::bits::BitWriter;
use crate::xor_code::XorWriter;

/// Builds one XOR chunk sample by sample.
#[derive(Clone, Debug)]
pub struct XorEncoder {
    out: BitWriter,
    n: u16,
    t: i64,
    delta: i64,
    bits: u64,
    window: XorWriter,
}

impl Default for XorEncoder {
    fn default() -> XorEncoder {
        XorEncoder::new()
    }
}

impl XorEncoder {
    /// An empty chunk.
    pub fn new() -> XorEncoder {
        XorEncoder::with_capacity(128)
    }

    /// An empty chunk that can grow to `bytes` without moving.
    pub fn with_capacity(bytes: usize) -> XorEncoder {
        XorEncoder {
            out: BitWriter::with_capacity(&[0, 0], bytes),
            n: 0,
            t: 0,
            delta: 0,
            bits: 0,
            window: XorWriter::default(),
        }
    }

    /// Appends a sample at `t` milliseconds. Timestamps need not ascend.
    ///
    /// Panics after 65,535 samples, as many as the header can count: close a chunk long before.
    #[inline]
    pub fn push(&mut self, t: i64, value: f64) {
        let bits = value.to_bits();
        match self.n {
            0 => {
                self.out.varint(t);
                self.out.write(bits, 64);
            }
            1 => {
                self.delta = t.wrapping_sub(self.t);
                self.out.uvarint(self.delta as u64);
                self.window.write(bits ^ self.bits, &mut self.out);
            }
            _ => {
                let delta = t.wrapping_sub(self.t);
                let prefix = dod_code(delta.wrapping_sub(self.delta), &mut self.out);
                self.delta = delta;
                self.window.write_after(prefix, bits ^ self.bits, &mut self.out);
            }
        }
        self.t = t;
        self.bits = bits;
        self.n = self.n.checked_add(1).expect("a chunk counts at most 65,535 samples");
    }

    /// Samples so far.
    pub fn len(&self) -> usize {
        usize::from(self.n)
    }

    /// Whether there is no sample yet.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Size of the chunk's data so far, in bytes.
    pub fn byte_len(&self) -> usize {
        self.out.byte_len()
    }

    /// The chunk's data.
    pub fn finish(self) -> Vec<u8> {
        self.out.finish(&self.n.to_be_bytes())
    }
}

/// The code for a change of the time distance, as a field to be written next; a 64-bit one is written at once.
#[inline(always)]
fn dod_code(dod: i64, out: &mut BitWriter) -> (u64, u32) {
    if dod == 0 {
        return (0, 1);
    }
    for ones in 1..=3u32 {
        let (prefix, size) = DOD[ones as usize];
        if fits_shifted(dod, size) {
            let mark = ((1u64 << ones) - 1) << 1;
            return (mark << size | dod as u64 & ((1 << size) - 1), prefix + size);
        }
    }
    out.write(0b1111, 4);
    out.write(dod as u64, 64);
    (0, 0)
}
