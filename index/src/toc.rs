//! The table of contents at the end of an index: where its sections begin.

use std::ops::Range;

use crate::IndexError;
use crate::cursor::Cursor;

/// Offsets of the sections in the file; 0 means that the section is absent. Stored as six `be64` and their CRC32C
/// in the last 52 bytes of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Toc {
    /// The symbol table.
    pub symbols: u64,
    /// The series entries; not yet aligned.
    pub series: u64,
    /// End of the series entries; in old files the label index sections begin here.
    pub label_indices: u64,
    /// The legacy label offset table; the same as `postings_offsets` where there is none.
    pub label_offsets: u64,
    /// The postings lists; not yet aligned.
    pub postings: u64,
    /// The postings offset table, right behind the last list.
    pub postings_offsets: u64,
}

/// First bytes of an index file.
pub(crate) const INDEX_MAGIC: u32 = 0xBAAA_D700;

impl Toc {
    /// Bytes that the table takes at the end of the file.
    pub const SIZE: usize = 52;

    /// Reads the table from bytes that end where the file of `file_size` bytes ends; 52 of them are enough.
    pub fn parse(tail: &[u8], file_size: u64) -> Result<Toc, IndexError> {
        let what = "table of contents";
        let Some(start) = tail.len().checked_sub(Toc::SIZE) else {
            let (needed, left) = (Toc::SIZE as u64, tail.len() as u64);
            return Err(IndexError::Truncated { what, offset: 0, needed, left });
        };
        let offset = file_size.saturating_sub(Toc::SIZE as u64);
        let mut cursor = Cursor::new(&tail[start..], offset);
        let got = crc32c::crc32c(&tail[start..tail.len() - 4]);
        let toc = Toc {
            symbols: cursor.u64_be(what)?,
            series: cursor.u64_be(what)?,
            label_indices: cursor.u64_be(what)?,
            label_offsets: cursor.u64_be(what)?,
            postings: cursor.u64_be(what)?,
            postings_offsets: cursor.u64_be(what)?,
        };
        let expected = cursor.u32_be(what)?;
        if got != expected {
            return Err(IndexError::Checksum { what, offset, got, expected });
        }
        toc.check_order(offset)?;
        Ok(toc)
    }

    /// Sections that are there must lie before the table and in the order of the format.
    fn check_order(&self, offset: u64) -> Result<(), IndexError> {
        let found = [self.symbols, self.series, self.label_indices, self.postings_offsets];
        let mut last = 0;
        for at in found.into_iter().filter(|at| *at != 0) {
            if at < last || at > offset {
                let expected = "ascending offsets inside the file";
                return Err(IndexError::Invalid { what: "table of contents", offset, found: at, expected });
            }
            last = at;
        }
        Ok(())
    }

    /// The table as stored.
    pub fn to_bytes(&self) -> [u8; Toc::SIZE] {
        let fields = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_offsets,
            self.postings,
            self.postings_offsets,
        ];
        let mut out = [0; Toc::SIZE];
        for (slot, field) in out.chunks_exact_mut(8).zip(fields) {
            slot.copy_from_slice(&field.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[..48]);
        out[48..].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Where the symbol table and the padding behind it lie: what an index-header copies.
    pub fn symbols_range(&self) -> Range<u64> {
        self.symbols..self.series.max(self.symbols)
    }

    /// Where the postings offset table and everything behind it lie: what an index-header copies.
    pub fn offsets_range(&self, file_size: u64) -> Range<u64> {
        self.postings_offsets..file_size.max(self.postings_offsets)
    }

    /// Where the series entries lie.
    pub fn series_range(&self) -> Range<u64> {
        self.series..self.label_indices.max(self.series)
    }

    /// Where the last postings list ends: the label offset table of old files, else the postings offset table.
    pub(crate) fn postings_end(&self, last_list: u64) -> u64 {
        if self.label_offsets > last_list && self.label_offsets < self.postings_offsets {
            self.label_offsets
        } else {
            self.postings_offsets
        }
    }
}

/// The version of an index from its first five bytes: 1, 2 or 3.
pub fn index_version(head: &[u8]) -> Result<u8, IndexError> {
    let mut cursor = Cursor::new(head, 0);
    let magic = cursor.u32_be("index magic")?;
    if magic != INDEX_MAGIC {
        let (found, expected) = (u64::from(magic), "0xbaaad700");
        return Err(IndexError::Invalid { what: "index magic", offset: 0, found, expected });
    }
    match cursor.u8("index version")? {
        version @ 1..=3 => Ok(version),
        version => Err(IndexError::Version { what: "index", version }),
    }
}
