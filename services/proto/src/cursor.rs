//! Walks the fields of a message without the generated code.

/// Tags of fields whose values follow their length, and of numbers.
pub(crate) const LEN_1: u8 = 1 << 3 | 2;
pub(crate) const LEN_2: u8 = 2 << 3 | 2;
pub(crate) const LEN_3: u8 = 3 << 3 | 2;
pub(crate) const LEN_4: u8 = 4 << 3 | 2;
pub(crate) const NUMBER_1: u8 = 1 << 3;
pub(crate) const NUMBER_2: u8 = 2 << 3;
pub(crate) const NUMBER_3: u8 = 3 << 3;

/// What is left of a message; `None` where it ends early.
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    /// The tag of the next field; all fields of these messages have tags of one byte.
    #[inline]
    pub(crate) fn tag(&mut self) -> Option<u8> {
        let (tag, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*tag)
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        // A tenth byte holds one bit.
        for (i, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return (i < 9 || *byte <= 1).then_some(value);
            }
        }
        None
    }

    /// A value behind its length.
    #[inline]
    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let len = match self.0.first()? {
            short @ 0..0x80 => {
                self.0 = &self.0[1..];
                usize::from(*short)
            }
            _ => usize::try_from(self.varint()?).ok()?,
        };
        let (value, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(value)
    }
}
