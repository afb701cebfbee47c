//! The code for one float against the one before it: the XOR of the bits, as a window of significant bits.
//!
//! `0` equal; `10` bits in the last window; `11`, 5 bits leading zeros, 6 bits window size (0 is 64), the bits.

use std::hint::select_unpredictable;

use crate::bits::{BitReader, BitWriter, Fields};

/// Decoder state: the last window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct XorWindow {
    lead: u32,
    size: u32,
    /// The top `size` bits, or none where the window reaches over 64 bits (damaged bytes only).
    mask: u64,
}

impl Default for XorWindow {
    fn default() -> XorWindow {
        XorWindow { lead: 0, size: 64, mask: !0 }
    }
}

impl XorWindow {
    /// Reads the whole code and gives the XOR.
    #[inline(always)]
    pub(crate) fn read(&mut self, reader: &mut BitReader<'_>) -> u64 {
        let window = reader.window();
        if window >> 63 == 0 {
            reader.skip(1);
            return 0;
        }
        if window >> 62 == 2 {
            reader.skip(2);
            return self.reuse(reader);
        }
        reader.skip(2);
        self.renew(reader)
    }

    /// Leading zeros and size of the window.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn parts(&self) -> (u32, u32) {
        (self.lead, self.size)
    }

    /// Reads significant bits in the last window.
    #[inline(always)]
    pub(crate) fn reuse(&mut self, reader: &mut BitReader<'_>) -> u64 {
        let xor = (reader.window64() & self.mask) >> self.lead;
        reader.skip(self.size as usize);
        xor
    }

    /// Reads a new window and the significant bits in it.
    #[inline(always)]
    pub(crate) fn renew(&mut self, reader: &mut BitReader<'_>) -> u64 {
        let field = reader.read(11) as u32;
        self.lead = field >> 6;
        let size = field & 63;
        self.size = if size == 0 { 64 } else { size };
        // Upstream shifts by 64 - lead - size in eight bits: a window over the edge gives zero.
        self.mask = if self.lead + self.size > 64 { 0 } else { !0 << (64 - self.size) };
        self.reuse(reader)
    }
}

/// Encoder state: the last window, none at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct XorWriter {
    lead: u32,
    trail: u32,
}

/// More leading zeros than the clamp allows: no window fits.
const NO_WINDOW: u32 = 0xff;

impl Default for XorWriter {
    fn default() -> XorWriter {
        XorWriter { lead: NO_WINDOW, trail: 0 }
    }
}

impl XorWriter {
    /// Writes the whole code for `xor`.
    #[inline(always)]
    pub(crate) fn write(&mut self, xor: u64, out: &mut BitWriter) {
        self.write_after((0, 0), xor, out);
    }

    /// Writes `prefix`, a field of at most 24 bits, and the whole code for `xor`.
    #[inline(always)]
    pub(crate) fn write_after(&mut self, prefix: (u64, u32), xor: u64, out: &mut BitWriter) {
        if xor == 0 {
            out.write(prefix.0 << 1, prefix.1 + 1);
        } else {
            let extend = |mark: u64| (prefix.0 << 2 | mark, prefix.1 + 2);
            self.write_nonzero(xor, extend(0b10), extend(0b11), out);
        }
    }

    /// Does as [`XorWriter::write_after`]. Whether the window is kept is no branch, as nobody can foresee it.
    #[inline(always)]
    pub(crate) fn write_field(&mut self, prefix: (u64, u32), xor: u64, out: &mut Fields) {
        if xor == 0 {
            return out.write(prefix.0 << 1, prefix.1 + 1);
        }
        let lead = xor.leading_zeros().min(31);
        let trail = xor.trailing_zeros();
        let new = (lead < self.lead) | (trail < self.trail);
        let (lead, trail) =
            (select_unpredictable(new, lead, self.lead), select_unpredictable(new, trail, self.trail));
        *self = XorWriter { lead, trail };
        let size = 64 - lead - trail;
        let shape = u64::from(lead) << 6 | u64::from(size & 63);
        let head = prefix.0 << 2 | 0b10;
        let (head, n) =
            select_unpredictable(new, ((head | 1) << 11 | shape, prefix.1 + 13), (head, prefix.1 + 2));
        let value = xor >> trail;
        if n + size <= Fields::BITS {
            out.write(head << size | value, n + size);
        } else {
            out.write(head, n);
            out.write_wide(value, size);
        }
    }

    /// Writes a code for a `xor` that is not 0, with the prefixes for a window kept and a new one.
    #[inline(always)]
    pub(crate) fn write_nonzero(&mut self, xor: u64, kept: (u64, u32), new: (u64, u32), out: &mut BitWriter) {
        let lead = xor.leading_zeros().min(31);
        let trail = xor.trailing_zeros();
        if lead >= self.lead && trail >= self.trail {
            let size = 64 - self.lead - self.trail;
            write_pair(kept, (xor >> self.trail, size), out);
            return;
        }
        *self = XorWriter { lead, trail };
        let size = 64 - lead - trail;
        let head = (new.0 << 11 | u64::from(lead) << 6 | u64::from(size & 63), new.1 + 11);
        write_pair(head, (xor >> trail, size), out);
    }
}

/// Writes two fields, in one go where they fit 64 bits.
#[inline(always)]
fn write_pair(a: (u64, u32), b: (u64, u32), out: &mut BitWriter) {
    if a.1 + b.1 <= 64 && b.1 < 64 {
        out.write(a.0 << b.1 | b.0, a.1 + b.1);
    } else {
        out.write(a.0, a.1);
        out.write(b.0, b.1);
    }
}
