//! A column of little-endian `u32` in shared bytes: built in memory or mapped from a file, read the same way.

use bytes::Bytes;

/// Numbers of 32 bits, one behind the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct U32s {
    bytes: Bytes,
    /// Whether the bytes were made here and are no slice of a file.
    built: bool,
}

impl U32s {
    /// Takes bytes as [`U32s::as_bytes`] gives them; a rest of less than four is ignored.
    pub(crate) fn from_bytes(bytes: Bytes) -> U32s {
        U32s { bytes, built: false }
    }

    pub(crate) fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / 4
    }

    /// Bytes held besides slices of a file.
    pub(crate) fn resident_bytes(&self) -> usize {
        if self.built { self.bytes.len() } else { 0 }
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> Option<u32> {
        let at = i.checked_mul(4)?;
        Some(u32::from_le_bytes(*self.bytes.get(at..)?.first_chunk()?))
    }
}

impl FromIterator<u32> for U32s {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> U32s {
        let mut bytes = Vec::new();
        for n in numbers {
            bytes.extend_from_slice(&n.to_le_bytes());
        }
        U32s { bytes: bytes.into(), built: true }
    }
}
