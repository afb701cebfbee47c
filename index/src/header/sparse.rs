//! Our own form of an index-header: with the samples that other forms are scanned for, so that opening it reads one
//! page however large the index is, and a mapped one holds nothing but its place.
//!
//! All numbers little-endian: magic (8) | index version (8) | the index's table of contents as stored (52) | symbol
//! count (4) | end of the last list (8) | lengths of five sections (40) | CRC32C of each (20) | CRC32C of all so far (4),
//! then the sections: symbols, their samples, postings offsets, records of names, samples of values.

use std::io::Write;

use bytes::Bytes;

use super::{IndexHeader, slice};
use crate::IndexError;
use crate::cursor::Cursor;
use crate::offsets::PostingsOffsets;
use crate::symbols::SymbolTable;
use crate::toc::Toc;

const MAGIC: &[u8; 8] = b"tlihdr\x00\x01";
const SECTIONS: usize = 5;
const HEAD: usize = 8 + 8 + Toc::SIZE + 4 + 8 + SECTIONS * 8 + SECTIONS * 4 + 4;

impl IndexHeader {
    /// Writes the sparse form; the same index gives the same bytes. Indexes of version 1, and others whose postings
    /// offsets are not sorted, have none.
    pub fn write_sparse(&self, mut sink: impl Write) -> Result<(), IndexError> {
        let unsorted = || IndexError::Version { what: "sparse header of index", version: self.version };
        let (strings, count, symbol_samples) = self.symbols.parts();
        let (entries, names, samples, last) =
            self.offsets.parts().filter(|_| self.version > 1).ok_or_else(unsorted)?;
        let sections = [strings, symbol_samples, entries, names, samples];
        let mut head = Vec::with_capacity(HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&u64::from(self.version).to_le_bytes());
        head.extend_from_slice(&self.toc.to_bytes());
        head.extend_from_slice(&count.to_le_bytes());
        head.extend_from_slice(&last.to_le_bytes());
        head.extend(sections.iter().flat_map(|s| (s.len() as u64).to_le_bytes()));
        head.extend(sections.iter().flat_map(|s| crc32c::crc32c(s).to_le_bytes()));
        let crc = crc32c::crc32c(&head);
        head.extend_from_slice(&crc.to_le_bytes());
        sink.write_all(&head)?;
        for section in sections {
            sink.write_all(section)?;
        }
        Ok(())
    }

    /// Opens the sparse form. Verifies its first bytes only; everything read later is checked as it is read, and
    /// [`IndexHeader::verify_sparse`] verifies all of it.
    pub fn from_sparse(file: &Bytes) -> Result<IndexHeader, IndexError> {
        let (header, _) = open(file)?;
        Ok(header)
    }

    /// Verifies the checksums of a sparse form.
    pub fn verify_sparse(file: &Bytes) -> Result<(), IndexError> {
        let (_, sections) = open(file)?;
        for (what, bytes, expected, offset) in sections {
            let got = crc32c::crc32c(&bytes);
            if got != expected {
                return Err(IndexError::Checksum { what, offset, got, expected });
            }
        }
        Ok(())
    }
}

/// A section with its name, its expected checksum and its place.
type Section = (&'static str, Bytes, u32, u64);

fn open(file: &Bytes) -> Result<(IndexHeader, [Section; SECTIONS]), IndexError> {
    let mut cursor = Cursor::new(file, 0);
    let magic = cursor.array::<8>("sparse header magic")?;
    if magic != *MAGIC {
        let (what, found) = ("sparse header magic", u64::from_be_bytes(magic));
        return Err(IndexError::Invalid { what, offset: 0, found, expected: "tlihdr, version 1" });
    }
    let version = u64::from_le_bytes(cursor.array("index version")?);
    let toc = cursor.take(Toc::SIZE, "table of contents")?;
    let count = u32::from_le_bytes(cursor.array("symbol count")?);
    let last = u64::from_le_bytes(cursor.array("end of the last list")?);
    let (mut lengths, mut checksums) = ([0; SECTIONS], [0; SECTIONS]);
    for length in &mut lengths {
        *length = u64::from_le_bytes(cursor.array("section length")?);
    }
    for checksum in &mut checksums {
        *checksum = u32::from_le_bytes(cursor.array("section checksum")?);
    }
    let expected = u32::from_le_bytes(cursor.array("sparse header checksum")?);
    let got = crc32c::crc32c(&file[..HEAD - 4]);
    if got != expected {
        return Err(IndexError::Checksum { what: "sparse header", offset: 0, got, expected });
    }
    let version = match version {
        2 => 2,
        3 => 3,
        version => return Err(IndexError::Version { what: "index", version: version.min(255) as u8 }),
    };
    let toc = Toc::parse(toc, u64::MAX)?;
    let mut at = HEAD as u64;
    let mut section = |i: usize, what| {
        let end = at.saturating_add(lengths[i]);
        let section = (what, slice(file, at..end, what)?, checksums[i], at);
        at = end;
        Ok::<Section, IndexError>(section)
    };
    let sections = [
        section(0, "symbols")?,
        section(1, "symbol samples")?,
        section(2, "postings offsets")?,
        section(3, "label names")?,
        section(4, "label value samples")?,
    ];
    let bytes = |i: usize| sections[i].1.clone();
    let symbols = SymbolTable::from_parts(bytes(0), count, bytes(1), toc.symbols);
    let offsets = PostingsOffsets::from_parts(bytes(2), bytes(3), bytes(4), last, toc.postings_offsets);
    Ok((IndexHeader { version, toc, symbols, offsets }, sections))
}
