//! A column of little-endian `u32` in shared bytes: built in memory or mapped from a file, read the same way.

use bytes::Bytes;

/// Numbers of 32 bits, one behind the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct U32s(Bytes);

impl U32s {
    pub(crate) fn len(&self) -> usize {
        self.0.len() / 4
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> Option<u32> {
        let at = i.checked_mul(4)?;
        Some(u32::from_le_bytes(*self.0.get(at..)?.first_chunk()?))
    }
}

impl FromIterator<u32> for U32s {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> U32s {
        let mut bytes = Vec::new();
        for n in numbers {
            bytes.extend_from_slice(&n.to_le_bytes());
        }
        U32s(bytes.into())
    }
}
