//! An automaton intersected with the sorted dictionary: what a value shares with the one before is not walked again, and
//! where no accepted text can lie the walk leaps.

use regex_automata::Anchored;
use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;

use crate::matcher::{Automaton, Glob, TextTest};
use crate::{IndexError, LabelValue, LabelValues};

/// Reads ASCII texts byte by byte.
pub(super) trait Machine {
    type State: Copy;

    /// The state before the first byte.
    fn start(&self) -> Self::State;

    /// The state behind the byte at `depth`; `None` when no accepted text begins so.
    fn next(&self, state: Self::State, depth: usize, byte: u8) -> Option<Self::State>;

    /// Whether `text`, which led to this state, is accepted.
    fn accepts(&self, state: Self::State, text: &[u8]) -> bool;

    /// Whether an accepted text can end as this one does.
    fn may_end_as(&self, _text: &[u8]) -> bool {
        true
    }

    /// The least byte above `byte` that leads on, 0x80 when no ASCII byte does.
    fn next_live(&self, state: Self::State, depth: usize, byte: u8) -> u8 {
        (byte + 1..0x80).find(|byte| self.next(state, depth, *byte).is_some()).unwrap_or(0x80)
    }
}

/// Hands over the values that the machine accepts. Values that are not ASCII are asked of `accepts`: bytes that are no
/// UTF-8 read otherwise in Go.
pub(super) fn walk<'a, M: Machine>(
    mut values: LabelValues<'a>,
    machine: &M,
    accepts: impl Fn(&[u8]) -> bool,
    mut found: impl FnMut(&LabelValue<'a>),
) -> Result<(), IndexError> {
    let mut path = Path { states: vec![machine.start()], text: &[], dead: false };
    let mut dead_in_a_row = 0;
    while let Some(value) = values.next() {
        let value = value?;
        let text = value.value;
        if !text.is_ascii() {
            if accepts(text) {
                found(&value);
            }
            path.forget();
            continue;
        }
        if path.leads_to(text) {
            if !machine.may_end_as(text) {
                continue;
            }
            if path.follow(machine, text) {
                found(&value);
            }
        }
        dead_in_a_row = if path.dead { dead_in_a_row + 1 } else { 0 };
        if dead_in_a_row == DEAD_BEFORE_LEAP {
            values.seek(&path.leap(machine))?;
            dead_in_a_row = 0;
        }
    }
    Ok(())
}

/// A leap costs about as much as reading this many values.
const DEAD_BEFORE_LEAP: usize = 3;

/// How far a machine came in the last text that it read.
struct Path<'a, S> {
    /// The state before each byte of the text, as far as they lead on.
    states: Vec<S>,
    text: &'a [u8],
    /// The byte behind the last state leads nowhere.
    dead: bool,
}

impl<'a, S: Copy> Path<'a, S> {
    fn forget(&mut self) {
        self.states.truncate(1);
        (self.text, self.dead) = (&[], false);
    }

    /// Whether `text` does not begin as the last one did when it died.
    fn leads_to(&self, text: &[u8]) -> bool {
        let dead = self.states.len();
        !self.dead || text.len() < dead || text[..dead] != self.text[..dead]
    }

    /// Reads `text`; whether it is accepted.
    fn follow(&mut self, machine: &impl Machine<State = S>, text: &'a [u8]) -> bool {
        let shared = shared_len(self.text, text).min(self.states.len() - 1);
        self.states.truncate(shared + 1);
        (self.text, self.dead) = (text, false);
        let mut state = self.states[shared];
        for (depth, byte) in text.iter().enumerate().skip(shared) {
            match machine.next(state, depth, *byte) {
                Some(next) => state = next,
                None => {
                    self.dead = true;
                    return false;
                }
            }
            self.states.push(state);
        }
        machine.accepts(state, text)
    }

    /// The least text behind the dead one that may be accepted, or lies where texts are that are not ASCII.
    fn leap(&self, machine: &impl Machine<State = S>) -> Vec<u8> {
        let depth = self.states.len() - 1;
        let mut target = self.text[..depth].to_vec();
        target.push(machine.next_live(self.states[depth], depth, self.text[depth]));
        target
    }
}

/// Length of what both begin with.
fn shared_len(a: &[u8], b: &[u8]) -> usize {
    let (words_a, words_b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    for (i, (x, y)) in words_a.iter().zip(words_b).enumerate() {
        let differing = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differing != 0 {
            return i * 8 + differing.trailing_zeros() as usize / 8;
        }
    }
    let start = words_a.len().min(words_b.len()) * 8;
    start + a[start..].iter().zip(&b[start..]).take_while(|(x, y)| x == y).count()
}

/// The least text behind all texts that begin with `start`.
pub(super) fn successor(start: &[u8]) -> Option<Vec<u8>> {
    let last = start.iter().rposition(|byte| *byte < 0xff)?;
    let mut next = start[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

/// A table of states.
pub(super) struct Dense<'a> {
    table: &'a dense::DFA<Vec<u32>>,
    start: StateID,
    automaton: &'a Automaton,
}

impl<'a> Dense<'a> {
    pub(super) fn of(automaton: &'a Automaton) -> Option<Dense<'a>> {
        let table = automaton.dense()?;
        let start = table.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Dense { table, start, automaton })
    }

    /// Whether most texts die at their first byte, so that walking leaps over them.
    pub(super) fn is_picky(&self) -> bool {
        (b' '..=b'~').filter(|byte| self.next(self.start, 0, *byte).is_none()).count() > 60
    }
}

impl Machine for Dense<'_> {
    type State = StateID;

    fn start(&self) -> StateID {
        self.start
    }

    #[inline]
    fn next(&self, state: StateID, _depth: usize, byte: u8) -> Option<StateID> {
        let next = self.table.next_state(state, byte);
        (!self.table.is_dead_state(next)).then_some(next)
    }

    fn accepts(&self, state: StateID, _text: &[u8]) -> bool {
        self.table.is_match_state(self.table.next_eoi_state(state))
    }

    fn may_end_as(&self, text: &[u8]) -> bool {
        self.automaton.may_end_as(text)
    }
}

/// Sorted words in lower case, to be found in any case. The state is which words are left.
pub(super) struct FoldWords<'a>(pub(super) &'a [Box<[u8]>]);

impl Machine for FoldWords<'_> {
    type State = (usize, usize);

    fn start(&self) -> (usize, usize) {
        (0, self.0.len())
    }

    fn next(&self, (low, high): (usize, usize), depth: usize, byte: u8) -> Option<(usize, usize)> {
        let (words, byte) = (&self.0[low..high], byte.to_ascii_lowercase());
        let from = words.partition_point(|word| word.get(depth) < Some(&byte));
        let to = from + words[from..].partition_point(|word| word.get(depth) == Some(&byte));
        (from < to).then_some((low + from, low + to))
    }

    fn accepts(&self, (low, _): (usize, usize), text: &[u8]) -> bool {
        self.0.get(low).is_some_and(|word| word.len() == text.len())
    }

    fn next_live(&self, (low, high): (usize, usize), depth: usize, byte: u8) -> u8 {
        let words = &self.0[low..high];
        let above = |byte: u8| {
            let first = words.partition_point(|word| word.get(depth) <= Some(&byte));
            words.get(first).map(|word| word[depth])
        };
        let upper = match byte {
            ..b'A' => above(b'a' - 1),
            b'A'..=b'Z' => above(byte.to_ascii_lowercase()),
            _ => None,
        };
        let upper = upper.filter(u8::is_ascii_lowercase).map(|letter| letter.to_ascii_uppercase());
        above(byte).into_iter().chain(upper).min().unwrap_or(0x80)
    }
}

/// Literals in lower case, to be found in any case, with any text between them. Leads on where the first one does; about
/// the rest the test of the whole text is asked.
pub(super) struct FoldGlob<'a>(pub(super) &'a Glob, pub(super) &'a TextTest);

impl Machine for FoldGlob<'_> {
    type State = ();

    fn start(&self) {}

    fn next(&self, (): (), depth: usize, byte: u8) -> Option<()> {
        let wanted = self.0.prefix.get(depth).copied().unwrap_or(byte.to_ascii_lowercase());
        (wanted == byte.to_ascii_lowercase()).then_some(())
    }

    fn accepts(&self, (): (), text: &[u8]) -> bool {
        if self.0.is_prefix() { text.len() >= self.0.prefix.len() } else { self.1.accepts(text) }
    }
}
