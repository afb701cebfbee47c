//! What decoding side by side begins with: copies of the chunks in one piece of memory, and the state behind the first
//! two samples of each.

use super::N_LANES;
use crate::bits::BitReader;
use crate::reader::Reader;
use crate::xor_code::XorWindow;

/// Zero bytes behind each chunk's copy: a step reads at most 145 bits past the end before it notices.
pub(super) const PADDING: usize = 64;

/// Copies the chunks into `scratch` and hands the first two samples of each to `first` (lane, index, time and bits).
///
/// Gives the state of each lane: position of the next bit in `scratch` and that behind the last one, time, distance
/// in time, bits of the value, leading zeros and size of the window. `None` when a chunk ends too early.
pub(super) fn columns(
    chunks: &[&[u8]; N_LANES],
    mut first: impl FnMut(usize, usize, i64, u64),
    scratch: &mut Vec<u8>,
) -> Option<[[i64; N_LANES]; 7]> {
    scratch.clear();
    scratch.reserve(chunks.iter().map(|data| data.len() + PADDING).sum());
    let mut columns = [[0i64; N_LANES]; 7];
    for (lane, data) in chunks.iter().enumerate() {
        let mut head = Reader::new(data);
        head.u16_be("sample count").ok()?;
        let t = head.varint("first timestamp").ok()?;
        let value = head.u64_be("first value").ok()?;
        let delta = head.uvarint("first time delta").ok()? as i64;
        let mut reader = BitReader::new(data, head.offset());
        let mut window = XorWindow::default();
        let bits = value ^ window.read(&mut reader);
        if reader.overrun() {
            return None;
        }
        first(lane, 0, t, value);
        first(lane, 1, t.wrapping_add(delta), bits);
        let base = (scratch.len() * 8) as i64;
        scratch.extend_from_slice(data);
        scratch.resize(scratch.len() + PADDING, 0);
        let (lead, size) = window.parts();
        let state = [
            base + reader.position() as i64,
            base + (data.len() * 8) as i64,
            t.wrapping_add(delta),
            delta,
            bits as i64,
            i64::from(lead),
            i64::from(size),
        ];
        for (column, value) in columns.iter_mut().zip(state) {
            column[lane] = value;
        }
    }
    Some(columns)
}
