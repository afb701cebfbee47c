//! Bit streams, most significant bit first: a reader on 64-bit windows and a writer.
//!
//! Prometheus `tsdb/chunkenc/bstream.go`.

use crate::reader::unzigzag;

/// Reads bits by loading eight bytes at a time. Past the end it yields zeros: the caller compares
/// [`BitReader::overrun`] once a sample instead of checking every field.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    /// The last eight bytes (or fewer), left-aligned, for windows that reach over the end.
    tail: u64,
    tail_start: usize,
    position: usize,
}

impl<'a> BitReader<'a> {
    /// A reader of `data` that starts at byte `start`.
    pub(crate) fn new(data: &'a [u8], start: usize) -> BitReader<'a> {
        let tail_start = data.len().saturating_sub(8);
        let mut last = [0u8; 8];
        last[..data.len() - tail_start].copy_from_slice(&data[tail_start..]);
        BitReader { data, tail: u64::from_be_bytes(last), tail_start, position: start * 8 }
    }

    /// Bits from the start of the data to the next bit.
    #[inline(always)]
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Whether more bits were consumed than there are.
    #[inline(always)]
    pub(crate) fn overrun(&self) -> bool {
        self.position > self.data.len() * 8
    }

    /// Bits left, 0 after an overrun.
    #[inline(always)]
    pub(crate) fn left(&self) -> usize {
        (self.data.len() * 8).saturating_sub(self.position)
    }

    /// Moves on by `n` bits.
    #[inline(always)]
    pub(crate) fn skip(&mut self, n: usize) {
        self.position += n;
    }

    /// The next bits, left-aligned; at least 57 of them are right.
    #[inline(always)]
    pub(crate) fn window(&self) -> u64 {
        self.word(self.position >> 3) << (self.position & 7)
    }

    /// The next 64 bits.
    #[inline(always)]
    pub(crate) fn window64(&self) -> u64 {
        let byte = self.position >> 3;
        let shift = (self.position & 7) as u32;
        let next = self.data.get(byte + 8).copied().unwrap_or(0);
        (self.word(byte) << shift) | ((u64::from(next) << shift) >> 8)
    }

    #[inline(always)]
    fn word(&self, byte: usize) -> u64 {
        match self.data.get(byte..).and_then(|rest| rest.first_chunk::<8>()) {
            Some(eight) => u64::from_be_bytes(*eight),
            None => {
                let past = byte - self.tail_start;
                if past < 8 { self.tail << (8 * past) } else { 0 }
            }
        }
    }

    /// The next `n` bits as a number, `n` from 1 to 57.
    #[inline(always)]
    pub(crate) fn read(&mut self, n: u32) -> u64 {
        let bits = self.window() >> (64 - n);
        self.position += n as usize;
        bits
    }

    /// The next 64 bits as a number.
    #[inline(always)]
    pub(crate) fn read64(&mut self) -> u64 {
        let bits = self.window64();
        self.position += 64;
        bits
    }

    /// An unsigned LEB128 number whose bytes start at any bit; `None` when it does not fit 64 bits.
    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for i in 0..10 {
            let byte = self.read(8);
            if i == 9 && byte > 1 {
                return None;
            }
            value |= (byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A zigzag LEB128 number, see [`BitReader::uvarint`].
    pub(crate) fn varint(&mut self) -> Option<i64> {
        self.uvarint().map(unzigzag)
    }
}

/// Appends bit fields to bytes.
#[derive(Clone, Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not in `bytes` yet, left-aligned.
    pending: u64,
    /// How many, always below 64.
    n_pending: u32,
}

impl BitWriter {
    /// A writer that continues after `header`.
    pub(crate) fn after(header: &[u8]) -> BitWriter {
        BitWriter::with_capacity(header, 128)
    }

    /// A writer that continues after `header` and has room for `bytes` in all.
    pub(crate) fn with_capacity(header: &[u8], bytes: usize) -> BitWriter {
        let mut out = Vec::with_capacity(bytes);
        out.extend_from_slice(header);
        BitWriter { bytes: out, pending: 0, n_pending: 0 }
    }

    /// Appends the low `n` bits of `bits`, `n` from 1 to 64; the bits above must be zero.
    #[inline(always)]
    pub(crate) fn write(&mut self, bits: u64, n: u32) {
        debug_assert!(0 < n && n <= 64 && (n == 64 || bits >> n == 0));
        let free = 64 - self.n_pending;
        if n < free {
            self.pending |= bits << (free - n);
            self.n_pending += n;
            return;
        }
        let over = n - free;
        self.bytes.extend_from_slice(&(self.pending | (bits >> over)).to_be_bytes());
        self.pending = if over == 0 { 0 } else { bits << (64 - over) };
        self.n_pending = over;
    }

    /// Appends an unsigned LEB128 number in 8-bit groups at the current bit.
    pub(crate) fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    /// Appends a zigzag LEB128 number in 8-bit groups at the current bit.
    pub(crate) fn varint(&mut self, value: i64) {
        self.uvarint(crate::reader::zigzag(value));
    }

    /// Bytes that [`BitWriter::finish`] would give now.
    pub(crate) fn byte_len(&self) -> usize {
        self.bytes.len() + self.n_pending.div_ceil(8) as usize
    }

    /// Lets `write` append fields of together at most 1000 bytes, which is faster than one by one.
    #[inline(always)]
    pub(crate) fn fields<T>(&mut self, write: impl FnOnce(&mut Fields) -> T) -> T {
        let whole = (self.n_pending / 8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_be_bytes()[..whole]);
        let mut fields = Fields {
            block: [0; BLOCK_BYTES],
            len: 0,
            pending: self.pending << (8 * whole),
            n_pending: self.n_pending % 8,
        };
        let result = write(&mut fields);
        self.bytes.extend_from_slice(&fields.block[..fields.len]);
        (self.pending, self.n_pending) = (fields.pending, fields.n_pending);
        result
    }

    /// All bytes, the last one padded with zero bits on the right, with `header` over the first ones.
    pub(crate) fn finish(mut self, header: &[u8]) -> Vec<u8> {
        let n_bytes = self.n_pending.div_ceil(8) as usize;
        self.bytes.extend_from_slice(&self.pending.to_be_bytes()[..n_bytes]);
        self.bytes[..header.len()].copy_from_slice(header);
        self.bytes
    }
}

/// Bytes of a [`Fields`], eight of which are for the last store.
const BLOCK_BYTES: usize = 1024;

/// Bit fields on their way into a [`BitWriter`], a short stretch of them: what is whole bytes is stored at once, with no
/// branch on how many.
pub(crate) struct Fields {
    block: [u8; BLOCK_BYTES],
    len: usize,
    /// Bits not counted in `len` yet, left-aligned.
    pending: u64,
    /// How many, always below 8.
    n_pending: u32,
}

impl Fields {
    /// The most bits of a field.
    pub(crate) const BITS: u32 = 56;

    /// Appends the low `n` bits of `bits`, `n` from 0 to [`Fields::BITS`]; the bits above must be zero.
    #[inline(always)]
    pub(crate) fn write(&mut self, bits: u64, n: u32) {
        debug_assert!(n <= Fields::BITS && bits >> n == 0);
        let n_pending = self.n_pending + n;
        let pending = self.pending | bits << 1 << (63 - n_pending);
        self.block[self.len..][..8].copy_from_slice(&pending.to_be_bytes());
        self.len += (n_pending / 8) as usize;
        self.pending = pending << (n_pending & !7);
        self.n_pending = n_pending % 8;
    }

    /// Appends the low `n` bits of `bits`, `n` from 0 to 64.
    #[inline(always)]
    pub(crate) fn write_wide(&mut self, bits: u64, n: u32) {
        if n <= Fields::BITS {
            return self.write(bits, n);
        }
        self.write(bits >> 32, n - 32);
        self.write(bits & 0xffff_ffff, 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields() -> impl Strategy<Value = Vec<(u64, u32)>> {
        prop::collection::vec((any::<u64>(), 1u32..=64).prop_map(|(v, n)| (v >> (64 - n), n)), 0..80)
    }

    proptest! {
        #[test]
        fn fields_are_written_as_by_one(before in fields(), fields in fields()) {
            let (mut plain, mut fast) = (BitWriter::after(&[7]), BitWriter::after(&[7]));
            for (value, n) in &before {
                plain.write(*value, *n);
                fast.write(*value, *n);
            }
            fields.iter().for_each(|(value, n)| plain.write(*value, *n));
            for part in fields.chunks(50) {
                fast.fields(|out| part.iter().for_each(|(value, n)| out.write_wide(*value, *n)));
            }
            prop_assert_eq!(plain.finish(&[9]), fast.finish(&[9]));
        }

        #[test]
        fn what_is_written_is_read(fields in fields()) {
            let mut writer = BitWriter::after(&[7]);
            let mut bits = String::new();
            for (value, n) in &fields {
                writer.write(*value, *n);
                bits.push_str(&format!("{value:064b}")[64 - *n as usize..]);
            }
            prop_assert_eq!(writer.byte_len(), 1 + bits.len().div_ceil(8));
            let bytes = writer.finish(&[9]);
            prop_assert_eq!(bytes[0], 9);
            let written: String = bytes[1..].iter().map(|b| format!("{b:08b}")).collect();
            prop_assert_eq!(&written[..bits.len()], &bits);
            let mut reader = BitReader::new(&bytes, 1);
            for (value, n) in &fields {
                let got = if *n == 64 { reader.read64() } else if *n > 57 {
                    let hi = reader.read(20);
                    (hi << (n - 20)) | reader.read(n - 20)
                } else { reader.read(*n) };
                prop_assert_eq!(got, *value);
            }
            prop_assert!(!reader.overrun());
            prop_assert!(reader.left() < 8);
            reader.skip(9);
            prop_assert!(reader.overrun());
            prop_assert_eq!(reader.read64(), 0);
        }
    }
}
