//! Writes an index of version 2 in one pass, byte for byte as Prometheus does: symbols, series, postings, offsets.
//!
//! Postings are kept until the end as one column of varints a label name (series since the last one, value), about
//! three bytes a label, and sorted by value name after name. Source: prometheus `tsdb/index/index.go`.

use std::collections::BTreeMap;
use std::io::Write;

use tithon_chunks::{ChunkMeta, put_uvarint, put_varint};
use xxhash_rust::xxh3::xxh3_64;

use crate::cursor::{Cursor, put_string};
use crate::toc::{INDEX_MAGIC, Toc};
use crate::{IndexError, Labels, SeriesRef, SymbolRef};

/// Writes an index into `sink`: all symbols in byte order, then all series in label order, then [`IndexWriter::finish`].
#[derive(Debug)]
pub struct IndexWriter<W> {
    out: Sink<W>,
    symbols: Symbols,
    toc: Toc,
    columns: BTreeMap<SymbolRef, Column>,
    last_labels: Vec<(SymbolRef, SymbolRef)>,
    last_chunk: u64,
    /// Refs of the series written.
    series: Vec<u32>,
    entry: Vec<u8>,
}

/// Largest content of a section.
const SECTION_MAX: u64 = u32::MAX as u64;
/// Where a file ends at the latest, so that refs of series fit in 32 bits.
const FILE_MAX: u64 = 16 * (u32::MAX as u64);

impl<W: Write> IndexWriter<W> {
    /// Starts an index.
    pub fn new(sink: W) -> Result<IndexWriter<W>, IndexError> {
        let mut out = Sink { sink, pos: 0 };
        out.write(&INDEX_MAGIC.to_be_bytes())?;
        out.write(&[2])?;
        Ok(IndexWriter {
            out,
            symbols: Symbols::default(),
            toc: Toc::default(),
            columns: BTreeMap::new(),
            last_labels: Vec::new(),
            last_chunk: 0,
            series: Vec::new(),
            entry: Vec::new(),
        })
    }

    /// Adds a string; fails unless it comes behind the one before and no series has been added.
    pub fn add_symbol(&mut self, text: &[u8]) -> Result<SymbolRef, IndexError> {
        if self.toc.symbols != 0 {
            return Err(IndexError::Order {
                what: "symbol behind a series",
                item: self.symbols.len() as u64,
            });
        }
        self.symbols.push(text)
    }

    /// The reference of a string added before.
    pub fn symbol(&self, text: &[u8]) -> Option<SymbolRef> {
        self.symbols.find(text)
    }

    /// Adds a series whose strings are all symbols.
    pub fn add_series(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<SeriesRef, IndexError> {
        self.end_symbols()?;
        if self.symbols.slots.is_empty() {
            self.symbols.hash();
        }
        let find = |text: &[u8]| {
            let missing = || IndexError::MissingSymbol(String::from_utf8_lossy(text).into_owned());
            self.symbols.find(text).ok_or_else(missing)
        };
        let symbols =
            labels.iter().map(|(n, v)| Ok((find(n)?, find(v)?))).collect::<Result<Vec<_>, IndexError>>()?;
        self.add_series_symbols(&symbols, chunks)
    }

    /// Adds a series given as symbols. Label sets must ascend strictly, names inside a set too; chunks must not overlap
    /// and their refs must not descend, also from one series to the next.
    pub fn add_series_symbols(
        &mut self,
        labels: &[(SymbolRef, SymbolRef)],
        chunks: &[ChunkMeta],
    ) -> Result<SeriesRef, IndexError> {
        self.end_symbols()?;
        self.check_series(labels, chunks)?;
        self.out.align(16)?;
        let series = SeriesRef((self.out.pos / 16) as u32);
        self.write_entry(labels, chunks)?;
        for (name, value) in labels {
            self.columns.entry(*name).or_default().push(self.series.len() as u64, *value);
        }
        self.series.push(series.0);
        self.last_labels.clear();
        self.last_labels.extend_from_slice(labels);
        Ok(series)
    }

    fn check_series(
        &mut self,
        labels: &[(SymbolRef, SymbolRef)],
        chunks: &[ChunkMeta],
    ) -> Result<(), IndexError> {
        let item = self.series.len() as u64;
        let order = |what| Err(IndexError::Order { what, item });
        // Symbols ascend as their strings do, so label sets compare by symbols.
        if labels <= self.last_labels.as_slice() {
            return order("label set of a series");
        }
        if !labels.is_sorted_by(|a, b| a.0 < b.0) {
            return order("label name of a series");
        }
        let symbols = self.symbols.len() as u32;
        if let Some((name, value)) = labels.iter().find(|(n, v)| n.0 >= symbols || v.0 >= symbols) {
            return Err(IndexError::NoSymbol { symbol: name.0.max(value.0), symbols });
        }
        let mut last_max = None;
        for chunk in chunks {
            if last_max.is_some_and(|max| chunk.min_time <= max) || chunk.max_time < chunk.min_time {
                return order("time of a chunk of a series");
            }
            if chunk.chunk_ref.0 < self.last_chunk {
                return order("chunk ref of a series");
            }
            (last_max, self.last_chunk) = (Some(chunk.max_time), chunk.chunk_ref.0);
        }
        Ok(())
    }

    fn write_entry(
        &mut self,
        labels: &[(SymbolRef, SymbolRef)],
        chunks: &[ChunkMeta],
    ) -> Result<(), IndexError> {
        let body = &mut self.entry;
        body.clear();
        put_uvarint(labels.len() as u64, body);
        for (name, value) in labels {
            put_uvarint(u64::from(name.0), body);
            put_uvarint(u64::from(value.0), body);
        }
        put_uvarint(chunks.len() as u64, body);
        let mut last: Option<&ChunkMeta> = None;
        for chunk in chunks {
            let (min, max, at) = (chunk.min_time.0, chunk.max_time.0, chunk.chunk_ref.0);
            match last {
                None => put_varint(min, body),
                Some(last) => put_uvarint(min.wrapping_sub(last.max_time.0) as u64, body),
            }
            put_uvarint(max.wrapping_sub(min) as u64, body);
            match last {
                None => put_uvarint(at, body),
                Some(last) => put_varint(at.wrapping_sub(last.chunk_ref.0) as i64, body),
            }
            last = Some(chunk);
        }
        let crc = crc32c::crc32c(body);
        let mut len = Vec::with_capacity(5);
        put_uvarint(body.len() as u64, &mut len);
        body.extend_from_slice(&crc.to_be_bytes());
        self.out.write(&len)?;
        self.out.write(&self.entry)
    }

    /// Writes the symbol table once the first series, or the end, comes.
    fn end_symbols(&mut self) -> Result<(), IndexError> {
        if self.toc.symbols != 0 {
            return Ok(());
        }
        self.toc.symbols = self.out.pos;
        let content = [&(self.symbols.len() as u32).to_be_bytes()[..], &self.symbols.strings];
        self.out.section("symbol table", &content)?;
        self.toc.series = self.out.pos;
        Ok(())
    }

    /// Writes the postings and what follows them; returns the sink, flushed, and the table of contents.
    pub fn finish(mut self) -> Result<(W, Toc), IndexError> {
        self.end_symbols()?;
        self.toc.label_indices = self.out.pos;
        self.toc.postings = self.out.pos;
        self.out.align(4)?;
        let offsets = self.write_postings()?;
        self.toc.postings_offsets = self.out.pos;
        self.toc.label_offsets = self.out.pos;
        let content = [&offsets.count.to_be_bytes()[..], &offsets.entries];
        self.out.section("postings offset table", &content)?;
        self.out.write(&self.toc.to_bytes())?;
        self.out.sink.flush()?;
        Ok((self.out.sink, self.toc))
    }

    fn write_postings(&mut self) -> Result<OffsetEntries, IndexError> {
        let mut offsets = OffsetEntries::default();
        let mut refs = Vec::with_capacity(self.series.len() * 4);
        refs.extend(self.series.iter().flat_map(|r| r.to_be_bytes()));
        offsets.push(b"", b"", self.out.pos);
        self.out.postings(&refs)?;
        let mut sorter = Sorter { starts: vec![0; self.symbols.len()], ..Sorter::default() };
        for (name, column) in std::mem::take(&mut self.columns) {
            sorter.sort(&column, &self.series)?;
            for (value, range) in &sorter.values {
                let (name, value) = (self.symbols.get(name), self.symbols.get(*value));
                offsets.push(name, value, self.out.pos);
                self.out.postings(&sorter.refs[range.clone()])?;
            }
        }
        Ok(offsets)
    }
}

/// Counts the bytes written.
#[derive(Debug)]
struct Sink<W> {
    sink: W,
    pos: u64,
}

impl<W: Write> Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), IndexError> {
        let end = self.pos + bytes.len() as u64;
        if end > FILE_MAX {
            return Err(IndexError::TooLarge { what: "index", bytes: end, max: FILE_MAX });
        }
        self.sink.write_all(bytes)?;
        self.pos = end;
        Ok(())
    }

    fn align(&mut self, to: u64) -> Result<(), IndexError> {
        let padding = self.pos.next_multiple_of(to) - self.pos;
        self.write(&[0; 16][..padding as usize])
    }

    /// Length, content and its checksum.
    fn section(&mut self, what: &'static str, content: &[&[u8]]) -> Result<(), IndexError> {
        let bytes: u64 = content.iter().map(|part| part.len() as u64).sum();
        let len = u32::try_from(bytes).map_err(|_| IndexError::TooLarge { what, bytes, max: SECTION_MAX })?;
        self.write(&len.to_be_bytes())?;
        let mut crc = 0;
        for part in content {
            crc = crc32c::crc32c_append(crc, part);
            self.write(part)?;
        }
        self.write(&crc.to_be_bytes())
    }

    /// A list of big-endian refs.
    fn postings(&mut self, refs: &[u8]) -> Result<(), IndexError> {
        let count = (refs.len() / 4) as u32;
        self.section("postings list", &[&count.to_be_bytes(), refs])
    }
}

/// The strings added, found by binary search until [`Symbols::hash`] is called, by hash then.
#[derive(Debug, Default)]
struct Symbols {
    /// As in the file: each behind its length.
    strings: Vec<u8>,
    /// Where each string's length begins.
    starts: Vec<u32>,
    /// Open addressing: at the place of a string's hash, or behind it, its number plus one; 0 is free. At most half full.
    slots: Vec<u32>,
}

impl Symbols {
    fn len(&self) -> usize {
        self.starts.len()
    }

    fn push(&mut self, text: &[u8]) -> Result<SymbolRef, IndexError> {
        let item = self.starts.len() as u64;
        if self.starts.last().is_some_and(|start| self.text(*start) >= text) {
            return Err(IndexError::Order { what: "symbol", item });
        }
        let bytes = 4 + self.strings.len() as u64 + text.len() as u64 + 10;
        if bytes > SECTION_MAX {
            return Err(IndexError::TooLarge { what: "symbol table", bytes, max: SECTION_MAX });
        }
        self.starts.push(self.strings.len() as u32);
        put_string(&mut self.strings, text);
        Ok(SymbolRef(item as u32))
    }

    /// Makes finding fast once all strings are there.
    fn hash(&mut self) {
        self.slots = vec![0; (self.starts.len() * 2 + 1).next_power_of_two()];
        for i in 0..self.starts.len() {
            let (Ok(slot) | Err(slot)) = self.slot(self.text(self.starts[i]));
            self.slots[slot] = i as u32 + 1;
        }
    }

    /// The slot that holds a string, or else the free one where it belongs. There are slots.
    fn slot(&self, text: &[u8]) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = xxh3_64(text) as usize & mask;
        loop {
            match self.slots[slot] {
                0 => return Err(slot),
                i if self.text(self.starts[i as usize - 1]) == text => return Ok(slot),
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn find(&self, text: &[u8]) -> Option<SymbolRef> {
        if self.slots.is_empty() {
            let i = self.starts.binary_search_by(|start| self.text(*start).cmp(text)).ok()?;
            return Some(SymbolRef(i as u32));
        }
        Some(SymbolRef(self.slots[self.slot(text).ok()?] - 1))
    }

    fn get(&self, symbol: SymbolRef) -> &[u8] {
        self.text(self.starts[symbol.0 as usize])
    }

    fn text(&self, start: u32) -> &[u8] {
        Cursor::at(&self.strings, start as usize, 0).string("symbol").expect("written by push")
    }
}

/// The series of one label name: for each, how far it is from the one before and which value it has, as varints.
#[derive(Debug, Default)]
struct Column {
    bytes: Vec<u8>,
    count: usize,
    next: u64,
}

impl Column {
    fn push(&mut self, series: u64, value: SymbolRef) {
        put_uvarint(series - self.next, &mut self.bytes);
        put_uvarint(u64::from(value.0), &mut self.bytes);
        (self.count, self.next) = (self.count + 1, series + 1);
    }

    fn iter(&self) -> impl Iterator<Item = Result<(usize, SymbolRef), IndexError>> {
        let (mut cursor, mut next) = (Cursor::new(&self.bytes, 0), 0);
        (0..self.count).map(move |_| {
            let series = next + cursor.uvarint("series")?;
            next = series + 1;
            Ok((series as usize, SymbolRef(cursor.uvarint32("value")?)))
        })
    }
}

/// Sorts a column by value, keeping the order of the series: counts, then places.
#[derive(Debug, Default)]
struct Sorter {
    /// For each symbol: how many series have it as a value, then where its next ref goes. All zero between columns.
    starts: Vec<u32>,
    /// The values in byte order, with the bytes of their refs.
    values: Vec<(SymbolRef, std::ops::Range<usize>)>,
    /// Big-endian refs of all values.
    refs: Vec<u8>,
}

impl Sorter {
    fn sort(&mut self, column: &Column, series: &[u32]) -> Result<(), IndexError> {
        self.values.clear();
        for item in column.iter() {
            let (_, value) = item?;
            let count = &mut self.starts[value.0 as usize];
            if *count == 0 {
                self.values.push((value, 0..0));
            }
            *count += 1;
        }
        self.values.sort_unstable_by_key(|(value, _)| *value);
        let mut start = 0;
        for (value, range) in &mut self.values {
            let count = std::mem::replace(&mut self.starts[value.0 as usize], start as u32);
            *range = start * 4..(start + count as usize) * 4;
            start += count as usize;
        }
        self.refs.resize(start * 4, 0);
        for item in column.iter() {
            let (i, value) = item?;
            let at = self.starts[value.0 as usize] as usize * 4;
            self.refs[at..at + 4].copy_from_slice(&series[i].to_be_bytes());
            self.starts[value.0 as usize] += 1;
        }
        for (value, _) in &self.values {
            self.starts[value.0 as usize] = 0;
        }
        Ok(())
    }
}

/// The postings offset table in the making.
#[derive(Debug, Default)]
struct OffsetEntries {
    entries: Vec<u8>,
    count: u32,
}

impl OffsetEntries {
    fn push(&mut self, name: &[u8], value: &[u8], list: u64) {
        self.entries.push(2);
        put_string(&mut self.entries, name);
        put_string(&mut self.entries, value);
        put_uvarint(list, &mut self.entries);
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a limit says: what is too large, and the limit.
    fn limit(result: Result<(), IndexError>) -> Option<(&'static str, u64)> {
        match result {
            Err(IndexError::TooLarge { what, bytes, max }) if bytes > max => Some((what, max)),
            _ => None,
        }
    }

    #[test]
    fn a_file_ends_where_refs_end() {
        let mut out = Sink { sink: Vec::new(), pos: FILE_MAX - 20 };
        out.write(&[0; 20]).unwrap();
        assert_eq!(limit(out.write(&[0])), Some(("index", 68_719_476_720)));
        assert_eq!(out.sink.len(), 20);
    }

    #[test]
    fn a_section_has_a_length_of_32_bits() {
        let mut out = Sink { sink: Vec::new(), pos: 0 };
        let part = vec![0; 1 << 20];
        let content = vec![part.as_slice(); 4096];
        assert_eq!(
            limit(out.section("postings offset table", &content)),
            Some(("postings offset table", u32::MAX.into()))
        );
        assert!(out.sink.is_empty());
    }

    #[test]
    fn a_symbol_table_is_a_section() {
        let mut symbols = Symbols::default();
        symbols.push(b"a").unwrap();
        // Zeroed memory that is never looked at takes none.
        let mut text = vec![0; 1 << 32];
        text[0] = b'b';
        assert_eq!(limit(symbols.push(&text).map(drop)), Some(("symbol table", u32::MAX.into())));
        assert_eq!(symbols.len(), 1);
    }
}
