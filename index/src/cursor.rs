//! A checked cursor over index bytes: every read names itself in its error.

use tithon_chunks::{put_uvarint, unzigzag};

use crate::IndexError;

/// Reads forward through `data`; `base` is where `data` lies in its file, for errors.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    data: &'a [u8],
    pos: usize,
    base: u64,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(data: &'a [u8], base: u64) -> Cursor<'a> {
        Cursor { data, pos: 0, base }
    }

    /// A cursor that begins at `pos` inside `data`; past the end it reads nothing.
    pub(crate) fn at(data: &'a [u8], pos: usize, base: u64) -> Cursor<'a> {
        Cursor { data, pos: pos.min(data.len()), base }
    }

    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    /// Where the next byte lies in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.base.saturating_add(self.pos as u64)
    }

    pub(crate) fn left(&self) -> usize {
        self.data.len() - self.pos
    }

    pub(crate) fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], IndexError> {
        match self.data.get(self.pos..).and_then(|rest| rest.get(..n)) {
            Some(bytes) => {
                self.pos += n;
                Ok(bytes)
            }
            None => Err(self.truncated(n as u64, what)),
        }
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, IndexError> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(crate) fn u32_be(&mut self, what: &'static str) -> Result<u32, IndexError> {
        Ok(u32::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn u64_be(&mut self, what: &'static str) -> Result<u64, IndexError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], IndexError> {
        match self.data.get(self.pos..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(bytes) => {
                self.pos += N;
                Ok(*bytes)
            }
            None => Err(self.truncated(N as u64, what)),
        }
    }

    /// LEB128, at most ten bytes.
    #[inline]
    pub(crate) fn uvarint(&mut self, what: &'static str) -> Result<u64, IndexError> {
        if let Some(&byte) = self.data.get(self.pos)
            && byte < 0x80
        {
            self.pos += 1;
            return Ok(u64::from(byte));
        }
        let rest = self.data.get(self.pos..).unwrap_or_default();
        let word = rest.first_chunk().map(|word| u64::from_le_bytes(*word));
        if let Some((value, len)) = word.and_then(short_uvarint) {
            self.pos += len;
            return Ok(value);
        }
        self.uvarint_long(what)
    }

    /// One of more than eight bytes, or near the end of the data.
    fn uvarint_long(&mut self, what: &'static str) -> Result<u64, IndexError> {
        let bytes = self.data.get(self.pos..).unwrap_or_default();
        let mut value = 0u64;
        for (i, byte) in bytes.iter().take(10).enumerate() {
            if i == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.pos += i + 1;
                return Ok(value);
            }
        }
        if bytes.len() < 10 {
            return Err(self.truncated(bytes.len() as u64 + 1, what));
        }
        Err(IndexError::Invalid {
            what,
            offset: self.offset(),
            found: value,
            expected: "a varint of 64 bits",
        })
    }

    /// A varint that must fit in 32 bits.
    #[inline]
    pub(crate) fn uvarint32(&mut self, what: &'static str) -> Result<u32, IndexError> {
        let offset = self.offset();
        let value = self.uvarint(what)?;
        u32::try_from(value).map_err(|_| IndexError::Invalid {
            what,
            offset,
            found: value,
            expected: "a number of 32 bits",
        })
    }

    /// Zigzag LEB128.
    pub(crate) fn varint(&mut self, what: &'static str) -> Result<i64, IndexError> {
        Ok(unzigzag(self.uvarint(what)?))
    }

    /// A string behind its length.
    #[inline]
    pub(crate) fn string(&mut self, what: &'static str) -> Result<&'a [u8], IndexError> {
        let len = self.uvarint(what)?;
        match usize::try_from(len) {
            Ok(len) => self.take(len, what),
            Err(_) => Err(self.truncated(len, what)),
        }
    }

    /// The next sixteen bytes as a little-endian number, if so many are left.
    #[inline]
    pub(crate) fn peek_word(&self) -> Option<u128> {
        Some(u128::from_le_bytes(*self.data.get(self.pos..)?.first_chunk()?))
    }

    /// Skips `n` bytes that were peeked at.
    #[inline]
    pub(crate) fn skip_peeked(&mut self, n: usize) {
        self.pos += n;
    }

    /// Checks that what is about to be read, `n` items of at least `size` bytes, can be there at all.
    pub(crate) fn expect_items(&self, n: u64, size: u64, what: &'static str) -> Result<usize, IndexError> {
        let needed = n.saturating_mul(size);
        if needed > self.left() as u64 { Err(self.truncated(needed, what)) } else { Ok(n as usize) }
    }

    /// A section `be32 length | content | be32 CRC32C of the content`: the content, its checksum verified.
    pub(crate) fn framed(&mut self, what: &'static str) -> Result<&'a [u8], IndexError> {
        let offset = self.offset();
        let len = self.u32_be(what)?;
        let content = self.take(len as usize, what)?;
        let expected = self.u32_be(what)?;
        let got = crc32c::crc32c(content);
        if got == expected { Ok(content) } else { Err(IndexError::Checksum { what, offset, got, expected }) }
    }

    fn truncated(&self, needed: u64, what: &'static str) -> IndexError {
        IndexError::Truncated { what, offset: self.offset(), needed, left: self.left() as u64 }
    }
}

/// The varint that the low bytes of `word` are, and how many of them; `None` when it does not end in the word.
#[inline]
fn short_uvarint(word: u64) -> Option<(u64, usize)> {
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    let bits = ends.trailing_zeros() + 1;
    let groups = word & 0x7f7f_7f7f_7f7f_7f7f & (u64::MAX >> (64 - bits));
    let pairs = (groups & 0x007f_007f_007f_007f) | (groups & 0x7f00_7f00_7f00_7f00) >> 1;
    let quads = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    let value = (quads & 0x0fff_ffff) | (quads & 0x0fff_ffff_0000_0000) >> 4;
    Some((value, bits as usize / 8))
}

/// Appends `s` behind its length.
pub(crate) fn put_string(out: &mut Vec<u8>, s: &[u8]) {
    put_uvarint(s.len() as u64, out);
    out.extend_from_slice(s);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tithon_chunks::put_varint;

    use super::*;

    proptest! {
        #[test]
        fn varints_come_back(u: u64, i: i64) {
            for (u, i) in [(u, i), (u >> 20, i >> 20), (u >> 40, i >> 40)] {
                let mut out = Vec::new();
                put_uvarint(u, &mut out);
                put_varint(i, &mut out);
                put_uvarint(u, &mut out);
                let mut cursor = Cursor::new(&out, 0);
                prop_assert_eq!(cursor.uvarint("u").unwrap(), u);
                prop_assert_eq!(cursor.varint("i").unwrap(), i);
                prop_assert_eq!(cursor.uvarint("u").unwrap(), u);
                prop_assert_eq!(cursor.left(), 0);
            }
        }
    }

    #[test]
    fn varints_too_long_are_refused() {
        for bytes in
            [&[0xff; 10][..], &[0x80; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]]
        {
            assert!(matches!(Cursor::new(bytes, 0).uvarint("x"), Err(IndexError::Invalid { .. })));
        }
        assert!(matches!(Cursor::new(&[0x80], 0).uvarint("x"), Err(IndexError::Truncated { .. })));
    }

    #[test]
    fn lying_lengths_reserve_nothing() {
        let mut cursor = Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2], 0);
        assert!(matches!(cursor.string("s"), Err(IndexError::Truncated { .. })));
        assert!(Cursor::new(&[0; 8], 0).expect_items(u64::MAX, 3, "items").is_err());
    }
}
