//! The values of one label name, walked in byte order or by leaps.

use std::ops::Range;

use super::{Head, LabelValue, ListEnds, NameEntries, PostingsOffsets, RawEntry, VALUES_PER_SAMPLE};
use crate::cursor::Cursor;
use crate::{IndexError, Texts};

/// Values of one label name in byte order, each with the place of its postings list.
#[derive(Clone, Debug)]
pub struct LabelValues<'a> {
    table: &'a PostingsOffsets,
    part: NameEntries,
    cursor: Cursor<'a>,
    head: Head<'a>,
    ahead: Option<RawEntry<'a>>,
    /// Entries not yet read, the one in `ahead` not counted.
    unread: u32,
    /// Entries of the part behind those that are walked.
    beyond: u32,
}

impl<'a> LabelValues<'a> {
    pub(super) fn new(table: &'a PostingsOffsets, part: NameEntries) -> LabelValues<'a> {
        let cursor = Cursor::at(&table.entries, part.first as usize, table.base);
        let (head, unread) = (Head::default(), part.count);
        LabelValues { table, part, cursor, head, ahead: None, unread, beyond: 0 }
    }

    /// Values left.
    pub fn left(&self) -> usize {
        self.unread as usize + usize::from(self.ahead.is_some())
    }

    /// Moves forward to the first value that is not less than `value`: over samples by doubling steps and a binary
    /// search, then entry by entry.
    pub(crate) fn seek(&mut self, value: &[u8]) -> Result<(), IndexError> {
        let end = self.part.count - self.beyond;
        let (next, samples) = (end - self.left() as u32, end.div_ceil(VALUES_PER_SAMPLE));
        let here = next / VALUES_PER_SAMPLE;
        // The last sample not behind `value` lies in `low..high`.
        let mut low = here;
        let mut high = if next == 0 { samples } else { samples.min(low + 1) };
        let is_behind = |k| -> Result<bool, IndexError> {
            Ok(self.table.entry_at(self.table.sample(self.part, k)?)?.value > value)
        };
        let mut step = 1;
        while high < samples && !is_behind(high)? {
            (low, step) = (high, step * 2);
            high = samples.min(low.saturating_add(step));
        }
        while low + 1 < high {
            let mid = low + (high - low) / 2;
            if is_behind(mid)? { high = mid } else { low = mid }
        }
        if low > here {
            let at = self.table.sample(self.part, low)?;
            self.cursor = Cursor::at(&self.table.entries, at as usize, self.table.base);
            (self.ahead, self.unread) = (None, end - low * VALUES_PER_SAMPLE);
        }
        self.skip_below(value)
    }

    fn skip_below(&mut self, value: &[u8]) -> Result<(), IndexError> {
        while self.left() > 0 {
            let entry = match self.ahead.take() {
                Some(entry) => entry,
                None => self.read()?,
            };
            if entry.value >= value {
                self.ahead = Some(entry);
                break;
            }
        }
        Ok(())
    }

    /// Ends the walk before the first value that is not less than `bound`.
    pub(crate) fn end_before(&mut self, bound: &[u8]) -> Result<(), IndexError> {
        let mut behind = self.clone();
        behind.seek(bound)?;
        let cut = behind.left() as u32;
        self.beyond += cut;
        match self.unread.checked_sub(cut) {
            Some(unread) => self.unread = unread,
            None => (self.unread, self.ahead) = (0, None),
        }
        Ok(())
    }

    /// The values of these numbers only, the first of the name being 0.
    pub fn numbered(mut self, numbers: Range<usize>) -> Result<LabelValues<'a>, IndexError> {
        let count = self.part.count as usize;
        let (start, end) = (numbers.start.min(count) as u32, numbers.end.min(count) as u32);
        let sample = start / VALUES_PER_SAMPLE;
        if start < end {
            let at = self.table.sample(self.part, sample)?;
            self.cursor = Cursor::at(&self.table.entries, at as usize, self.table.base);
            for _ in sample * VALUES_PER_SAMPLE..start {
                self.head.next_entry(&mut self.cursor)?;
            }
        }
        (self.ahead, self.unread, self.beyond) = (None, end.saturating_sub(start), self.part.count - end);
        Ok(self)
    }

    /// Where the lists of all values left lie, if one behind the other, without a look at the values; `None` when they
    /// do not, or when there is no value.
    pub fn whole(mut self) -> Result<Option<Range<u64>>, IndexError> {
        if !self.table.contiguous() || self.left() == 0 {
            return Ok(None);
        }
        let start = match self.ahead {
            Some(entry) => entry.list,
            None => self.read()?.list,
        };
        let last = self.part.count - self.beyond - 1;
        let mut behind = LabelValues::new(self.table, self.part);
        let sample = last / VALUES_PER_SAMPLE;
        let at = self.table.sample(self.part, sample)?;
        behind.cursor = Cursor::at(&self.table.entries, at as usize, self.table.base);
        for _ in sample * VALUES_PER_SAMPLE..=last {
            behind.head.next_entry(&mut behind.cursor)?;
        }
        let end = self.table.next_list(behind.cursor.pos() as u32)?;
        Ok((start < end).then_some(start..end))
    }

    /// Copies of the values left, at most `most` of them. Where their lists lie is not looked at.
    pub fn texts(mut self, most: usize) -> Result<Texts, IndexError> {
        let n = self.left().min(most);
        let mut out = Texts::with_capacity(n, self.bytes_of(n));
        for _ in 0..n {
            let entry = match self.ahead.take() {
                Some(entry) => entry,
                None => self.read()?,
            };
            out.push(entry.value);
        }
        Ok(out)
    }

    /// About how many bytes `n` values of the part have.
    fn bytes_of(&self, n: usize) -> usize {
        // An entry has at least these bytes besides the value: count of keys, name and its length, length, offset.
        const OTHER_BYTES: usize = 5;
        let (count, end) = (self.part.count.max(1) as usize, self.part.end as usize);
        let part = end.min(self.table.entries.len()).saturating_sub(self.part.first as usize);
        (part / count).saturating_sub(OTHER_BYTES) * n
    }

    #[inline]
    fn read(&mut self) -> Result<RawEntry<'a>, IndexError> {
        self.unread -= 1;
        self.head.next_entry(&mut self.cursor)
    }

    fn next_entry(&mut self) -> Result<Option<LabelValue<'a>>, IndexError> {
        let entry = match self.ahead.take() {
            Some(entry) => entry,
            None if self.unread == 0 => return Ok(None),
            None => self.read()?,
        };
        let end = match &self.table.ends {
            ListEnds::NextEntry { .. } if self.unread > 0 => {
                let next = self.read()?;
                self.ahead.insert(next).list
            }
            ListEnds::NextEntry { .. } => self.table.next_list(self.cursor.pos() as u32)?,
            ListEnds::NextList(lists) => {
                let i = lists.partition_point(|list| *list <= entry.list);
                lists.get(i).copied().unwrap_or(entry.list)
            }
        };
        if end <= entry.list {
            let (what, offset) = ("end of a postings list", entry.list);
            let expected = "an offset behind its start";
            return Err(IndexError::Invalid { what, offset, found: end, expected });
        }
        Ok(Some(LabelValue { value: entry.value, list: entry.list..end }))
    }
}

impl<'a> Iterator for LabelValues<'a> {
    type Item = Result<LabelValue<'a>, IndexError>;

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left()))
    }

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.next_entry().transpose();
        if matches!(item, Some(Err(_))) {
            (self.unread, self.ahead) = (0, None);
        }
        item
    }
}
