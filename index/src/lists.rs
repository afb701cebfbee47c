//! The postings lists that one matcher asks for: found in the dictionary of a label's values, each kind of matcher in
//! the cheapest way, and united.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem::Finder;
use regex_automata::Anchored;
use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

use crate::cursor::Cursor;
use crate::matcher::{Automaton, TextTest, begins, fold_starts};
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
    fn each(&self, fetched: &[Bytes], mut list: impl FnMut(&[u8])) -> Result<(), IndexError> {
        for run in &self.runs {
            let mut cursor = Cursor::new(&fetched[run.slot], run.range.start);
            for _ in 0..run.lists {
                list(stored_refs(&mut cursor)?);
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
            TextTest::Set(_) => self.all_but(|value| !accepts(value), false),
            TextTest::FoldSet(set) => {
                let starts = fold_starts(set);
                if starts.len() * VALUES_PER_LOOKUP > self.part.count() {
                    return self.all_but(|value| !accepts(value), false);
                }
                starts.iter().try_for_each(|start| self.prefixed(start, accepts))
            }
            TextTest::Glob(glob) if !glob.prefix.is_empty() => self.prefixed(&glob.prefix, accepts),
            TextTest::Glob(glob) => match glob.longest() {
                None => self.all_but(|value| !accepts(value), true),
                Some(literal) => self.holding(&Finder::new(literal), accepts),
            },
            TextTest::Automaton(automaton) => match (&automaton.needle, automaton.dense()) {
                (_, Some(dense)) if automaton.needle.is_none() || is_picky(dense) => {
                    self.walked(automaton, dense, accepts)
                }
                (Some(needle), _) if automaton.prefix.is_empty() => self.holding(needle, accepts),
                _ => self.prefixed(&automaton.prefix, accepts),
            },
        }
    }

    /// Values that begin with `prefix`: they lie together.
    fn prefixed(&mut self, prefix: &[u8], accepts: impl Fn(&[u8]) -> bool) -> Result<(), IndexError> {
        for value in self.offsets.values_from(self.part, prefix)? {
            let value = value?;
            if !begins(value.value, prefix) {
                break;
            }
            if accepts(value.value) {
                self.push(&value);
            }
        }
        Ok(())
    }

    /// Values that an automaton accepts, walked byte by byte: what a value shares with the one before is not walked
    /// again, and values that share a dead start are skipped.
    fn walked(
        &mut self,
        automaton: &Automaton,
        dense: &dense::DFA<Vec<u32>>,
        accepts: impl Fn(&[u8]) -> bool,
    ) -> Result<(), IndexError> {
        let Some(start) = start_state(dense) else { return self.prefixed(&automaton.prefix, accepts) };
        let mut values = self.offsets.values_from(self.part, &automaton.prefix)?;
        // The state behind each byte of the value before, as far as it was walked.
        let (mut states, mut before): (Vec<StateID>, &[u8]) = (vec![start], &[]);
        let mut skipped = 0;
        while let Some(value) = values.next() {
            let value = value?;
            let text = value.value;
            if !begins(text, &automaton.prefix) {
                break;
            }
            let shared = text.iter().zip(before).take_while(|(a, b)| a == b).count();
            let walked = states.len() - 1;
            if shared >= walked && dense.is_dead_state(states[walked]) {
                skipped += 1;
                if skipped == VALUES_PER_LOOKUP
                    && let Some(next) = successor(&before[..walked])
                {
                    values = self.offsets.values_from(self.part, &next)?;
                }
                continue;
            }
            (skipped, before) = (0, text);
            states.truncate(shared + 1);
            // Bytes that are no UTF-8 read otherwise in Go: such values are asked one by one.
            let accepted = if text.is_ascii() {
                walk(dense, &mut states, text)
            } else {
                states.truncate(1);
                before = &[];
                accepts(text)
            };
            if accepted {
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

fn start_state(dense: &dense::DFA<Vec<u32>>) -> Option<StateID> {
    dense.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()
}

/// Whether most texts die at their first byte, so that walking skips them.
fn is_picky(dense: &dense::DFA<Vec<u32>>) -> bool {
    let Some(start) = start_state(dense) else { return false };
    let dies = |byte: &u8| dense.is_dead_state(dense.next_state(start, *byte));
    (b' '..=b'~').filter(dies).count() > 60
}

/// Walks `text` from where `states` ends until a dead state; whether the text is accepted.
fn walk(dense: &dense::DFA<Vec<u32>>, states: &mut Vec<StateID>, text: &[u8]) -> bool {
    let mut state = states[states.len() - 1];
    for byte in &text[states.len() - 1..] {
        state = dense.next_state(state, *byte);
        states.push(state);
        if dense.is_dead_state(state) {
            return false;
        }
    }
    dense.is_match_state(dense.next_eoi_state(state))
}

/// The least text behind all texts that begin with `start`.
fn successor(start: &[u8]) -> Option<Vec<u8>> {
    let last = start.iter().rposition(|byte| *byte < 0xff)?;
    let mut next = start[..=last].to_vec();
    next[last] += 1;
    Some(next)
}
