//! What a matcher asks of a text, in the cheapest form that says it: equal, one of a set, literals with gaps between
//! them, and only then an automaton.

use std::borrow::Cow;
use std::sync::OnceLock;

use memchr::memmem::Finder;
use regex_automata::dfa::{StartKind, dense};
use regex_automata::meta::Regex;
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind, Look};

use super::budget::Share;
use super::go_class::fold;
use super::program::Program;
use super::{MatcherError, go_error, go_syntax};

/// A condition on a whole text.
#[derive(Debug)]
pub(crate) enum TextTest {
    /// One of these, sorted.
    Set(Box<[Box<[u8]>]>),
    /// One of these, sorted and in lower case, but for the case of ASCII letters (and of the two letters that fold to
    /// one: U+017F and U+212A).
    FoldSet(Box<[Box<[u8]>]>),
    /// Literals with any text between them.
    Glob(Glob),
    /// The same in lower case, but for the case of letters as in a [`TextTest::FoldSet`].
    FoldGlob(Glob),
    /// Anything else.
    Automaton(Box<Automaton>),
}

/// `prefix.*a.*b.*suffix`
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    pub(crate) prefix: Box<[u8]>,
    pub(crate) middle: Box<[Finder<'static>]>,
    pub(crate) suffix: Box<[u8]>,
    /// Bytes that the text must have beyond the literals: 1 for `.+`.
    pub(crate) more: usize,
}

/// An expression with literals that every match has. What it is compiled to is made when it is first needed.
#[derive(Debug)]
pub(crate) struct Automaton {
    hir: Hir,
    size: u64,
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

/// Most texts a set may hold, and bytes in them, before an automaton is made instead.
const SET_MAX: usize = 20_000;
const SET_BYTES_MAX: usize = 1 << 20;
/// Most bytes that a table of states may take, before the expression is called on each value instead.
const DENSE_MAX: usize = 1 << 20;
/// Most bytes that an automaton of one expression may take, and that it may keep of states met before.
const AUTOMATON_MAX: usize = 4 << 20;
const STATES_KEPT: usize = 1 << 20;
/// Most bytes of an expression whose groups are wanted: there is no slower form of it.
const GROUPS_MAX: usize = 16 << 20;
/// Most instructions of an expression, repetitions written out.
pub(super) const INSTRUCTIONS_MAX: u64 = 1_200_000;
/// Bytes for one of them in the slowest form, with the memory of a match.
const INSTRUCTION_BYTES: u64 = 32;

impl TextTest {
    /// Compiles a pattern.
    pub(super) fn compile(pattern: &[u8]) -> Result<TextTest, MatcherError> {
        let text = match std::str::from_utf8(pattern) {
            Ok(text) => text,
            Err(error) => return Err(MatcherError::Regex(invalid_utf8(pattern, error.valid_up_to()))),
        };
        let parsed = go_syntax::parse(text).map_err(MatcherError::Regex)?;
        if parsed.size > INSTRUCTIONS_MAX {
            let (pattern, instructions) = (shortened(text), parsed.size);
            return Err(MatcherError::TooLarge { pattern, instructions, limit: INSTRUCTIONS_MAX });
        }
        let (size, automaton_bytes) = (parsed.size, parsed.automaton_bytes);
        let hir = unanchor(parsed.hir);
        if let Some(glob) = Glob::of(&hir, false) {
            return Ok(if glob.is_literal() {
                TextTest::Set([glob.prefix].into())
            } else {
                TextTest::Glob(glob)
            });
        }
        if let Some(set) = Words::of(&hir).and_then(Words::into_set) {
            return Ok(set);
        }
        if let Some(glob) = Glob::of(&hir, true) {
            return Ok(TextTest::FoldGlob(glob));
        }
        Ok(TextTest::Automaton(Box::new(Automaton::new(hir, size, automaton_bytes))))
    }

    /// About how many bytes it takes at least; what an automaton takes beyond that is counted for the whole process.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            TextTest::Set(set) | TextTest::FoldSet(set) => {
                set.iter().map(|text| 16 + text.len() as u64).sum()
            }
            TextTest::Glob(_) | TextTest::FoldGlob(_) => 128,
            TextTest::Automaton(automaton) => 1024 + INSTRUCTION_BYTES * automaton.size,
        }
    }

    pub(crate) fn accepts(&self, text: &[u8]) -> bool {
        match self {
            TextTest::Set(set) => contains(set, text),
            TextTest::FoldSet(set) if set.len() == 1 && text.is_ascii() => set[0].eq_ignore_ascii_case(text),
            TextTest::FoldSet(set) => folded(text, |text| contains(set, text)),
            TextTest::Glob(glob) => glob.accepts(text),
            TextTest::FoldGlob(glob) => folded(text, |text| glob.accepts(text)),
            TextTest::Automaton(automaton) => automaton.accepts(text),
        }
    }
}

fn contains(set: &[Box<[u8]>], text: &[u8]) -> bool {
    match set {
        [one] => **one == *text,
        set => set.binary_search_by(|member| (**member).cmp(text)).is_ok(),
    }
}

/// As `starts_with`, which asks `memcmp` even about nothing; with masked loads and the dangling pointer of an empty
/// slice that takes 250 ns.
pub(crate) fn begins(text: &[u8], prefix: &[u8]) -> bool {
    prefix.is_empty() || text.starts_with(prefix)
}

fn ends(text: &[u8], suffix: &[u8]) -> bool {
    suffix.is_empty() || text.ends_with(suffix)
}

/// Where Go stops at a byte that is no UTF-8, unless the pattern is wrong before that.
fn invalid_utf8(pattern: &[u8], at: usize) -> String {
    let valid = std::str::from_utf8(&pattern[..at]).unwrap_or_default();
    match go_syntax::parse(valid).map(drop) {
        Err(error) if !error.starts_with("missing closing") && !error.starts_with("trailing") => error,
        _ => go_error::error("invalid UTF-8", &String::from_utf8_lossy(&pattern[at..])),
    }
}

/// Takes away `^` at the start and `$` at the end: matches are anchored anyway.
fn unanchor(hir: Hir) -> Hir {
    let HirKind::Concat(parts) = hir.kind() else { return hir };
    let is = |part: Option<&Hir>, look| part.is_some_and(|part| *part.kind() == HirKind::Look(look));
    let start = usize::from(is(parts.first(), Look::Start));
    let end = parts.len() - usize::from(is(parts.last(), Look::End));
    Hir::concat(parts[start..end].to_vec())
}

impl Glob {
    /// The literals and gaps that an expression is made of; with `fold`, literals in which no letter has a case.
    fn of(hir: &Hir, fold: bool) -> Option<Glob> {
        let parts = match hir.kind() {
            HirKind::Concat(parts) => parts.as_slice(),
            HirKind::Empty => &[],
            _ => std::slice::from_ref(hir),
        };
        // Literals before, between and behind the gaps.
        let (mut literals, mut more) = (vec![vec![]], 0);
        for part in parts {
            match part.kind() {
                HirKind::Literal(literal) if fold && Words::one(&literal.0).exact => return None,
                HirKind::Literal(literal) => literals.last_mut()?.extend_from_slice(&literal.0),
                HirKind::Class(Class::Unicode(class)) if fold => {
                    literals.last_mut()?.push(folded_letter(class)?);
                }
                HirKind::Repetition(gap) if gap.max.is_none() && gap.min <= 1 && is_any(&gap.sub) => {
                    more += gap.min as usize;
                    literals.push(vec![]);
                }
                _ => return None,
            }
        }
        if more > 0 && literals.len() > 2 {
            return None;
        }
        let prefix = literals.remove(0).into();
        let suffix = literals.pop();
        let middle = literals.iter().filter(|l| !l.is_empty()).map(|l| Finder::new(l).into_owned()).collect();
        match suffix {
            Some(suffix) => Some(Glob { prefix, middle, suffix: suffix.into(), more }),
            // Without a gap there is no room between prefix and suffix: `usize::MAX` says so.
            None => Some(Glob { prefix, middle, suffix: [].into(), more: usize::MAX }),
        }
    }

    fn is_literal(&self) -> bool {
        self.more == usize::MAX
    }

    /// Whether it is a prefix and anything behind.
    pub(crate) fn is_prefix(&self) -> bool {
        self.more == 0 && self.middle.is_empty() && self.suffix.is_empty()
    }

    pub(crate) fn accepts(&self, text: &[u8]) -> bool {
        if text.len() < self.prefix.len() + self.suffix.len() + self.more {
            return false;
        }
        if !begins(text, &self.prefix) || !ends(text, &self.suffix) {
            return false;
        }
        let mut rest = &text[self.prefix.len()..text.len() - self.suffix.len()];
        for finder in &self.middle {
            match finder.find(rest) {
                Some(at) => rest = &rest[at + finder.needle().len()..],
                None => return false,
            }
        }
        true
    }

    /// The longest literal, which every accepted text holds; `None` when there is none.
    pub(crate) fn longest(&self) -> Option<&[u8]> {
        let middle = self.middle.iter().map(Finder::needle);
        let all = middle.chain([&*self.prefix, &*self.suffix]);
        all.max_by_key(|literal| literal.len()).filter(|literal| !literal.is_empty())
    }
}

fn is_any(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            matches!(class.ranges(), [all] if all.start() == '\0' && all.end() == char::MAX)
        }
        _ => false,
    }
}

impl Automaton {
    fn new(hir: Hir, size: u64, automaton_bytes: u64) -> Automaton {
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

    fn accepts(&self, text: &[u8]) -> bool {
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

fn anchor(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

fn build(hir: &Hir, bytes_max: usize) -> Option<Regex> {
    let config = Regex::config()
        .nfa_size_limit(Some(bytes_max))
        .onepass_size_limit(Some(STATES_KEPT))
        .hybrid_cache_capacity(STATES_KEPT);
    Regex::builder().configure(config).build_from_hir(hir).ok()
}

/// The expression anchored at both ends, groups kept.
pub(super) fn anchored(pattern: &[u8]) -> Result<Regex, MatcherError> {
    let text = std::str::from_utf8(pattern)
        .map_err(|error| MatcherError::Regex(invalid_utf8(pattern, error.valid_up_to())))?;
    let parsed = go_syntax::parse_captures(text).map_err(MatcherError::Regex)?;
    build(&anchor(parsed.hir), GROUPS_MAX).ok_or_else(|| MatcherError::TooLarge {
        pattern: shortened(text),
        instructions: parsed.size,
        limit: parsed.size * GROUPS_MAX as u64 / parsed.automaton_bytes.max(1),
    })
}

/// The expression as it may match anywhere in a text, groups kept.
pub(super) fn searching(pattern: &str) -> Result<Regex, MatcherError> {
    // Alone first, so that messages show the pattern as it was given.
    go_syntax::parse_captures(pattern).map_err(MatcherError::Regex)?;
    let parsed = go_syntax::parse_captures(&format!("(?-s:{pattern})")).map_err(MatcherError::Regex)?;
    build(&parsed.hir, GROUPS_MAX).ok_or_else(|| MatcherError::TooLarge {
        pattern: shortened(pattern),
        instructions: parsed.size,
        limit: parsed.size * GROUPS_MAX as u64 / parsed.automaton_bytes.max(1),
    })
}

/// The start of a pattern, for messages.
pub(super) fn shortened(pattern: &str) -> String {
    const SHOWN: usize = 200;
    match pattern.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &pattern[..end]),
        None => pattern.to_owned(),
    }
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

/// Asks about a text in lower case; short ones are not allocated.
fn folded(text: &[u8], ask: impl Fn(&[u8]) -> bool) -> bool {
    let mut buffer = [0; 128];
    match buffer.get_mut(..text.len()) {
        Some(lower) if text.is_ascii() => {
            lower.copy_from_slice(text);
            lower.make_ascii_lowercase();
            ask(lower)
        }
        _ => ask(&fold_ascii(text)),
    }
}

/// Lower case for ASCII letters and for the two others that fold to one.
fn fold_ascii(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\u{17f}' => out.push(b's'),
                '\u{212a}' => out.push(b'k'),
                c => out.extend_from_slice(c.to_ascii_lowercase().encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// All texts that an expression accepts, when they are few.
#[derive(Clone, Debug)]
struct Words {
    words: Vec<Vec<u8>>,
    /// Some letter stands for itself alone.
    exact: bool,
    /// Some letter, in lower case, stands for all its cases.
    folded: bool,
}

impl Words {
    fn one(word: &[u8]) -> Words {
        let exact = word.iter().any(|b| b.is_ascii_alphabetic() || !b.is_ascii());
        Words { words: vec![word.to_vec()], exact, folded: false }
    }

    fn of(hir: &Hir) -> Option<Words> {
        match hir.kind() {
            HirKind::Empty => Some(Words::one(b"")),
            HirKind::Literal(literal) => Some(Words::one(&literal.0)),
            HirKind::Class(Class::Unicode(class)) => Words::of_class(class),
            HirKind::Concat(parts) => {
                parts.iter().try_fold(Words::one(b""), |words, part| words.then(&Words::of(part)?))
            }
            HirKind::Alternation(parts) => {
                let none = Words { words: vec![], exact: false, folded: false };
                parts.iter().try_fold(none, |words, part| words.or(Words::of(part)?))
            }
            HirKind::Repetition(repetition) => {
                let (sub, max) = (Words::of(&repetition.sub)?, repetition.max?.min(SET_MAX as u32));
                let mut words = Words { words: vec![], exact: false, folded: false };
                let mut power = Words::one(b"");
                for n in 0..=max {
                    if n >= repetition.min {
                        words = words.or(power.clone())?;
                    }
                    power = power.then(&sub)?;
                }
                Some(words)
            }
            _ => None,
        }
    }

    fn of_class(class: &ClassUnicode) -> Option<Words> {
        if let Some(letter) = folded_letter(class) {
            return Some(Words { words: vec![vec![letter]], exact: false, folded: true });
        }
        let size: usize = class.iter().map(|range| range.len()).sum();
        if size > 256 {
            return None;
        }
        let mut words = Words { words: vec![], exact: false, folded: false };
        for c in class.iter().flat_map(|range| range.start()..=range.end()) {
            words = words.or(Words::one(c.encode_utf8(&mut [0; 4]).as_bytes()))?;
        }
        Some(words)
    }

    fn then(&self, next: &Words) -> Option<Words> {
        let n = self.words.len().checked_mul(next.words.len()).filter(|n| *n <= SET_MAX)?;
        let mut words = Vec::with_capacity(n);
        for a in &self.words {
            words.extend(next.words.iter().map(|b| [a.as_slice(), b].concat()));
        }
        if words.iter().map(Vec::len).sum::<usize>() > SET_BYTES_MAX {
            return None;
        }
        Some(Words { words, exact: self.exact | next.exact, folded: self.folded | next.folded })
    }

    fn or(mut self, other: Words) -> Option<Words> {
        self.words.extend(other.words);
        (self.exact, self.folded) = (self.exact | other.exact, self.folded | other.folded);
        (self.words.len() <= SET_MAX).then_some(self)
    }

    fn into_set(self) -> Option<TextTest> {
        if self.exact && self.folded {
            return None;
        }
        let mut words: Vec<Box<[u8]>> = self.words.into_iter().map(Into::into).collect();
        words.sort_unstable();
        words.dedup();
        Some(if self.folded { TextTest::FoldSet(words.into()) } else { TextTest::Set(words.into()) })
    }
}

/// The ASCII letter, in lower case, whose cases the class holds and nothing else.
fn folded_letter(class: &ClassUnicode) -> Option<u8> {
    let upper = class.ranges().first()?.start();
    if !upper.is_ascii_uppercase() {
        return None;
    }
    let cases = fold(ClassUnicode::new([regex_syntax::hir::ClassUnicodeRange::new(upper, upper)]));
    (*class == cases).then(|| upper.to_ascii_lowercase() as u8)
}
