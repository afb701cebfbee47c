//! Expressions that only an automaton can match, or instructions where the automaton would be too large.

use std::borrow::Cow;
use std::sync::OnceLock;

use memchr::memmem::Finder;
use regex_automata::dfa::{StartKind, dense};
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::budget::Share;
use super::glob::begins;
use super::program::Program;

/// Most bytes that a table of states may take, before the expression is called on each value instead.
const DENSE_MAX: usize = 1 << 20;
/// Most bytes that an automaton of one expression may take, and that it may keep of states met before.
const AUTOMATON_MAX: usize = 4 << 20;
const STATES_KEPT: usize = 1 << 20;

/// An expression with literals that every match has. What it is compiled to is made when it is first needed.
#[derive(Debug)]
pub(crate) struct Automaton {
    hir: Hir,
    pub(super) size: u64,
    automaton_bytes: u64,
    engine: OnceLock<Engine>,
    /// Made when a dictionary is first walked; `None` inside when it would be too large.
    dense: OnceLock<Option<dense::DFA<Vec<u32>>>>,
    pub(crate) prefix: Box<[u8]>,
    pub(crate) needle: Option<Finder<'static>>,
    /// The ASCII bytes one of which ends every match, where it is so.
    last: Option<u128>,
}

/// What runs an expression: an automaton where that is small, and the process has room for it.
#[derive(Debug)]
enum Engine {
    Regex {
        regex: Box<Regex>,
        /// Of the budget of all automata.
        _share: Share,
    },
    Program(Program),
}

impl Automaton {
    pub(super) fn new(hir: Hir, size: u64, automaton_bytes: u64) -> Automaton {
        let (mut prefix, mut needle): (&[u8], &[u8]) = (&[], &[]);
        if let HirKind::Concat(parts) = hir.kind() {
            for (i, part) in parts.iter().enumerate() {
                if let HirKind::Literal(literal) = part.kind() {
                    if i == 0 {
                        prefix = &literal.0;
                    } else if literal.0.len() > needle.len() {
                        needle = &literal.0;
                    }
                }
            }
        }
        let (prefix, needle) =
            (prefix.into(), (!needle.is_empty()).then(|| Finder::new(needle).into_owned()));
        let last = last_bytes(&hir);
        let (engine, dense) = (OnceLock::new(), OnceLock::new());
        Automaton { hir, size, automaton_bytes, engine, dense, prefix, needle, last }
    }

    fn engine(&self) -> &Engine {
        self.engine.get_or_init(|| {
            let small = self.automaton_bytes <= AUTOMATON_MAX as u64;
            let regex = small.then(|| build(&anchor(self.hir.clone()), AUTOMATON_MAX)).flatten();
            let shared = regex.and_then(|regex| {
                let share = Share::take(regex.memory_usage() + STATES_KEPT)?;
                Some(Engine::Regex { regex: Box::new(regex), _share: share })
            });
            shared.unwrap_or_else(|| Engine::Program(Program::new(&self.hir)))
        })
    }

    /// Most bytes that it takes once it has been used.
    pub(super) fn bytes_max(&self) -> usize {
        usize::try_from(self.automaton_bytes).unwrap_or(usize::MAX).min(AUTOMATON_MAX) + STATES_KEPT
    }

    /// Whether asking about a text may take microseconds.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self.engine(), Engine::Program(_))
    }

    /// The same as a table of states, for walks byte by byte over ASCII; `None` when the table would be too large.
    pub(crate) fn dense(&self) -> Option<&dense::DFA<Vec<u32>>> {
        let small = self.automaton_bytes <= DENSE_MAX as u64;
        let made = || small.then(|| dense_automaton(&anchor(self.hir.clone()))).flatten();
        self.dense.get_or_init(made).as_ref()
    }

    /// Whether a match can end with the last byte of `text`.
    pub(crate) fn may_end_as(&self, text: &[u8]) -> bool {
        let is_last = |byte: &u8, set: u128| byte.is_ascii() && set >> byte & 1 == 1;
        self.last.is_none_or(|set| text.last().is_some_and(|byte| is_last(byte, set)))
    }

    pub(super) fn accepts(&self, text: &[u8]) -> bool {
        if !begins(text, &self.prefix) || !self.may_end_as(text) {
            return false;
        }
        if self.needle.as_ref().is_some_and(|needle| needle.find(&text[self.prefix.len()..]).is_none()) {
            return false;
        }
        let text = as_go_sees(text);
        match self.engine() {
            Engine::Regex { regex, .. } => regex.is_match(Input::new(&*text).anchored(Anchored::Yes)),
            Engine::Program(program) => program.accepts(&text),
        }
    }
}

/// The ASCII bytes one of which ends every text that an expression accepts; `None` when there are others, or the empty
/// text is accepted.
fn last_bytes(hir: &Hir) -> Option<u128> {
    if hir.properties().minimum_len().is_none_or(|len| len == 0) {
        return None;
    }
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.last().filter(|byte| byte.is_ascii()).map(|byte| 1 << byte),
        HirKind::Class(Class::Unicode(class)) => class.iter().try_fold(0, |set, range| {
            let bytes = range.start()..=range.end();
            range.end().is_ascii().then(|| bytes.fold(set, |set, byte| set | 1 << u32::from(byte)))
        }),
        HirKind::Repetition(repetition) => last_bytes(&repetition.sub),
        HirKind::Capture(capture) => last_bytes(&capture.sub),
        HirKind::Concat(parts) => last_bytes(parts.last()?),
        HirKind::Alternation(parts) => parts.iter().try_fold(0, |set, part| Some(set | last_bytes(part)?)),
        _ => None,
    }
}

/// The expression at the start of a text and to its end.
pub(super) fn anchor(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

/// Compiles an expression; `None` when it takes more than `bytes_max`.
pub(super) fn build(hir: &Hir, bytes_max: usize) -> Option<Regex> {
    let config = Regex::config()
        .nfa_size_limit(Some(bytes_max))
        .onepass_size_limit(Some(STATES_KEPT))
        .hybrid_cache_capacity(STATES_KEPT);
    Regex::builder().configure(config).build_from_hir(hir).ok()
}

fn dense_automaton(hir: &Hir) -> Option<dense::DFA<Vec<u32>>> {
    let nfa_config =
        thompson::Config::new().nfa_size_limit(Some(DENSE_MAX)).which_captures(WhichCaptures::None);
    let nfa = thompson::Compiler::new().configure(nfa_config).build_from_hir(hir).ok()?;
    let config = dense::Config::new()
        .start_kind(StartKind::Anchored)
        .accelerate(false)
        .dfa_size_limit(Some(DENSE_MAX))
        .determinize_size_limit(Some(DENSE_MAX));
    dense::Builder::new().configure(config).build_from_nfa(&nfa).ok()
}

/// Go reads each byte that is no UTF-8 as U+FFFD.
fn as_go_sees(text: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for chunk in text.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(out)
}
