//! Parsing of expressions, selectors and series descriptions. Upstream: `promql/parser/parse.go`.

mod check;
mod lexer;
mod literal;
mod options;
mod parser;
mod token;

use std::sync::atomic::AtomicBool;

use tithon_index::{Labels, Matcher};

use crate::ast::{Expr, PosRange};
use crate::budget::{Budget, Charge};
use crate::error::QueryError;
use crate::parse_error::{ParseError, ParseErrors};
use crate::watch::Watch;
use parser::Parser;

pub use literal::duration_ns;
pub use options::ParseOptions;
pub use parser::SequenceValue;

/// Parses and type-checks an expression.
pub fn parse(input: impl AsRef<[u8]>, options: &ParseOptions) -> Result<Expr, ParseErrors> {
    unwatched(|watch| parse_within(input, options, watch))
}

/// Parses like [`parse()`] within a budget, and stops when the caller no longer waits; returns the charge for the memory of
/// the tree too.
///
/// Errors: [`QueryError::Parse`], [`QueryError::Cancelled`], [`QueryError::TooManyBytes`].
pub fn parse_within(
    input: impl AsRef<[u8]>,
    options: &ParseOptions,
    watch: Watch<'_>,
) -> Result<(Expr, Charge), QueryError> {
    let input = checked(input.as_ref()).map_err(QueryError::Parse)?;
    let mut parser = Parser::new(input, *options, false, watch);
    let parsed = parser.whole_expr();
    let nodes = std::mem::take(&mut parser.nodes);
    let (root, charge) = parser.finish(parsed)?;
    let mut expr = Expr::from_parts(nodes, root);
    let errors = check::check(&mut expr, input);
    if errors.is_empty() { Ok((expr, charge)) } else { Err(QueryError::Parse(ParseErrors(errors))) }
}

/// Parses a vector selector, as in `match[]`, and returns its matchers. All of them may accept the empty string.
pub fn parse_metric_selector(
    input: impl AsRef<[u8]>,
    options: &ParseOptions,
) -> Result<Vec<Matcher>, ParseErrors> {
    unwatched(|watch| parse_selector_within(input, options, watch))
}

/// Parses like [`parse_metric_selector`] within a budget, and stops when the caller no longer waits; returns the charge for
/// the memory of the matchers too.
///
/// Errors: those of [`parse_within`].
pub fn parse_selector_within(
    input: impl AsRef<[u8]>,
    options: &ParseOptions,
    watch: Watch<'_>,
) -> Result<(Vec<Matcher>, Charge), QueryError> {
    let input = checked(input.as_ref()).map_err(QueryError::Parse)?;
    let mut parser = Parser::new(input, *options, false, watch);
    let matchers = parser.whole_selector();
    parser.finish(matchers)
}

/// Parses a metric: a name, labels in braces, or both.
pub fn parse_metric(input: impl AsRef<[u8]>) -> Result<Labels, ParseErrors> {
    let input = checked(input.as_ref())?;
    unwatched(|watch| {
        let mut parser = Parser::new(input, ParseOptions::default(), false, watch);
        let labels = parser.whole_metric();
        parser.finish(labels)
    })
}

/// Parses a series description of the test language: a metric and its values.
pub fn parse_series_desc(input: impl AsRef<[u8]>) -> Result<(Labels, Vec<SequenceValue>), ParseErrors> {
    let input = checked(input.as_ref())?;
    unwatched(|watch| {
        let mut parser = Parser::new(input, ParseOptions::default(), true, watch);
        let series = parser.whole_series();
        parser.finish(series)
    })
}

/// Parses without limits, so that only the input can cause an error.
fn unwatched<T>(parse: impl FnOnce(Watch<'_>) -> Result<(T, Charge), QueryError>) -> Result<T, ParseErrors> {
    let (budget, cancelled) = (Budget::new(u64::MAX, ""), AtomicBool::new(false));
    match parse(Watch { budget: &budget, cancelled: &cancelled }) {
        Ok((parsed, _)) => Ok(parsed),
        Err(QueryError::Parse(errors)) => Err(errors),
        Err(error) => unreachable!("a parse without limits ended with: {error}"),
    }
}

/// Refuses inputs so long that positions do not fit the tree.
fn checked(input: &[u8]) -> Result<&[u8], ParseErrors> {
    if u32::try_from(input.len()).is_ok_and(|len| len < u32::MAX) {
        return Ok(input);
    }
    let message = format!("input has {} bytes, more than {}", input.len(), u32::MAX - 1);
    Err(ParseErrors(vec![ParseError::new(b"", PosRange::default(), message)]))
}
