//! What a matcher asks of a text, in the cheapest form that says it: equal, one of a set, literals with gaps between
//! them, and only then an automaton.

use regex_automata::meta::Regex;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::automaton::{Automaton, anchor, build};
use super::glob::Glob;
use super::words::Words;
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
        if let Some((set, is_folded)) = Words::of(&hir).and_then(Words::into_set) {
            return Ok(if is_folded { TextTest::FoldSet(set) } else { TextTest::Set(set) });
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
            TextTest::Glob(glob) | TextTest::FoldGlob(glob) => glob.bytes(),
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
