//! The postings offset table: for each pair of label name and value, where its postings list begins.
//!
//! Entries are sorted by name, then value, and so are the lists they point to; kept in memory are a record a name and
//! the position of every 32nd entry of a name. Tables that are not sorted (version 1 allows it) are sorted into a copy.

mod present;
mod values;

use std::cmp::Ordering;
use std::ops::Range;

use bytes::Bytes;
use tithon_chunks::put_uvarint;

pub use self::present::SeriesSet;
pub use self::values::LabelValues;
use crate::IndexError;
use crate::cursor::{Cursor, put_string};
use crate::u32s::U32s;

/// How many values of a name lie between two whose positions are kept.
const VALUES_PER_SAMPLE: u32 = 32;
/// Numbers in the record of a name.
const RECORD: usize = 4;

/// The table, opened.
#[derive(Clone, Debug)]
pub(crate) struct PostingsOffsets {
    /// The entries, behind the count.
    entries: Bytes,
    /// File offset of `entries`, for errors.
    base: u64,
    /// Of each name: position of its first entry, position behind its last, number of entries, number of its first sample.
    names: U32s,
    /// Positions of every 32nd entry of each name.
    samples: U32s,
    ends: ListEnds,
}

/// Where a postings list ends.
#[derive(Clone, Debug)]
enum ListEnds {
    /// Where the next entry's list begins; the last one here.
    NextEntry { last: u64 },
    /// Where the next list in the file begins, whatever its entry; the last number is where the last list ends.
    NextList(Box<[u64]>),
}

/// One name's part of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameEntries {
    first: u32,
    end: u32,
    count: u32,
    sample: u32,
}

/// An entry as stored.
#[derive(Clone, Copy, Debug)]
struct RawEntry<'a> {
    name: &'a [u8],
    value: &'a [u8],
    list: u64,
}

/// A label value and where its postings list lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelValue<'a> {
    /// The value.
    pub value: &'a [u8],
    /// Where the list lies in the index: its length, count, refs and checksum, and perhaps padding.
    pub list: Range<u64>,
}

impl LabelValue<'_> {
    /// How many series have the pair, as the length of the list tells.
    pub fn series(&self) -> u64 {
        list_len(&self.list)
    }
}

/// Number of refs in a list that takes `range`.
pub(crate) fn list_len(range: &Range<u64>) -> u64 {
    (range.end - range.start).saturating_sub(12) / 4
}

impl PostingsOffsets {
    /// Opens the section that begins `section`, which lies at `offset` in the index. `end_of` tells where the last list
    /// ends, given where it begins. Verifies the checksum and walks all entries.
    pub(crate) fn open(
        section: &Bytes,
        offset: u64,
        end_of: impl Fn(u64) -> u64,
    ) -> Result<PostingsOffsets, IndexError> {
        let content = Cursor::new(section, offset).framed("postings offset table")?;
        let mut cursor = Cursor::new(content, offset + 4);
        let count = cursor.u32_be("postings offset count")?;
        cursor.expect_items(u64::from(count), 4, "postings offsets")?;
        let (entries, base) = (section.slice_ref(&content[4..]), offset + 8);
        match Scan::run(&entries, base, count)? {
            Scan::Sorted { names, samples, last_list } => {
                let ends = ListEnds::NextEntry { last: end_of(last_list) };
                Ok(PostingsOffsets { entries, base, names, samples, ends })
            }
            Scan::Unsorted => PostingsOffsets::sort(&entries, base, count, end_of),
        }
    }

    /// A table without entries.
    pub(crate) fn empty() -> PostingsOffsets {
        let ends = ListEnds::NextEntry { last: 0 };
        PostingsOffsets {
            entries: Bytes::new(),
            base: 0,
            names: U32s::default(),
            samples: U32s::default(),
            ends,
        }
    }

    /// The entries, the records of names, the samples and where the last list ends, as
    /// [`PostingsOffsets::from_parts`] takes them; `None` for a table that had to be sorted.
    pub(crate) fn parts(&self) -> Option<(&Bytes, &Bytes, &Bytes, u64)> {
        match self.ends {
            ListEnds::NextEntry { last } => {
                Some((&self.entries, self.names.as_bytes(), self.samples.as_bytes(), last))
            }
            ListEnds::NextList(_) => None,
        }
    }

    /// A table whose section lies at `offset`, without a look at the entries.
    pub(crate) fn from_parts(
        entries: Bytes,
        names: Bytes,
        samples: Bytes,
        last: u64,
        offset: u64,
    ) -> PostingsOffsets {
        let (names, samples) = (U32s::from_bytes(names), U32s::from_bytes(samples));
        PostingsOffsets { entries, base: offset + 8, names, samples, ends: ListEnds::NextEntry { last } }
    }

    /// Copies an unsorted table into a sorted one.
    fn sort(
        entries: &Bytes,
        base: u64,
        count: u32,
        end_of: impl Fn(u64) -> u64,
    ) -> Result<PostingsOffsets, IndexError> {
        let mut cursor = Cursor::new(entries, base);
        let mut all = (0..count).map(|_| read_entry(&mut cursor)).collect::<Result<Vec<_>, _>>()?;
        let mut lists: Vec<u64> = all.iter().map(|e| e.list).collect();
        lists.sort_unstable();
        lists.dedup();
        lists.push(lists.last().map_or(0, |last| end_of(*last)));
        all.sort_by_key(|e| (e.name, e.value));
        all.dedup_by_key(|e| (e.name, e.value));
        let mut sorted = Vec::with_capacity(entries.len());
        for entry in &all {
            sorted.push(2);
            put_string(&mut sorted, entry.name);
            put_string(&mut sorted, entry.value);
            put_uvarint(entry.list, &mut sorted);
        }
        let (names, samples) = sample_sorted(&sorted, all.len() as u32, base)?;
        let ends = ListEnds::NextList(lists.into());
        Ok(PostingsOffsets { entries: sorted.into(), base, names, samples, ends })
    }

    /// Number of names, the empty one of the all-postings list included.
    fn n_names(&self) -> usize {
        self.names.len() / RECORD
    }

    fn record(&self, i: usize) -> Result<NameEntries, IndexError> {
        let field = |k| self.names.get(i * RECORD + k).ok_or_else(|| self.bad_position(i as u64));
        Ok(NameEntries { first: field(0)?, end: field(1)?, count: field(2)?, sample: field(3)? })
    }

    fn bad_position(&self, found: u64) -> IndexError {
        let what = "postings offset sample";
        IndexError::Invalid { what, offset: self.base, found, expected: "a position inside the table" }
    }

    fn entry_at(&self, pos: u32) -> Result<RawEntry<'_>, IndexError> {
        read_entry(&mut Cursor::at(&self.entries, pos as usize, self.base))
    }

    /// Label names in byte order, without the empty one.
    pub(crate) fn names(&self) -> impl Iterator<Item = Result<(&[u8], NameEntries), IndexError>> {
        (0..self.n_names())
            .map(|i| {
                let record = self.record(i)?;
                Ok((self.entry_at(record.first)?.name, record))
            })
            .filter(|item| !matches!(item, Ok((b"", _))))
    }

    /// The part of `name`, if any series has it.
    pub(crate) fn name(&self, name: &[u8]) -> Result<Option<NameEntries>, IndexError> {
        let (mut low, mut high) = (0, self.n_names());
        while low < high {
            let mid = low + (high - low) / 2;
            let record = self.record(mid)?;
            match self.entry_at(record.first)?.name.cmp(name) {
                Ordering::Less => low = mid + 1,
                Ordering::Greater => high = mid,
                Ordering::Equal => return Ok(Some(record)),
            }
        }
        Ok(None)
    }

    /// All values of a name's part, in byte order.
    pub(crate) fn values(&self, part: NameEntries) -> LabelValues<'_> {
        LabelValues::new(self, part)
    }

    /// The values of a name's part by 32, each with the bytes of its entries: a value whose text is not in them is none
    /// of the 32.
    pub(crate) fn blocks(
        &self,
        part: NameEntries,
    ) -> impl Iterator<Item = Result<(&[u8], LabelValues<'_>), IndexError>> {
        (0..part.count.div_ceil(VALUES_PER_SAMPLE)).map(move |k| {
            let start = self.sample(part, k)?;
            let left = part.count - k * VALUES_PER_SAMPLE;
            let end = if left > VALUES_PER_SAMPLE { self.sample(part, k + 1)? } else { part.end };
            let bytes = self.entries.get(start as usize..end as usize);
            let bytes = bytes.ok_or_else(|| self.bad_position(u64::from(end)))?;
            let count = left.min(VALUES_PER_SAMPLE);
            let sample = part.sample.saturating_add(k);
            Ok((bytes, LabelValues::new(self, NameEntries { first: start, end, count, sample })))
        })
    }

    /// Position of the `k`th sampled entry of a name's part.
    fn sample(&self, part: NameEntries, k: u32) -> Result<u32, IndexError> {
        let i = u64::from(part.sample) + u64::from(k);
        self.samples.get(i as usize).ok_or_else(|| self.bad_position(i))
    }

    /// The values of a name's part from the first that is not less than `value`.
    pub(crate) fn values_from(&self, part: NameEntries, value: &[u8]) -> Result<LabelValues<'_>, IndexError> {
        let mut values = self.values(part);
        values.seek(value)?;
        Ok(values)
    }

    /// Where the list of the pair lies, if any series has it.
    pub(crate) fn find(&self, name: &[u8], value: &[u8]) -> Result<Option<Range<u64>>, IndexError> {
        let Some(part) = self.name(name)? else { return Ok(None) };
        match self.values_from(part, value)?.next().transpose()? {
            Some(found) if found.value == value => Ok(Some(found.list)),
            _ => Ok(None),
        }
    }

    /// Where the list of the entry at `pos` begins; behind the last entry, where the last list ends.
    fn next_list(&self, pos: u32) -> Result<u64, IndexError> {
        match self.ends {
            ListEnds::NextEntry { last } if pos as usize >= self.entries.len() => Ok(last),
            _ => Ok(self.entry_at(pos)?.list),
        }
    }

    /// Whether lists lie in the file in the order of their entries, without gaps.
    pub(crate) fn contiguous(&self) -> bool {
        matches!(self.ends, ListEnds::NextEntry { .. })
    }

    /// Bytes held besides the slice of the file.
    pub(crate) fn resident_bytes(&self) -> usize {
        let copied = match &self.ends {
            ListEnds::NextEntry { .. } => 0,
            ListEnds::NextList(lists) => lists.len() * 8 + self.entries.len(),
        };
        self.names.resident_bytes() + self.samples.resident_bytes() + copied
    }
}

impl NameEntries {
    /// The part of a name that no series has.
    pub(crate) const NONE: NameEntries = NameEntries { first: 0, end: 0, count: 0, sample: 0 };

    /// Number of values.
    pub(crate) fn count(self) -> usize {
        self.count as usize
    }
}

/// What one walk over the table finds.
enum Scan {
    Sorted { names: U32s, samples: U32s, last_list: u64 },
    Unsorted,
}

impl Scan {
    fn run(entries: &[u8], base: u64, count: u32) -> Result<Scan, IndexError> {
        let mut cursor = Cursor::new(entries, base);
        let (mut sorted, mut last, mut head) = (true, None::<RawEntry<'_>>, Head::default());
        for _ in 0..count {
            let entry = head.next_entry(&mut cursor)?;
            if let Some(last) = last {
                sorted &= (last.name, last.value) < (entry.name, entry.value) && last.list < entry.list;
            }
            last = Some(entry);
        }
        if !sorted {
            return Ok(Scan::Unsorted);
        }
        let (names, samples) = sample_sorted(entries, count, base)?;
        Ok(Scan::Sorted { names, samples, last_list: last.map_or(0, |e| e.list) })
    }
}

/// Walks sorted entries and keeps a record a name and the position of every 32nd entry of it.
fn sample_sorted(entries: &[u8], count: u32, base: u64) -> Result<(U32s, U32s), IndexError> {
    let mut cursor = Cursor::new(entries, base);
    let (mut names, mut samples) = (Vec::new(), Vec::new());
    let mut open: Option<(&[u8], NameEntries)> = None;
    for _ in 0..count {
        let pos = cursor.pos() as u32;
        let entry = read_entry(&mut cursor)?;
        let part = match &mut open {
            Some((name, part)) if *name == entry.name => part,
            _ => {
                close(&mut names, open.take(), pos);
                let part = NameEntries { first: pos, end: pos, count: 0, sample: samples.len() as u32 };
                &mut open.insert((entry.name, part)).1
            }
        };
        if part.count.is_multiple_of(VALUES_PER_SAMPLE) {
            samples.push(pos);
        }
        part.count += 1;
    }
    close(&mut names, open, cursor.pos() as u32);
    Ok((names.into_iter().collect(), samples.into_iter().collect()))
}

fn close(names: &mut Vec<u32>, open: Option<(&[u8], NameEntries)>, end: u32) {
    if let Some((_, part)) = open {
        names.extend([part.first, end, part.count, part.sample]);
    }
}

/// The head of an entry, count of keys and name: the same for all values of a name.
#[derive(Clone, Copy, Debug, Default)]
struct Head<'a> {
    name: &'a [u8],
    /// The bytes of a head of at most sixteen, and where they are in a word; longer ones are read again each time.
    word: u128,
    mask: u128,
    len: usize,
}

impl<'a> Head<'a> {
    /// Reads an entry; the head is only compared when it is short and the same as the last one.
    #[inline]
    fn next_entry(&mut self, cursor: &mut Cursor<'a>) -> Result<RawEntry<'a>, IndexError> {
        if self.len > 0 && cursor.peek_word().is_some_and(|word| word & self.mask == self.word) {
            cursor.skip_peeked(self.len);
        } else {
            *self = Head::read(cursor)?;
        }
        let value = cursor.string("label value")?;
        Ok(RawEntry { name: self.name, value, list: cursor.uvarint("postings offset")? })
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<Head<'a>, IndexError> {
        let (start, offset) = (cursor.clone(), cursor.offset());
        let keys = cursor.uvarint("postings offset key count")?;
        if keys != 2 {
            let what = "postings offset key count";
            return Err(IndexError::Invalid { what, offset, found: keys, expected: "2" });
        }
        let name = cursor.string("label name")?;
        let len = cursor.pos() - start.pos();
        Ok(match start.peek_word() {
            Some(word) if len <= 16 => {
                let mask = u128::MAX >> (128 - 8 * len);
                Head { name, word: word & mask, mask, len }
            }
            _ => Head { name, word: 0, mask: 0, len: 0 },
        })
    }
}

fn read_entry<'a>(cursor: &mut Cursor<'a>) -> Result<RawEntry<'a>, IndexError> {
    Head::default().next_entry(cursor)
}
