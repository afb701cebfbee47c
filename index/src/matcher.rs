//! Label matchers: `=`, `!=`, `=~`, `!~`. Prometheus `model/labels/matcher.go`.

use std::fmt;
use std::sync::Arc;

use regex_automata::meta::Regex;

pub(crate) use self::text::{Automaton, Glob, TextTest};
use crate::labels::{write_name, write_quoted};

mod go_class;
mod go_syntax;
mod text;

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
    /// Makes a matcher; regular expressions are fully anchored and `.` matches newlines.
    pub fn new(
        op: MatchOp,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Matcher, MatcherError> {
        let (name, value) = (name.as_ref(), value.as_ref());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => {
                Some(Arc::new(TextTest::compile(value).map_err(MatcherError::Regex)?))
            }
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

    /// Whether a series without the label matches.
    pub fn matches_empty(&self) -> bool {
        self.matches(b"")
    }
}

/// Compiles a pattern by Go's rules, as Prometheus does for `label_replace`: anchored at both ends, `.` matches
/// newlines, groups captured.
pub fn anchored_regex(pattern: impl AsRef<[u8]>) -> Result<Regex, MatcherError> {
    text::anchored(pattern.as_ref()).map_err(MatcherError::Regex)
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
