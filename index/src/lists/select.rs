//! Finds the values that a matcher accepts in one label's part of the dictionary, each kind of matcher in the cheapest
//! way.

use memchr::memmem::{self, Finder};

use super::Lists;
use super::walk::{Dense, FoldGlob, FoldWords, Machine, successor, walk};
use crate::matcher::{Glob, TextTest};
use crate::offsets::{NameEntries, PostingsOffsets};
use crate::{IndexError, LabelValue, LabelValues, Matcher};

pub(super) struct Select<'a> {
    offsets: &'a PostingsOffsets,
    part: NameEntries,
    contiguous: bool,
    lists: Lists,
}

impl<'a> Select<'a> {
    pub(super) fn new(offsets: &'a PostingsOffsets, part: NameEntries) -> Select<'a> {
        Select { offsets, part, contiguous: offsets.contiguous(), lists: Lists::default() }
    }

    /// The lists of the values that satisfy the matcher, or of those that do not.
    pub(super) fn run(mut self, matcher: &Matcher, satisfy: bool) -> Result<Lists, IndexError> {
        // Whether values are wanted that the operator accepts before its negation.
        match (matcher.pattern(), satisfy != matcher.negated()) {
            (None, true) => self.members(&[matcher.value()])?,
            (None, false) => self.all_but(|value| value == matcher.value(), matcher.value().is_empty())?,
            (Some(pattern), true) => self.accepted(pattern)?,
            (Some(TextTest::Glob(glob)), false) if glob.is_everything() => {}
            (Some(pattern), false) => self.all_but(|value| pattern.accepts(value), false)?,
        }
        Ok(self.lists)
    }

    fn push(&mut self, value: &LabelValue<'_>) {
        self.lists.push(value, self.contiguous);
    }

    fn accepted(&mut self, pattern: &TextTest) -> Result<(), IndexError> {
        let accepts = |value: &[u8]| pattern.accepts(value);
        match pattern {
            TextTest::Set(set) => self.members(set),
            TextTest::FoldSet(set) => self.walked(&FoldWords(set), &[], accepts),
            TextTest::Glob(glob) if !glob.prefix.is_empty() => self.prefixed(glob),
            TextTest::Glob(glob) if glob.is_everything() => self.all_but(|value| !accepts(value), true),
            TextTest::Glob(glob) => match glob.longest() {
                Some(literal) => self.holding(Finder::new(literal), accepts),
                None => self.searched(|bytes| glob.may_be_in(bytes), accepts),
            },
            TextTest::FoldGlob(glob) => match glob.longest() {
                Some(literal) if glob.prefix.is_empty() => self.holding_folded(literal, accepts),
                _ => self.walked(&FoldGlob(glob, pattern), &[], accepts),
            },
            TextTest::Automaton(automaton) => match (&automaton.needle, Dense::of(automaton)) {
                (needle, Some(dense)) if needle.is_none() || dense.is_picky() => {
                    self.walked(&dense, &automaton.prefix, accepts)
                }
                (Some(needle), _) if automaton.prefix.is_empty() => self.holding(needle.as_ref(), accepts),
                _ => self.filtered(self.beginning(&automaton.prefix)?, accepts),
            },
        }
    }

    /// All values except some; `none_excepted` says that there are none of those.
    fn all_but(&mut self, except: impl Fn(&[u8]) -> bool, none_excepted: bool) -> Result<(), IndexError> {
        let values = self.offsets.values(self.part);
        if none_excepted && let Some(range) = values.clone().whole()? {
            self.lists.push_whole(range, self.part.count());
            return Ok(());
        }
        self.filtered(values, |value| !except(value))
    }

    /// Those of `values` that are accepted.
    fn filtered(
        &mut self,
        values: LabelValues<'_>,
        accepts: impl Fn(&[u8]) -> bool,
    ) -> Result<(), IndexError> {
        for value in values {
            let value = value?;
            if accepts(value.value) {
                self.push(&value);
            }
        }
        Ok(())
    }

    /// The values that are in a sorted set.
    fn members(&mut self, set: &[impl AsRef<[u8]>]) -> Result<(), IndexError> {
        let mut values = self.offsets.values(self.part);
        let mut found: Option<LabelValue<'_>> = None;
        for member in set {
            let member = member.as_ref();
            if found.as_ref().is_none_or(|found| found.value < member) {
                values.seek(member)?;
                found = values.next().transpose()?;
            }
            match &found {
                Some(found) if found.value == member => self.push(found),
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    /// Values that begin with `prefix`: they lie together.
    fn beginning(&self, prefix: &[u8]) -> Result<LabelValues<'a>, IndexError> {
        let mut values = self.offsets.values(self.part);
        values.seek(prefix)?;
        if let Some(end) = successor(prefix) {
            values.end_before(&end)?;
        }
        Ok(values)
    }

    /// Values that an expression with a literal start accepts.
    fn prefixed(&mut self, glob: &Glob) -> Result<(), IndexError> {
        let values = self.beginning(&glob.prefix)?;
        let n = values.left();
        if glob.is_prefix()
            && let Some(range) = values.clone().whole()?
        {
            self.lists.push_whole(range, n);
            return Ok(());
        }
        self.filtered(values, |value| glob.accepts(value))
    }

    /// Values that a machine accepts.
    fn walked(
        &mut self,
        machine: &impl Machine,
        prefix: &[u8],
        accepts: impl Fn(&[u8]) -> bool,
    ) -> Result<(), IndexError> {
        walk(self.beginning(prefix)?, machine, accepts, |value| self.push(value))
    }

    /// Values that hold a literal.
    fn holding(&mut self, literal: Finder<'_>, accepts: impl Fn(&[u8]) -> bool) -> Result<(), IndexError> {
        self.searched(|bytes| literal.find(bytes).is_some(), accepts)
    }

    /// Values that hold a literal, given in lower case, in any case.
    fn holding_folded(&mut self, literal: &[u8], accepts: impl Fn(&[u8]) -> bool) -> Result<(), IndexError> {
        let (literal, others, mut lower) = (Finder::new(literal), other_cases(literal), Vec::new());
        let holds = |bytes: &[u8]| {
            lower.clear();
            lower.extend(bytes.iter().map(u8::to_ascii_lowercase));
            literal.find(&lower).is_some() || others.iter().any(|other| other.find(bytes).is_some())
        };
        self.searched(holds, accepts)
    }

    /// Values that are accepted: the bytes of the dictionary are searched, entries are read only where something is found.
    fn searched(
        &mut self,
        mut holds: impl FnMut(&[u8]) -> bool,
        accepts: impl Fn(&[u8]) -> bool,
    ) -> Result<(), IndexError> {
        for block in self.offsets.blocks(self.part) {
            let (bytes, values) = block?;
            if holds(bytes) {
                self.filtered(values, &accepts)?;
            }
        }
        Ok(())
    }
}

/// The letters beyond ASCII that a text in lower case also stands for.
fn other_cases(text: &[u8]) -> Vec<Finder<'static>> {
    let cases = [(b'k', "\u{212a}"), (b's', "\u{17f}")];
    cases
        .iter()
        .filter(|(letter, _)| text.contains(letter))
        .map(|(_, other)| memmem::Finder::new(*other))
        .collect()
}
