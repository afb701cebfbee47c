//! The postings lists that one matcher asks for: found in the dictionary of a label's values, each kind of matcher in
//! the cheapest way, and united.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem::Finder;

use crate::cursor::Cursor;
use crate::matcher::TextTest;
use crate::offsets::{NameEntries, PostingsOffsets};
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
        let Some(part) = offsets.name(matcher.name())? else { return Ok(Lists::default()) };
        let mut select = Select { offsets, part, contiguous: offsets.contiguous(), lists: Lists::default() };
        // Whether values are wanted that the operator accepts before its negation.
        match (matcher.pattern(), satisfy != matcher.negated()) {
            (None, true) => select.one(matcher.value())?,
            (None, false) => select.all_but(|value| value == matcher.value(), matcher.value().is_empty())?,
            (Some(pattern), true) => select.accepted(pattern)?,
            (Some(TextTest::Glob(glob)), false) if glob.longest().is_none() => {}
            (Some(pattern), false) => select.all_but(|value| pattern.accepts(value), false)?,
        }
        Ok(select.lists)
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
        for run in &self.runs {
            let mut cursor = Cursor::new(&fetched[run.slot], run.range.start);
            for _ in 0..run.lists {
                sets::expand(stored_refs(&mut cursor)?, &mut refs);
                let padding = cursor.offset().next_multiple_of(4) - cursor.offset();
                cursor.take((padding as usize).min(cursor.left()), "padding")?;
            }
        }
        Ok(sets::normalize(refs))
    }
}

/// Finds values in one label's part of the dictionary.
struct Select<'a> {
    offsets: &'a PostingsOffsets,
    part: NameEntries,
    contiguous: bool,
    lists: Lists,
}

/// One lookup costs about as much as reading this many values in a row.
const VALUES_PER_LOOKUP: usize = 24;

impl Select<'_> {
    fn push(&mut self, value: &LabelValue<'_>) {
        self.lists.push(value, self.contiguous);
    }

    fn one(&mut self, value: &[u8]) -> Result<(), IndexError> {
        if let Some(found) = self.offsets.values_from(self.part, value)?.next().transpose()?
            && found.value == value
        {
            self.push(&found);
        }
        Ok(())
    }

    /// All values except some; `none_excepted` says that there are none of those.
    fn all_but(&mut self, except: impl Fn(&[u8]) -> bool, none_excepted: bool) -> Result<(), IndexError> {
        if none_excepted && let Some(range) = self.offsets.whole(self.part)? {
            self.lists = Lists::whole(range, self.part.count());
            return Ok(());
        }
        for value in self.offsets.values(self.part) {
            let value = value?;
            if !except(value.value) {
                self.push(&value);
            }
        }
        Ok(())
    }

    fn accepted(&mut self, pattern: &TextTest) -> Result<(), IndexError> {
        let accepts = |value: &[u8]| pattern.accepts(value);
        match pattern {
            TextTest::Set(set) if set.len() * VALUES_PER_LOOKUP < self.part.count() => {
                set.iter().try_for_each(|value| self.one(value))
            }
            TextTest::Set(_) | TextTest::FoldSet(_) => self.all_but(|value| !accepts(value), false),
            TextTest::Glob(glob) if !glob.prefix.is_empty() => self.prefixed(&glob.prefix, accepts),
            TextTest::Glob(glob) => match glob.longest() {
                None => self.all_but(|value| !accepts(value), true),
                Some(literal) => self.holding(&Finder::new(literal), accepts),
            },
            TextTest::Automaton(automaton) => match &automaton.needle {
                _ if !automaton.prefix.is_empty() => self.prefixed(&automaton.prefix, accepts),
                Some(needle) => self.holding(needle, accepts),
                None => self.all_but(|value| !accepts(value), false),
            },
        }
    }

    /// Values that begin with `prefix`: they lie together.
    fn prefixed(&mut self, prefix: &[u8], accepts: impl Fn(&[u8]) -> bool) -> Result<(), IndexError> {
        for value in self.offsets.values_from(self.part, prefix)? {
            let value = value?;
            if !value.value.starts_with(prefix) {
                break;
            }
            if accepts(value.value) {
                self.push(&value);
            }
        }
        Ok(())
    }

    /// Values that hold a literal: the bytes of the dictionary are searched, entries are read only where it is found.
    fn holding(&mut self, literal: &Finder<'_>, accepts: impl Fn(&[u8]) -> bool) -> Result<(), IndexError> {
        for block in self.offsets.blocks(self.part) {
            let (bytes, values) = block?;
            if literal.find(bytes).is_none() {
                continue;
            }
            for value in values {
                let value = value?;
                if accepts(value.value) {
                    self.push(&value);
                }
            }
        }
        Ok(())
    }
}
