//! Errors of inputs that cannot be parsed, with their places.

use std::fmt;

use crate::ast::PosRange;

/// The most errors that are kept about one input: finding the line and column of each takes time.
pub(crate) const ERRORS_MAX: usize = 100;

/// One error in an input. Prints as upstream does: `line:column: parse error: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    /// The place in the input.
    pub range: PosRange,
    /// Line and column (in bytes) of the start, both from 1; absent if the input is empty.
    pub line_column: Option<(u32, u32)>,
    /// The message; the text is upstream's.
    pub message: String,
}

impl ParseError {
    /// An error about `range` of `input`.
    pub(crate) fn new(input: &[u8], range: PosRange, message: impl Into<String>) -> ParseError {
        ParseError { range, line_column: line_column(input, range.start), message: message.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line_column {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

/// Line and column of a byte offset, both from 1; `None` if it lies beyond the input's end or the input is empty.
pub(crate) fn line_column(input: &[u8], offset: u32) -> Option<(u32, u32)> {
    let before = input.get(..offset as usize).filter(|_| !input.is_empty())?;
    let line = before.iter().filter(|c| **c == b'\n').count() as u32 + 1;
    let column = before.iter().rev().take_while(|c| **c != b'\n').count() as u32 + 1;
    Some((line, column))
}

/// All errors of an input, in the order found; at least one. Prints the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors(pub Vec<ParseError>);

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.first() {
            Some(first) => fmt::Display::fmt(first, f),
            None => f.write_str("error contains no error message"),
        }
    }
}

impl std::error::Error for ParseErrors {}
