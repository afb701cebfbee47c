//! The common codes of the chunk formats, read one bit at a time.

/// A place in bits, the highest of a byte first.
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Bits<'a> {
        Bits { data, at: 0 }
    }

    pub(crate) fn bit(&mut self) -> Option<bool> {
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    pub(crate) fn take(&mut self, n: u64) -> Option<u64> {
        (0..n).try_fold(0, |acc, _| Some(acc << 1 | u64::from(self.bit()?)))
    }

    /// Ones before a zero, at most `max`; with `max` ones there is no zero behind.
    pub(crate) fn ones(&mut self, max: usize) -> Option<usize> {
        for n in 0..max {
            if !self.bit()? {
                return Some(n);
            }
        }
        Some(max)
    }

    pub(crate) fn uvarint(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = self.take(8)?;
            value |= (byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                return Some(value);
            }
        }
    }

    pub(crate) fn varint(&mut self) -> Option<i64> {
        let zigzag = self.uvarint()?;
        Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// A signed field of `n` bits whose range is shifted by one: half of 2 to the n is positive.
    pub(crate) fn shifted(&mut self, n: u64) -> Option<i64> {
        let field = self.take(n)?;
        Some(match n {
            0 | 64 => field as i64,
            _ if field > 1 << (n - 1) => field as i64 - (1 << n),
            _ => field as i64,
        })
    }

    fn varbit_size(&mut self) -> Option<u64> {
        Some([0, 3, 6, 9, 12, 18, 25, 56, 64][self.ones(8)?])
    }

    pub(crate) fn varbit_int(&mut self) -> Option<i64> {
        let size = self.varbit_size()?;
        self.shifted(size)
    }

    pub(crate) fn varbit_uint(&mut self) -> Option<u64> {
        let size = self.varbit_size()?;
        self.take(size)
    }
}

/// A value coded by its difference to the one before, and the window of bits where they differ.
#[derive(Clone, Copy, Default)]
pub(crate) struct XorCode {
    pub(crate) bits: u64,
    lead: u64,
    size: u64,
}

impl XorCode {
    pub(crate) fn of(bits: u64) -> XorCode {
        XorCode { bits, lead: 0, size: 0 }
    }

    /// `0`, or `10` and a difference, or `11`, a window and a difference.
    pub(crate) fn next(&mut self, bits: &mut Bits<'_>) -> Option<u64> {
        if bits.bit()? {
            let renew = bits.bit()?;
            self.difference(renew, bits)?;
        }
        Some(self.bits)
    }

    /// A difference, behind a new window or in the last one.
    pub(crate) fn difference(&mut self, renew: bool, bits: &mut Bits<'_>) -> Option<()> {
        if renew {
            self.lead = bits.take(5)?;
            self.size = match bits.take(6)? {
                0 => 64,
                size => size,
            };
        }
        self.bits ^= bits.take(self.size)? << (64 - self.lead - self.size);
        Some(())
    }
}

/// Start timestamps of encodings 4, 5 and 6.
pub(crate) struct Starts {
    first_known: bool,
    change_on: u64,
    distance: i64,
    start: i64,
}

impl Starts {
    pub(crate) fn new(header: u64) -> Starts {
        Starts { first_known: header & 128 != 0, change_on: header & 127, distance: 0, start: 0 }
    }

    /// The start timestamp of sample `i` at `t`, `before` being the time of the one before it.
    pub(crate) fn next(&mut self, i: u64, t: i64, before: i64, bits: &mut Bits<'_>) -> Option<i64> {
        if i == 0 {
            if self.first_known {
                self.start = t.wrapping_sub(bits.varint()?);
            }
        } else if self.change_on != 0 && i >= self.change_on {
            self.distance = self.distance.wrapping_add(bits.varbit_int()?);
            self.start = before.wrapping_sub(self.distance);
        }
        Some(self.start)
    }
}
