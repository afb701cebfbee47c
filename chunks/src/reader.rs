//! A checked cursor over bytes: every fixed field, varint and slice that Prometheus's files are made of.

use crate::ChunkError;

/// Reads fields one after the other from a byte slice; each read names itself for the error.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A cursor at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, position: 0 }
    }

    /// Bytes read so far.
    pub const fn offset(&self) -> usize {
        self.position
    }

    /// Bytes not read yet.
    pub const fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// Whether all bytes are read.
    pub const fn is_empty(&self) -> bool {
        self.left() == 0
    }

    /// All bytes not read yet, without moving.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// The next `len` bytes, as a slice of the input; [`ChunkError::Truncated`] when fewer are left.
    pub fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], ChunkError> {
        match self.rest().get(..len) {
            Some(taken) => {
                self.position += len;
                Ok(taken)
            }
            None => Err(self.truncated(what, len)),
        }
    }

    /// Like [`Reader::take`] for a length that was read from the bytes themselves.
    pub fn take_u64(&mut self, len: u64, what: &'static str) -> Result<&'a [u8], ChunkError> {
        match usize::try_from(len) {
            Ok(len) => self.take(len, what),
            Err(_) => Err(self.truncated(what, usize::MAX)),
        }
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, ChunkError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Two bytes, big-endian.
    pub fn u16_be(&mut self, what: &'static str) -> Result<u16, ChunkError> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Four bytes, big-endian.
    pub fn u32_be(&mut self, what: &'static str) -> Result<u32, ChunkError> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    pub fn u64_be(&mut self, what: &'static str) -> Result<u64, ChunkError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// An unsigned LEB128 number of at most ten bytes that fits 64 bits.
    #[inline]
    pub fn uvarint(&mut self, what: &'static str) -> Result<u64, ChunkError> {
        let (value, len) = match self.rest() {
            [a, ..] if *a < 0x80 => (u64::from(*a), 1),
            [a, b, ..] if *b < 0x80 => (u64::from(a & 0x7f) | u64::from(*b) << 7, 2),
            _ => return self.uvarint_long(what),
        };
        self.position += len;
        Ok(value)
    }

    fn uvarint_long(&mut self, what: &'static str) -> Result<u64, ChunkError> {
        let rest = self.rest();
        let mut value = 0u64;
        for (i, byte) in rest.iter().take(10).enumerate() {
            let group = u64::from(byte & 0x7f);
            if i == 9 && *byte > 1 {
                break;
            }
            value |= group << (7 * i);
            if byte & 0x80 == 0 {
                self.position += i + 1;
                return Ok(value);
            }
        }
        match rest.get(9) {
            None => Err(self.truncated(what, rest.len() + 1)),
            Some(byte) => Err(ChunkError::Invalid {
                what,
                offset: self.position + 9,
                found: u64::from(*byte),
                expected: "0 or 1 as the tenth byte of a varint",
            }),
        }
    }

    /// A signed number: zigzag in an unsigned LEB128 number.
    pub fn varint(&mut self, what: &'static str) -> Result<i64, ChunkError> {
        self.uvarint(what).map(unzigzag)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ChunkError> {
        match self.rest().first_chunk::<N>() {
            Some(array) => {
                self.position += N;
                Ok(*array)
            }
            None => Err(self.truncated(what, N)),
        }
    }

    const fn truncated(&self, what: &'static str, needed: usize) -> ChunkError {
        ChunkError::Truncated { what, offset: self.position, needed, left: self.left() }
    }
}

/// The signed number that zigzag stores as `u`: 0, -1, 1, -2, 2, ...
pub const fn unzigzag(u: u64) -> i64 {
    (u >> 1) as i64 ^ -((u & 1) as i64)
}

/// Zigzag of `v`: small numbers of either sign become small unsigned ones.
pub const fn zigzag(v: i64) -> u64 {
    ((v << 1) ^ (v >> 63)) as u64
}

/// Appends `value` in LEB128, the shortest form.
pub fn put_uvarint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends `value` as a zigzag LEB128 number, the shortest form.
pub fn put_varint(value: i64, out: &mut Vec<u8>) {
    put_uvarint(zigzag(value), out);
}

/// Bytes that [`put_uvarint`] writes for `value`: 1 to 10.
pub const fn uvarint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_round_trip_at_every_width() {
        for bit in 0..64 {
            for value in [1u64 << bit, (1u64 << bit) - 1, u64::MAX >> bit] {
                let mut bytes = Vec::new();
                put_uvarint(value, &mut bytes);
                assert_eq!(bytes.len(), uvarint_len(value), "{value}");
                let mut reader = Reader::new(&bytes);
                assert_eq!(reader.uvarint("v").unwrap(), value);
                assert!(reader.is_empty());
                assert_eq!(unzigzag(zigzag(value as i64)), value as i64);
                for cut in 0..bytes.len() {
                    assert!(Reader::new(&bytes[..cut]).uvarint("v").is_err());
                }
            }
        }
    }

    #[test]
    fn an_eleventh_byte_or_a_65th_bit_is_refused() {
        let mut long = [0x80u8; 11];
        assert!(matches!(Reader::new(&long).uvarint("v"), Err(ChunkError::Invalid { offset: 9, .. })));
        long[9] = 2;
        assert!(Reader::new(&long).uvarint("v").is_err());
        long[9] = 1;
        assert_eq!(Reader::new(&long).uvarint("v").unwrap(), 1 << 63);
    }

    #[test]
    fn fields_are_big_endian_and_errors_name_the_place() {
        let bytes = [1u8, 2, 3, 4, 5, 6, 7];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8("a").unwrap(), 1);
        assert_eq!(reader.u16_be("b").unwrap(), 0x0203);
        assert_eq!(reader.u32_be("c").unwrap(), 0x0405_0607);
        let expected = ChunkError::Truncated { what: "d", offset: 7, needed: 8, left: 0 };
        assert_eq!(reader.u64_be("d").unwrap_err(), expected);
        assert!(reader.take_u64(u64::MAX, "e").is_err());
        assert_eq!(reader.take(0, "f").unwrap(), b"");
    }
}
