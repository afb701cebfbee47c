//! XOR and XOR2 chunks, one bit at a time.

use tithon_chunks::STALE_NAN_BITS;

use crate::bits::{Bits, Starts, XorCode};

/// Start timestamp, time and bits of the value.
pub(crate) type Float = (i64, i64, u64);

/// The samples of an XOR chunk.
pub(crate) fn xor(data: &[u8]) -> Option<Vec<Float>> {
    let mut bits = Bits::new(data);
    let n = bits.take(16)?;
    let mut out = Vec::new();
    let (mut t, mut delta, mut value) = (0i64, 0i64, XorCode::default());
    for i in 0..n {
        if i == 0 {
            t = bits.varint()?;
            value = XorCode::of(bits.take(64)?);
        } else {
            delta = match i {
                1 => bits.uvarint()? as i64,
                _ => {
                    let size = [0, 14, 17, 20, 64][bits.ones(4)?];
                    delta.wrapping_add(bits.shifted(size)?)
                }
            };
            t = t.wrapping_add(delta);
            value.next(&mut bits)?;
        }
        out.push((0, t, value.bits));
    }
    Some(out)
}

/// The samples of an XOR2 chunk.
pub(crate) fn xor2(data: &[u8]) -> Option<Vec<Float>> {
    let mut bits = Bits::new(data);
    let n = bits.take(16)?;
    let mut starts = Starts::new(bits.take(8)?);
    let mut out = Vec::new();
    let (mut t, mut delta, mut base) = (0i64, 0i64, XorCode::default());
    for i in 0..n {
        let before = t;
        let value = match i {
            0 => {
                t = bits.varint()?;
                let first = bits.take(64)?;
                if first != STALE_NAN_BITS {
                    base = XorCode::of(first);
                }
                first
            }
            1 => {
                delta = bits.uvarint()? as i64;
                value2(&mut base, &mut bits)?
            }
            _ => {
                let (dod, value) = joint(&mut base, &mut bits)?;
                delta = delta.wrapping_add(dod);
                value
            }
        };
        if i > 0 {
            t = before.wrapping_add(delta);
        }
        out.push((starts.next(i, t, before, &mut bits)?, t, value));
    }
    Some(out)
}

/// The change of the distance in time, and the value.
fn joint(base: &mut XorCode, bits: &mut Bits<'_>) -> Option<(i64, u64)> {
    let size = match bits.ones(5)? {
        0 => return Some((0, base.bits)),
        1 => {
            let renew = bits.bit()?;
            base.difference(renew, bits)?;
            return Some((0, base.bits));
        }
        2 => 13,
        3 => 20,
        4 => 64,
        _ => return Some((0, STALE_NAN_BITS)),
    };
    let field = bits.take(size)? as i64;
    let dod = if size < 64 && field >= 1 << (size - 1) { field - (1 << size) } else { field };
    Some((dod, value2(base, bits)?))
}

fn value2(base: &mut XorCode, bits: &mut Bits<'_>) -> Option<u64> {
    match bits.ones(3)? {
        0 => {}
        1 => base.difference(false, bits)?,
        2 => base.difference(true, bits)?,
        _ => return Some(STALE_NAN_BITS),
    }
    Some(base.bits)
}
