//! Label matchers: `=`, `!=`, `=~`, `!~`. Prometheus `model/labels/matcher.go`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use regex_automata::meta::Regex;
use tithon_chunks::ErrorKind;
use xxhash_rust::xxh3::xxh3_64;

pub(crate) use self::automaton::Automaton;
pub(crate) use self::glob::Glob;
pub use self::template::Template;
pub(crate) use self::text::TextTest;
use crate::labels::{write_name, write_quoted};

mod automaton;
mod budget;
mod glob;
mod go_class;
mod go_error;
mod go_syntax;
mod program;
mod shared;
mod template;
mod text;
mod words;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Regex,
    /// `!~`
    NotRegex,
}

impl MatchOp {
    /// The operator as written in PromQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// Why a matcher could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// The pattern is no regular expression; the text is Go's.
    #[error("error parsing regexp: {0}")]
    Regex(String),
    /// The pattern would take too much memory.
    #[error("regular expression `{pattern}` takes {instructions} instructions, the limit is {limit}")]
    TooLarge {
        /// Its beginning.
        pattern: String,
        /// How many instructions it takes, repetitions written out.
        instructions: u64,
        /// How many it may take.
        limit: u64,
    },
    /// The patterns of one request would take too much memory together.
    #[error("regular expressions of one request take more than {limit} bytes, the last one is `{pattern}`")]
    TooMany {
        /// The beginning of the pattern that goes over the limit.
        pattern: String,
        /// How many bytes all patterns together may take.
        limit: u64,
    },
}

impl MatcherError {
    /// What the caller should do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            MatcherError::Regex(_) => ErrorKind::Invalid,
            MatcherError::TooLarge { .. } | MatcherError::TooMany { .. } => ErrorKind::LimitExceeded,
        }
    }
}

/// A condition on one label; an absent label counts as the empty string.
#[derive(Clone)]
pub struct Matcher {
    name: Box<[u8]>,
    op: MatchOp,
    value: Box<[u8]>,
    /// Of the operators with a pattern.
    pattern: Option<Arc<TextTest>>,
}

impl Matcher {
    /// Makes a matcher; regular expressions are fully anchored and `.` matches newlines. What they are compiled to is
    /// made when they are first asked about a value, and shared by equal ones.
    pub fn new(
        op: MatchOp,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Matcher, MatcherError> {
        let (name, value) = (name.as_ref(), value.as_ref());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(shared::compiled(value, || TextTest::compile(value))?),
        };
        Ok(Matcher { name: name.into(), op, value: value.into(), pattern })
    }

    /// The label's name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value or pattern as given.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Whether a label with this value matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.accepts(value) != self.negated()
    }

    /// Whether the value satisfies the operator without its negation.
    fn accepts(&self, value: &[u8]) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.accepts(value),
            None => *value == *self.value,
        }
    }

    /// Whether the operator is `!=` or `!~`.
    pub(crate) fn negated(&self) -> bool {
        matches!(self.op, MatchOp::NotEqual | MatchOp::NotRegex)
    }

    /// The compiled pattern of the operators that have one.
    pub(crate) fn pattern(&self) -> Option<&TextTest> {
        self.pattern.as_deref()
    }

    /// Whether asking about many values may take long.
    pub(crate) fn is_costly(&self) -> bool {
        matches!(self.pattern(), Some(TextTest::Automaton(automaton)) if automaton.is_slow())
    }

    /// About how many bytes the compiled pattern takes at least; 0 without a pattern.
    pub fn pattern_bytes(&self) -> u64 {
        self.pattern().map_or(0, TextTest::bytes)
    }

    /// Whether a series without the label matches.
    pub fn matches_empty(&self) -> bool {
        self.matches(b"")
    }
}

/// Most bytes that the patterns of one request may take together, each distinct one counted once.
pub const PATTERN_BYTES_MAX: u64 = 64 << 20;

/// Counts the patterns of one request against [`PATTERN_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct PatternBudget {
    /// Hashes of the patterns counted so far.
    seen: HashSet<u64>,
    bytes: u64,
}

impl PatternBudget {
    /// Counts the pattern of a matcher, if it has one that was not counted yet; fails when the budget is used up.
    pub fn add(&mut self, matcher: &Matcher) -> Result<(), MatcherError> {
        if matcher.pattern().is_none() || !self.seen.insert(xxh3_64(matcher.value())) {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(matcher.pattern_bytes());
        if self.bytes > PATTERN_BYTES_MAX {
            let pattern = text::shortened(&String::from_utf8_lossy(matcher.value()));
            return Err(MatcherError::TooMany { pattern, limit: PATTERN_BYTES_MAX });
        }
        Ok(())
    }
}

/// A pattern that matches only the given text. Go's `regexp.QuoteMeta`; bytes that are no UTF-8 match U+FFFD.
pub fn escaped_pattern(text: &[u8]) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Compiles a pattern by Go's rules, as Prometheus does for `label_replace`: anchored at both ends, `.` matches
/// newlines, groups captured.
pub fn anchored_regex(pattern: impl AsRef<[u8]>) -> Result<Regex, MatcherError> {
    text::anchored(pattern.as_ref())
}

/// Compiles a pattern by Go's rules, as `regexp.Compile` does: it may match anywhere, `.` matches no newline, groups captured.
pub fn searching_regex(pattern: &str) -> Result<Regex, MatcherError> {
    text::searching(pattern)
}

/// Two matchers are equal when name, operator and value are.
impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        (self.op, &self.name, &self.value) == (other.op, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_name(f, &self.name)?;
        f.write_str(self.op.as_str())?;
        write_quoted(f, &self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
