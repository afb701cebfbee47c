//! XOR2 chunks (encoding 4): floats with one prefix for time and value together, and optional start timestamps.
//!
//! `be16 count, u8 start header; varint t0, 64 bits v0 [, varint t0 - start0]; uvarint t1 - t0, value; then per
//! sample a joint code`, each sample's start field behind it. Prometheus `tsdb/chunkenc/xor2.go`.

mod encode;

use crate::bits::BitReader;
use crate::sink::Sink;
use crate::start::StartReader;
use crate::xor_code::XorWindow;
use crate::{ChunkError, Encoding, Reader, STALE_NAN_BITS};

pub use encode::Xor2Encoder;

/// Most samples a chunk of `len` bytes can hold: one bit each after the second.
pub(crate) const fn samples_max(len: usize) -> usize {
    2 + 8 * len
}

/// Whether the chunk has fields of start timestamps (all of which may still be 0).
pub(crate) fn has_start_fields(data: &[u8]) -> bool {
    data.get(2).is_some_and(|header| *header != 0)
}

/// Decodes `data` into `sink`, which holds all samples before the damage when this fails.
#[inline(always)]
pub(crate) fn walk(data: &[u8], sink: &mut impl Sink) -> Result<(), ChunkError> {
    let mut head = Reader::new(data);
    let n = usize::from(head.u16_be("sample count")?);
    let mut start = StartReader::new(head.u8("start timestamp header")?);
    if n == 0 {
        return Ok(());
    }
    let mut t = head.varint("first timestamp")?;
    let first = head.u64_be("first value")?;
    let mut reader = BitReader::new(data, head.offset());
    let first_start = start.first(t, &mut reader).filter(|_| !reader.overrun()).ok_or(truncated(0, n))?;
    if !sink.push(t, first, first_start) || n == 1 {
        return Ok(());
    }
    let mut values =
        Values { base: if first == STALE_NAN_BITS { 0 } else { first }, window: XorWindow::default() };
    let mut delta = reader.uvarint().ok_or(truncated(1, n))? as i64;
    let mut previous_t = t;
    t = t.wrapping_add(delta);
    let mut bits = values.read(&mut reader);
    let has_runs = !has_start_fields(data);
    let mut i = 1;
    while i < n {
        if i > 1 {
            let peeked = reader.window();
            if has_runs && peeked >> 63 == 0 {
                // A bit a sample that is as the one before.
                let sure = (64 - (reader.position() & 7)).min(reader.left());
                let run = (peeked.leading_zeros() as usize).min(sure).min(n - i);
                if run == 0 {
                    return Err(truncated(i, n));
                }
                if !sink.run(t, delta, values.base, run) {
                    return Ok(());
                }
                t = t.wrapping_add(delta.wrapping_mul(run as i64));
                reader.skip(run);
                i += run;
                continue;
            }
            previous_t = t;
            bits = read_joint(&mut reader, peeked, &mut delta, &mut values);
            t = t.wrapping_add(delta);
        }
        let st = start.next(i, previous_t, &mut reader);
        if reader.overrun() {
            return Err(truncated(i, n));
        }
        if !sink.push(t, bits, st) {
            return Ok(());
        }
        i += 1;
    }
    Ok(())
}

const fn truncated(sample: usize, expected: usize) -> ChunkError {
    ChunkError::TruncatedSamples { encoding: Encoding::Xor2, sample, expected }
}

/// Decoder state of the values.
struct Values {
    /// Bits of the last value that is not the stale marker.
    base: u64,
    window: XorWindow,
}

impl Values {
    /// `0` the base, `10` bits in the last window, `110` a new window, `111` the stale marker.
    #[inline(always)]
    fn read(&mut self, reader: &mut BitReader<'_>) -> u64 {
        let ones = (!reader.window()).leading_zeros().min(3);
        reader.skip((ones + 1).min(3) as usize);
        match ones {
            0 => {}
            1 => self.base ^= self.window.reuse(reader),
            2 => self.base ^= self.window.renew(reader),
            _ => return STALE_NAN_BITS,
        }
        self.base
    }

    /// A value known to differ from the base: `0` bits in the last window, `1` a new window.
    #[inline(always)]
    fn read_changed(&mut self, reader: &mut BitReader<'_>) -> u64 {
        let renew = reader.read(1) == 1;
        self.base ^= if renew { self.window.renew(reader) } else { self.window.reuse(reader) };
        self.base
    }
}

/// Reads the joint code of one sample, of which `window` is the beginning: gives its bits and brings `delta` up to date.
#[inline(always)]
fn read_joint(reader: &mut BitReader<'_>, window: u64, delta: &mut i64, values: &mut Values) -> u64 {
    let ones = (!window).leading_zeros().min(5);
    reader.skip((ones + 1).min(5) as usize);
    let dod = match ones {
        0 => return values.base,
        1 => return values.read_changed(reader),
        5 => return STALE_NAN_BITS,
        2 => signed(reader, 13),
        3 => signed(reader, 20),
        _ => reader.read64() as i64,
    };
    *delta = delta.wrapping_add(dod);
    values.read(reader)
}

#[inline(always)]
fn signed(reader: &mut BitReader<'_>, size: u32) -> i64 {
    let up = 64 - size;
    (reader.read(size) << up) as i64 >> up
}
