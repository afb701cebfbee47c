//! The postings lists that one matcher asks for, and their union.

mod limited;
mod next;
mod select;
mod walk;

use std::ops::Range;

use bytes::Bytes;

pub(crate) use self::limited::first_series;
pub(crate) use self::next::next_refs;
use self::select::Select;
use crate::cursor::Cursor;
use crate::offsets::PostingsOffsets;
use crate::postings::stored_refs;
use crate::{IndexError, LabelValue, Matcher, sets};

/// Lists whose union is wanted; those that lie one behind the other are read as one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    runs: Vec<Run>,
    refs: u64,
    lists: usize,
}

/// Lists that lie one behind the other.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) range: Range<u64>,
    lists: usize,
    /// Where the range is in the plan's ranges.
    pub(crate) slot: usize,
}

impl Lists {
    /// The lists of the values that satisfy the matcher, or of those that do not.
    pub(crate) fn select(
        offsets: &PostingsOffsets,
        matcher: &Matcher,
        satisfy: bool,
    ) -> Result<Lists, IndexError> {
        match offsets.name(matcher.name())? {
            Some(part) => Select::new(offsets, part).run(matcher, satisfy),
            None => Ok(Lists::default()),
        }
    }

    /// Lists that all lie one behind the other.
    pub(crate) fn whole(range: Range<u64>, lists: usize) -> Lists {
        let refs = (range.end - range.start).saturating_sub(12 * lists as u64) / 4;
        Lists { refs, lists, runs: vec![Run { range, lists, slot: 0 }] }
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(crate) fn runs_mut(&mut self) -> &mut [Run] {
        &mut self.runs
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Refs in all lists together, as their lengths tell.
    pub(crate) fn refs(&self) -> u64 {
        self.refs
    }

    /// Adds lists that lie one behind the other.
    fn push_whole(&mut self, range: Range<u64>, lists: usize) {
        let whole = Lists::whole(range, lists);
        (self.refs, self.lists) = (self.refs + whole.refs, self.lists + lists);
        self.runs.extend(whole.runs);
    }

    fn push(&mut self, value: &LabelValue<'_>, contiguous: bool) {
        self.refs += value.series();
        self.lists += 1;
        match self.runs.last_mut() {
            Some(run) if contiguous && run.range.end == value.list.start => {
                run.range.end = value.list.end;
                run.lists += 1;
            }
            _ => self.runs.push(Run { range: value.list.clone(), lists: 1, slot: 0 }),
        }
    }

    /// The refs of all lists, ascending. `fetched` holds the bytes of each slot.
    pub(crate) fn union(&self, fetched: &[Bytes]) -> Result<Vec<u32>, IndexError> {
        let bytes: usize = self.runs.iter().map(|run| fetched[run.slot].len()).sum();
        let mut refs = Vec::with_capacity(bytes.saturating_sub(12 * self.lists) / 4);
        self.each(fetched, |stored| sets::expand(stored, &mut refs))?;
        Ok(sets::normalize(refs))
    }

    /// Those of `found` that are in a list, or those that are in none.
    pub(crate) fn restrict(
        &self,
        found: Vec<u32>,
        fetched: &[Bytes],
        wanted: bool,
    ) -> Result<Vec<u32>, IndexError> {
        let few_lists = self.lists <= FEW_LISTS;
        let among = if few_lists && (found.len() as u64).saturating_mul(UNION_RATIO) < self.refs {
            let (mut hits, mut list) = (vec![], vec![]);
            self.each(fetched, |stored| {
                list.clear();
                sets::expand(stored, &mut list);
                hits.append(&mut sets::intersect(&found, &list));
            })?;
            let hits = sets::normalize(hits);
            if wanted {
                return Ok(hits);
            }
            hits
        } else {
            self.union(fetched)?
        };
        Ok(if wanted { sets::intersect(&found, &among) } else { sets::difference(&found, &among) })
    }

    /// Hands over the stored refs of each list.
    fn each<'f>(&self, fetched: &'f [Bytes], list: impl FnMut(&'f [u8])) -> Result<(), IndexError> {
        self.each_by(fetched, stored_refs, list)
    }

    /// Hands over the refs of each list, as `read` reads them.
    fn each_by<'f>(
        &self,
        fetched: &'f [Bytes],
        read: impl Fn(&mut Cursor<'f>) -> Result<&'f [u8], IndexError>,
        mut list: impl FnMut(&'f [u8]),
    ) -> Result<(), IndexError> {
        for run in &self.runs {
            let mut cursor = Cursor::new(&fetched[run.slot], run.range.start);
            for _ in 0..run.lists {
                list(read(&mut cursor)?);
                let padding = cursor.offset().next_multiple_of(4) - cursor.offset();
                cursor.take((padding as usize).min(cursor.left()), "padding")?;
            }
        }
        Ok(())
    }
}

/// Up to this many lists are each compared with what was found, when that is
/// [this much](UNION_RATIO) smaller than they are, instead of being united first.
const FEW_LISTS: usize = 64;
const UNION_RATIO: u64 = 4;
