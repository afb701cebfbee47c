//! The symbol table: every string of a block once, sorted, behind its length.

use bytes::Bytes;

use crate::IndexError;
use crate::cursor::Cursor;
use crate::u32s::U32s;

/// A reference to a string of one block: its place in the table (version 2 and 3), or the file offset of its length
/// (version 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SymbolRef(pub u32);

/// Skips up to `n` strings whose lengths take one byte, from position `at` on: where the next string lies, and how many are
/// still to be skipped.
fn skip_short(strings: &[u8], mut at: usize, mut n: usize) -> (usize, usize) {
    while n > 0
        && let Some(len) = strings.get(at).filter(|len| **len < 0x80)
    {
        (at, n) = (at + 1 + usize::from(*len), n - 1);
    }
    (at, n)
}

/// How many symbols lie between two whose positions are kept.
pub(crate) const SYMBOLS_PER_SAMPLE: usize = 32;

/// The strings of a block. Holds a slice of the file and the position of every 32nd string.
#[derive(Clone, Debug)]
pub struct SymbolTable {
    /// The strings, behind the count.
    strings: Bytes,
    count: u32,
    samples: U32s,
    /// File offset of `strings` in the index, which version 1 refers to.
    base: u64,
    by_offset: bool,
}

impl SymbolTable {
    /// Opens the section that begins `section` (`be32 length | be32 count | strings | CRC32C`), which lies at `offset`
    /// in the index. Verifies the checksum and walks all strings.
    pub(crate) fn open(section: Bytes, offset: u64, version: u8) -> Result<SymbolTable, IndexError> {
        let content = Cursor::new(&section, offset).framed("symbol table")?;
        let mut cursor = Cursor::new(content, offset + 4);
        let count = cursor.u32_be("symbol count")?;
        let n = cursor.expect_items(u64::from(count), 1, "symbols")?;
        let mut samples = Vec::with_capacity(n.div_ceil(SYMBOLS_PER_SAMPLE));
        for i in 0..n {
            if i % SYMBOLS_PER_SAMPLE == 0 {
                samples.push(cursor.pos() as u32 - 4);
            }
            cursor.string("symbol")?;
        }
        let strings = section.slice_ref(&content[4..]);
        let samples = samples.into_iter().collect();
        Ok(SymbolTable { strings, count, samples, base: offset + 8, by_offset: version == 1 })
    }

    /// The strings, their number, and the column of samples, as [`SymbolTable::from_parts`] takes them.
    pub(crate) fn parts(&self) -> (&Bytes, u32, &Bytes) {
        (&self.strings, self.count, self.samples.as_bytes())
    }

    /// The table of an index of version 2 or later whose section lies at `offset`, without a look at the strings.
    pub(crate) fn from_parts(strings: Bytes, count: u32, samples: Bytes, offset: u64) -> SymbolTable {
        let samples = U32s::from_bytes(samples);
        SymbolTable { strings, count, samples, base: offset + 8, by_offset: false }
    }

    /// Number of strings, used or not.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no string.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The string that `symbol` refers to; fails when there is none.
    pub fn get(&self, symbol: SymbolRef) -> Result<&[u8], IndexError> {
        let missing = || IndexError::NoSymbol { symbol: symbol.0, symbols: self.count };
        let (start, skip) = if self.by_offset {
            let at = u64::from(symbol.0).checked_sub(self.base).ok_or_else(missing)?;
            (usize::try_from(at).map_err(|_| missing())?, 0)
        } else {
            let i = symbol.0 as usize;
            if i >= self.count as usize {
                return Err(missing());
            }
            let start = self.samples.get(i / SYMBOLS_PER_SAMPLE).ok_or_else(missing)?;
            (start as usize, i % SYMBOLS_PER_SAMPLE)
        };
        if start >= self.strings.len() {
            return Err(missing());
        }
        let (start, skip) = skip_short(&self.strings, start, skip);
        let mut cursor = Cursor::at(&self.strings, start, self.base);
        for _ in 0..skip {
            cursor.string("symbol")?;
        }
        cursor.string("symbol")
    }

    /// All strings in the order stored.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut cursor = Cursor::new(&self.strings, self.base);
        (0..self.count).map_while(move |_| cursor.string("symbol").ok())
    }

    /// All strings in the order stored, with their references.
    pub fn refs(&self) -> impl Iterator<Item = (SymbolRef, &[u8])> {
        let mut cursor = Cursor::new(&self.strings, self.base);
        (0..self.count).map_while(move |i| {
            let symbol = SymbolRef(if self.by_offset { self.base as u32 + cursor.pos() as u32 } else { i });
            Some((symbol, cursor.string("symbol").ok()?))
        })
    }

    /// Bytes held besides the slice of the file.
    pub(crate) fn resident_bytes(&self) -> usize {
        self.samples.resident_bytes()
    }
}
