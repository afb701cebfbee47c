//! Label matchers: `=`, `!=`, `=~`, `!~`. Prometheus `model/labels/matcher.go`.

use std::fmt;

use regex_automata::meta::Regex;

use crate::labels::{write_name, write_quoted};

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
    regex: Option<Regex>,
}

impl Matcher {
    /// Makes a matcher; regular expressions are fully anchored and `.` matches newlines.
    pub fn new(
        op: MatchOp,
        name: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Matcher, MatcherError> {
        let (name, value) = (name.as_ref(), value.as_ref());
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(compile(value)?),
        };
        Ok(Matcher { name: name.into(), op, value: value.into(), regex })
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
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => *value == *self.value,
            (MatchOp::NotEqual, _) => *value != *self.value,
            (MatchOp::Regex, Some(re)) => re.is_match(value),
            (MatchOp::NotRegex, Some(re)) => !re.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }

    /// Whether a series without the label matches.
    pub fn matches_empty(&self) -> bool {
        self.matches(b"")
    }
}

fn compile(pattern: &[u8]) -> Result<Regex, MatcherError> {
    let text = std::str::from_utf8(pattern).map_err(|_| MatcherError::Regex("invalid UTF-8".into()))?;
    Regex::new(&format!("^(?s:{text})$")).map_err(|e| MatcherError::Regex(e.to_string()))
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
