//! Writes XOR2 chunks, byte for byte as Prometheus's appender.

use crate::STALE_NAN_BITS;
use crate::bits::BitWriter;
use crate::start::StartWriter;
use crate::xor_code::XorWriter;

/// Builds one XOR2 chunk sample by sample.
#[derive(Clone, Debug)]
pub struct Xor2Encoder {
    out: BitWriter,
    n: u16,
    t: i64,
    delta: i64,
    /// Bits of the last value that is not the stale marker.
    base: u64,
    window: XorWriter,
    start: StartWriter,
}

impl Default for Xor2Encoder {
    fn default() -> Xor2Encoder {
        Xor2Encoder::new()
    }
}

impl Xor2Encoder {
    /// An empty chunk.
    pub fn new() -> Xor2Encoder {
        Xor2Encoder {
            out: BitWriter::after(&[0, 0, 0]),
            n: 0,
            t: 0,
            delta: 0,
            base: 0,
            window: XorWriter::default(),
            start: StartWriter::default(),
        }
    }

    /// Appends a sample at `t` milliseconds with start timestamp `start` (0 is none).
    ///
    /// Panics after 65,535 samples, as many as the header can count: close a chunk long before.
    pub fn push(&mut self, start: i64, t: i64, value: f64) {
        let bits = value.to_bits();
        let previous_t = self.t;
        match self.n {
            0 => {
                self.out.varint(t);
                self.out.write(bits, 64);
                if bits != STALE_NAN_BITS {
                    self.base = bits;
                }
            }
            1 => {
                self.delta = t.wrapping_sub(previous_t);
                self.out.uvarint(self.delta as u64);
                self.write_value(bits);
            }
            _ => {
                let delta = t.wrapping_sub(previous_t);
                let dod = delta.wrapping_sub(self.delta);
                self.delta = delta;
                self.write_joint(dod, bits);
            }
        }
        self.start.write(self.n, t, previous_t, start, &mut self.out);
        self.t = t;
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
        let [high, low] = self.n.to_be_bytes();
        self.out.finish(&[high, low, self.start.header()])
    }

    fn write_joint(&mut self, dod: i64, bits: u64) {
        match dod {
            0 if bits == STALE_NAN_BITS => return self.out.write(0b11111, 5),
            0 if bits == self.base => return self.out.write(0, 1),
            0 => {
                self.out.write(0b10, 2);
                let xor = bits ^ self.base;
                self.base = bits;
                return self.window.write_nonzero(xor, (0, 1), (1, 1), &mut self.out);
            }
            -4096..=4095 => self.out.write(0b110 << 13 | dod as u64 & 0x1fff, 16),
            -524_288..=524_287 => self.out.write(0b1110 << 20 | dod as u64 & 0xf_ffff, 24),
            _ => {
                self.out.write(0b11110, 5);
                self.out.write(dod as u64, 64);
            }
        }
        self.write_value(bits);
    }

    fn write_value(&mut self, bits: u64) {
        if bits == STALE_NAN_BITS {
            self.out.write(0b111, 3);
        } else if bits == self.base {
            self.out.write(0, 1);
        } else {
            let xor = bits ^ self.base;
            self.base = bits;
            self.window.write_nonzero(xor, (0b10, 2), (0b110, 3), &mut self.out);
        }
    }
}
