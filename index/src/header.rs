//! The resident part of an index: symbols and postings offsets. Made from a whole index, from the binary index-header
//! that Thanos keeps of a remote one, or from our own sparse form of that.

mod sparse;

use std::io::Write;
use std::ops::Range;

use bytes::Bytes;

use crate::cursor::Cursor;
use crate::offsets::{NameEntries, PostingsOffsets, list_len};
use crate::toc::{Toc, index_version};
use crate::{IndexError, LabelValues, SeriesRef, SymbolRef, SymbolTable};

/// What is needed of an index to plan which bytes of it to read. Its strings are slices of the bytes it was made from.
#[derive(Clone, Debug)]
pub struct IndexHeader {
    version: u8,
    toc: Toc,
    symbols: SymbolTable,
    offsets: PostingsOffsets,
}

/// First bytes of Thanos's index-header.
const HEADER_MAGIC: u32 = 0xBAAA_D792;
/// The only version of the index-header's format.
const HEADER_VERSION: u8 = 1;
/// Where the symbols begin in an index-header: magic, two versions, an offset.
const HEADER_SYMBOLS: u64 = 14;
/// Two offsets and a checksum end an index-header.
const HEADER_TAIL: usize = 20;

impl IndexHeader {
    /// From a whole index of version 1, 2 or 3. Verifies the checksums of the symbols and of the postings offset table.
    pub fn from_index(index: &Bytes) -> Result<IndexHeader, IndexError> {
        let version = index_version(index)?;
        let size = index.len() as u64;
        let toc = Toc::parse(index, size)?;
        let symbols = slice(index, toc.symbols_range(), "symbol table")?;
        let offsets = slice(index, toc.offsets_range(size), "postings offset table")?;
        IndexHeader::from_sections(version, toc, symbols, offsets)
    }

    /// From the file `index-header` that Thanos keeps, format version 1. The index may be of version 1 or 2.
    pub fn from_thanos(file: &Bytes) -> Result<IndexHeader, IndexError> {
        let mut cursor = Cursor::new(file, 0);
        let magic = cursor.u32_be("index-header magic")?;
        if magic != HEADER_MAGIC {
            let (found, expected) = (u64::from(magic), "0xbaaad792");
            return Err(IndexError::Invalid { what: "index-header magic", offset: 0, found, expected });
        }
        match cursor.u8("index-header version")? {
            HEADER_VERSION => {}
            version => return Err(IndexError::Version { what: "index-header", version }),
        }
        let version = match cursor.u8("index version")? {
            version @ 1..=2 => version,
            version => return Err(IndexError::Version { what: "index", version }),
        };
        let lists_end = cursor.u64_be("end of the postings")?;
        let (symbols_at, offsets_at, tail_at) = header_tail(file)?;
        let offsets = slice(file, offsets_at..tail_at, "postings offset table")?;
        let toc = Toc::parse(&offsets, lists_end.saturating_add(offsets.len() as u64))?;
        let symbols = slice(file, symbols_at..offsets_at, "symbol table")?;
        IndexHeader::from_sections(version, Toc { postings_offsets: lists_end, ..toc }, symbols, offsets)
    }

    /// From the parts of an index: `symbols` are the bytes of [`Toc::symbols_range`], `offsets` those of
    /// [`Toc::offsets_range`].
    pub fn from_sections(
        version: u8,
        toc: Toc,
        symbols: Bytes,
        offsets: Bytes,
    ) -> Result<IndexHeader, IndexError> {
        let symbols = SymbolTable::open(symbols, toc.symbols, version)?;
        let offsets = match toc.postings_offsets {
            0 => PostingsOffsets::empty(),
            at => PostingsOffsets::open(&offsets, at, |last| toc.postings_end(last))?,
        };
        Ok(IndexHeader { version, toc, symbols, offsets })
    }

    /// The version of the index: 1, 2 or 3.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The string of a symbol.
    pub fn symbol(&self, symbol: SymbolRef) -> Result<&[u8], IndexError> {
        self.symbols.get(symbol)
    }

    /// All strings of the block.
    pub fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    /// Where the series entries lie in the index, in bytes.
    pub fn series_bounds(&self) -> Range<u64> {
        self.toc.series_range()
    }

    /// Where the entry of a series lies in the index, in bytes.
    pub fn series_offset(&self, series: SeriesRef) -> u64 {
        series.offset(self.version)
    }

    /// Where the entry behind one that ends at this offset of the index begins, in bytes; `None` behind the last one.
    pub fn next_series_offset(&self, end: u64) -> Option<u64> {
        let next = SeriesRef::entry_from(end, self.version)?;
        (next < self.series_bounds().end).then_some(next)
    }

    /// Names of the labels that series have, in byte order.
    pub fn label_names(&self) -> Result<Vec<&[u8]>, IndexError> {
        self.offsets.names().map(|item| item.map(|(name, _)| name)).collect()
    }

    /// Values of a label in byte order, each with the place of its postings list; none if no series has the label.
    pub fn label_values(&self, name: &[u8]) -> Result<LabelValues<'_>, IndexError> {
        Ok(match self.offsets.name(name)? {
            Some(part) => self.offsets.values(part),
            None => self.offsets.values(NameEntries::NONE),
        })
    }

    /// Number of values of a label.
    pub fn n_label_values(&self, name: &[u8]) -> Result<usize, IndexError> {
        Ok(self.offsets.name(name)?.map_or(0, |part| part.count()))
    }

    /// Number of series, as the length of the list of all of them tells; `None` when there is no such list.
    pub fn n_series(&self) -> Result<Option<u64>, IndexError> {
        Ok(self.postings_range(b"", b"")?.map(|all| list_len(&all)))
    }

    /// Whether it is certain that every series has a label of this name, as the lengths of the postings lists tell.
    pub fn every_series_has(&self, name: &[u8]) -> Result<bool, IndexError> {
        let Some(all) = self.postings_range(b"", b"")? else { return Ok(false) };
        let values = self.label_values(name)?;
        let lists = values.left() as u64;
        // The lists of a name share no series.
        let refs = values.whole()?.map(|range| (range.end - range.start).saturating_sub(12 * lists) / 4);
        Ok(refs == Some(list_len(&all)))
    }

    /// Where the postings list of a pair lies in the index, checksum included; `None` if no series has the pair.
    /// The empty name with the empty value has the list of all series.
    pub fn postings_range(&self, name: &[u8], value: &[u8]) -> Result<Option<Range<u64>>, IndexError> {
        self.offsets.find(name, value)
    }

    /// Bytes held in memory besides slices of the bytes that this was made from.
    pub fn resident_bytes(&self) -> usize {
        size_of::<IndexHeader>() + self.symbols.resident_bytes() + self.offsets.resident_bytes()
    }

    pub(crate) fn toc(&self) -> &Toc {
        &self.toc
    }

    pub(crate) fn offsets(&self) -> &PostingsOffsets {
        &self.offsets
    }
}

/// Writes Thanos's index-header, byte for byte as Thanos does. `symbols` and `offsets` are the index's bytes of
/// [`Toc::symbols_range`] and [`Toc::offsets_range`]. Source: thanos `pkg/block/indexheader/binary_reader.go`.
pub fn write_thanos_header(
    version: u8,
    toc: &Toc,
    symbols: &[u8],
    offsets: &[u8],
    mut sink: impl Write,
) -> Result<(), IndexError> {
    sink.write_all(&HEADER_MAGIC.to_be_bytes())?;
    sink.write_all(&[HEADER_VERSION, version])?;
    sink.write_all(&toc.postings_offsets.to_be_bytes())?;
    sink.write_all(symbols)?;
    sink.write_all(offsets)?;
    let mut tail = [0; HEADER_TAIL];
    tail[..8].copy_from_slice(&HEADER_SYMBOLS.to_be_bytes());
    tail[8..16].copy_from_slice(&(HEADER_SYMBOLS + symbols.len() as u64).to_be_bytes());
    let crc = crc32c::crc32c(&tail[..16]);
    tail[16..].copy_from_slice(&crc.to_be_bytes());
    sink.write_all(&tail)?;
    Ok(())
}

/// Where the symbols, the postings offset table and the tail itself begin in an index-header.
fn header_tail(file: &Bytes) -> Result<(u64, u64, u64), IndexError> {
    let what = "index-header tail";
    let tail_at = file.len().saturating_sub(HEADER_TAIL);
    let tail = &file[tail_at..];
    let mut cursor = Cursor::new(tail, tail_at as u64);
    let symbols_at = cursor.u64_be(what)?;
    let offsets_at = cursor.u64_be(what)?;
    let expected = cursor.u32_be(what)?;
    let got = crc32c::crc32c(&tail[..16]);
    if got != expected {
        return Err(IndexError::Checksum { what, offset: tail_at as u64, got, expected });
    }
    Ok((symbols_at, offsets_at, tail_at as u64))
}

/// A part of `bytes`, checked.
pub(crate) fn slice(bytes: &Bytes, range: Range<u64>, what: &'static str) -> Result<Bytes, IndexError> {
    let size = bytes.len() as u64;
    if range.start > range.end || range.end > size {
        let needed = range.end.saturating_sub(range.start);
        let left = size.saturating_sub(range.start);
        return Err(IndexError::Truncated { what, offset: range.start, needed, left });
    }
    Ok(bytes.slice(range.start as usize..range.end as usize))
}
