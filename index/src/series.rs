//! Series entries: the labels of a series as symbols, and where its chunks lie.

use tithon_chunks::{ChunkMeta, ChunkRef, TimeRange, Timestamp};

use crate::cursor::Cursor;
use crate::relabel::{Packed, Packer};
use crate::{IndexError, IndexHeader, Labels, Relabel, SymbolRef};

/// A series of one block: the offset of its entry divided by 16 (version 1: the offset), ascending as the labels do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesRef(pub u32);

impl SeriesRef {
    /// Where the entry lies in an index of this version, in bytes.
    pub const fn offset(self, version: u8) -> u64 {
        if version == 1 { self.0 as u64 } else { self.0 as u64 * ENTRY_ALIGNMENT }
    }

    /// The first offset from `offset` on at which an entry can begin in an index of this version, in bytes.
    pub(crate) fn entry_from(offset: u64, version: u8) -> Option<u64> {
        if version == 1 { Some(offset) } else { offset.checked_next_multiple_of(ENTRY_ALIGNMENT) }
    }
}

/// A series entry, decoded; made once and filled again and again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeriesEntry {
    /// Name and value of each label, in the order stored.
    pub labels: Vec<(SymbolRef, SymbolRef)>,
    /// The chunks asked for, in the order stored.
    pub chunks: Vec<ChunkMeta>,
    /// The chunk stored behind the last one asked for, where there is one. As chunks lie side by side, it tells how long
    /// that one is.
    pub behind: Option<ChunkRef>,
}

/// Entries begin at multiples of this, except in indexes of version 1.
const ENTRY_ALIGNMENT: u64 = 16;

impl SeriesEntry {
    /// How many bytes the entry that begins `bytes` takes, its length and checksum included; `None` when `bytes` end
    /// inside the length (five bytes are always enough).
    pub fn size_hint(bytes: &[u8]) -> Result<Option<usize>, IndexError> {
        let head = &bytes[..bytes.len().min(5)];
        let mut cursor = Cursor::new(head, 0);
        match cursor.uvarint32("series entry length") {
            Ok(len) => Ok(Some(cursor.pos() + len as usize + 4)),
            Err(IndexError::Truncated { .. }) if bytes.len() < 5 => Ok(None),
            Err(IndexError::Truncated { needed, left, .. }) => {
                Err(IndexError::Truncated { what: "series entry length", offset: 0, needed, left })
            }
            Err(error) => Err(error),
        }
    }

    /// Fills this entry from `bytes`, which begin with its length and lie at `offset` in the index; of the chunks only
    /// those are kept that share a millisecond with `range`. Returns how many bytes the entry takes. Verifies the
    /// checksum. On failure the content is unspecified.
    pub fn decode(&mut self, bytes: &[u8], offset: u64, range: TimeRange) -> Result<usize, IndexError> {
        let (body, size) = entry_body(bytes, offset)?;
        self.decode_body(body, offset, range)?;
        Ok(size)
    }

    /// Fills this entry from its body alone: without length and checksum, as Thanos caches it.
    pub fn decode_body(&mut self, body: &[u8], offset: u64, range: TimeRange) -> Result<(), IndexError> {
        self.labels.clear();
        self.chunks.clear();
        let mut cursor = Cursor::new(body, offset);
        let n_labels = cursor.uvarint("label count")?;
        self.labels.reserve(cursor.expect_items(n_labels, 2, "labels")?);
        for _ in 0..n_labels {
            let name = SymbolRef(cursor.uvarint32("label name symbol")?);
            let value = SymbolRef(cursor.uvarint32("label value symbol")?);
            self.labels.push((name, value));
        }
        self.decode_chunks(&mut cursor, range)
    }

    /// The first chunk of the entry that begins `bytes`, which may end inside the entry; `None` if they end before that
    /// chunk, or if the entry has none. The checksum is not verified, so the answer is only a hint.
    pub fn first_chunk(bytes: &[u8]) -> Option<ChunkRef> {
        let mut cursor = Cursor::new(bytes, 0);
        cursor.uvarint32("series entry length").ok()?;
        let n_labels = cursor.uvarint("label count").ok()?;
        for _ in 0..n_labels.checked_mul(2)? {
            cursor.uvarint("label symbol").ok()?;
        }
        if cursor.uvarint("chunk count").ok()? == 0 {
            return None;
        }
        cursor.varint("chunk min time").ok()?;
        cursor.uvarint("chunk max time").ok()?;
        cursor.uvarint("chunk ref").ok().map(ChunkRef)
    }

    fn decode_chunks(&mut self, cursor: &mut Cursor<'_>, range: TimeRange) -> Result<(), IndexError> {
        let n_chunks = cursor.uvarint("chunk count")?;
        let n_chunks = cursor.expect_items(n_chunks, 3, "chunks")?;
        let (mut time, mut chunk_ref) = (0i64, 0u64);
        self.behind = None;
        for i in 0..n_chunks {
            let min_time = match i {
                0 => cursor.varint("chunk min time")?,
                _ => time.wrapping_add(cursor.uvarint("chunk min time")? as i64),
            };
            let max_time = min_time.wrapping_add(cursor.uvarint("chunk max time")? as i64);
            chunk_ref = match i {
                0 => cursor.uvarint("chunk ref")?,
                _ => chunk_ref.wrapping_add(cursor.varint("chunk ref")? as u64),
            };
            time = max_time;
            if min_time <= range.max.0 && max_time >= range.min.0 {
                self.chunks.push(ChunkMeta {
                    min_time: Timestamp(min_time),
                    max_time: Timestamp(max_time),
                    chunk_ref: ChunkRef(chunk_ref),
                });
                self.behind = None;
            } else if self.behind.is_none() && !self.chunks.is_empty() {
                self.behind = Some(ChunkRef(chunk_ref));
            }
        }
        Ok(())
    }
}

/// The body of the entry that begins `bytes`, its checksum verified, and the size of the whole entry.
fn entry_body(bytes: &[u8], offset: u64) -> Result<(&[u8], usize), IndexError> {
    let mut cursor = Cursor::new(bytes, offset);
    let len = cursor.uvarint32("series entry length")?;
    let body = cursor.take(len as usize, "series entry")?;
    let expected = cursor.u32_be("series entry checksum")?;
    let got = crc32c::crc32c(body);
    if got != expected {
        return Err(IndexError::Checksum { what: "series entry", offset, got, expected });
    }
    Ok((body, cursor.pos()))
}

/// Name and value of a label, borrowed.
pub type LabelPair<'a> = (&'a [u8], &'a [u8]);

/// Slots of the memory of recently seen symbols.
const SLOTS: usize = 4096;
/// About how many different symbols a series of a few has.
const SYMBOLS_PER_SERIES: usize = 8;

/// A symbol seen, and its string.
type Slot<'h> = Option<(SymbolRef, &'h [u8])>;

/// Turns series entries of one block into labels. It remembers where recently seen symbols lie, and packs labels only behind
/// those that the series before has too.
#[derive(Debug)]
pub struct SeriesDecoder<'h> {
    header: &'h IndexHeader,
    relabel: Relabel,
    slots: Box<[Slot<'h>]>,
    pairs: Vec<LabelPair<'h>>,
    /// The labels that were packed last, each with how far the packer had come behind it.
    last: Vec<((SymbolRef, SymbolRef), Packed)>,
    packer: Packer,
}

impl<'h> SeriesDecoder<'h> {
    /// A decoder for the block that `header` belongs to.
    pub fn new(header: &'h IndexHeader) -> SeriesDecoder<'h> {
        SeriesDecoder::with_slots(header, Relabel::default(), SLOTS)
    }

    /// The same for about `n` series, of which few take fewer symbols to remember; label sets are those that the series are
    /// sent with.
    pub fn for_some(header: &'h IndexHeader, relabel: Relabel, n: usize) -> SeriesDecoder<'h> {
        SeriesDecoder::with_slots(header, relabel, n.saturating_mul(SYMBOLS_PER_SERIES).min(SLOTS))
    }

    fn with_slots(header: &'h IndexHeader, relabel: Relabel, n: usize) -> SeriesDecoder<'h> {
        let slots = vec![None; n.max(1).next_power_of_two()].into();
        let (pairs, last, packer) = (Vec::new(), Vec::new(), Packer::default());
        SeriesDecoder { header, relabel, slots, pairs, last, packer }
    }

    /// The string of a symbol.
    #[inline]
    pub fn symbol(&mut self, symbol: SymbolRef) -> Result<&'h [u8], IndexError> {
        let n = self.slots.len();
        let slot = &mut self.slots[symbol.0 as usize & (n - 1)];
        match slot {
            Some((known, text)) if *known == symbol => Ok(text),
            _ => {
                let text = self.header.symbol(symbol)?;
                *slot = Some((symbol, text));
                Ok(text)
            }
        }
    }

    /// The labels of an entry: borrowed pairs of name and value in the order stored.
    pub fn pairs(&mut self, entry: &SeriesEntry) -> Result<&[LabelPair<'h>], IndexError> {
        self.pairs.clear();
        for (name, value) in &entry.labels {
            let pair = (self.symbol(*name)?, self.symbol(*value)?);
            self.pairs.push(pair);
        }
        Ok(&self.pairs)
    }

    /// The label set of an entry, sorted by name even where a malformed index is not.
    pub fn labels(&mut self, entry: &SeriesEntry) -> Result<Labels, IndexError> {
        if self.pack(entry)? {
            return Ok(self.packer.finish(&self.relabel));
        }
        self.last.clear();
        self.pairs(entry)?;
        Ok(self.relabel.apply(&Labels::from_pairs(self.pairs.iter().copied())))
    }

    /// Packs the labels of an entry behind those that the last one has too; whether they are in order.
    fn pack(&mut self, entry: &SeriesEntry) -> Result<bool, IndexError> {
        let same = self.last.iter().zip(&entry.labels).take_while(|((last, _), pair)| last == *pair);
        let shared = same.count();
        self.last.truncate(shared);
        self.packer.return_to(self.last.last().map(|(_, packed)| *packed).unwrap_or_default());
        let mut before = match self.last.last() {
            Some(((name, _), _)) => Some(self.symbol(*name)?),
            None => None,
        };
        for pair in &entry.labels[shared..] {
            let (name, value) = (self.symbol(pair.0)?, self.symbol(pair.1)?);
            if value.is_empty() || before.is_some_and(|before| before >= name) {
                return Ok(false);
            }
            self.packer.push(&self.relabel, name, value);
            self.last.push((*pair, self.packer.packed()));
            before = Some(name);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_known_after_the_length() {
        assert_eq!(SeriesEntry::size_hint(&[]).unwrap(), None);
        assert_eq!(SeriesEntry::size_hint(&[0x80]).unwrap(), None);
        assert_eq!(SeriesEntry::size_hint(&[0x10]).unwrap(), Some(21));
        assert_eq!(SeriesEntry::size_hint(&[0x80, 1]).unwrap(), Some(134));
        assert!(SeriesEntry::size_hint(&[0xff; 9]).is_err());
    }

    #[test]
    fn the_first_chunk_is_known_before_the_end() {
        // Length, one label, two chunks: the first from -1 to 1 at 300, the second 4 bytes behind it.
        let entry = [11, 1, 7, 8, 2, 1, 2, 0xac, 2, 1, 2, 8, 0, 0, 0, 0];
        let needed = 9;
        for n in 0..entry.len() {
            let found = SeriesEntry::first_chunk(&entry[..n]);
            assert_eq!(found, (n >= needed).then_some(ChunkRef(300)), "{n}");
        }
        assert_eq!(SeriesEntry::first_chunk(&[4, 1, 7, 8, 0, 0, 0, 0, 0]), None);
        assert_eq!(SeriesEntry::first_chunk(&[0xff; 64]), None);
    }
}
