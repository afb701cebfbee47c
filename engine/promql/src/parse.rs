//! Parsing of expressions, selectors and series descriptions. Upstream: `promql/parser/parse.go`.

mod check;
mod error;
mod lexer;
mod literal;
mod options;
mod parser;
mod token;

use tithon_index::{Labels, Matcher};

use crate::ast::{Expr, PosRange};
use parser::Parser;

pub use error::{ParseError, ParseErrors, line_column};
pub use literal::duration_ns;
pub use options::ParseOptions;
pub use parser::SequenceValue;

/// Parses and type-checks an expression.
pub fn parse(input: impl AsRef<[u8]>, options: &ParseOptions) -> Result<Expr, ParseErrors> {
    let input = checked(input.as_ref())?;
    let mut parser = Parser::new(input, *options, false);
    let parsed = parser.whole_expr();
    let nodes = std::mem::take(&mut parser.nodes);
    let mut expr = Expr::from_parts(nodes, parser.finish(parsed)?);
    let errors = check::check(&mut expr, input);
    if errors.is_empty() { Ok(expr) } else { Err(ParseErrors(errors)) }
}

/// Parses a vector selector, as `match[]` has it: its matchers. All of them may accept the empty string.
pub fn parse_metric_selector(
    input: impl AsRef<[u8]>,
    options: &ParseOptions,
) -> Result<Vec<Matcher>, ParseErrors> {
    let mut parser = Parser::new(checked(input.as_ref())?, *options, false);
    let matchers = parser.whole_selector();
    parser.finish(matchers)
}

/// Parses a metric: a name, labels in braces, or both.
pub fn parse_metric(input: impl AsRef<[u8]>) -> Result<Labels, ParseErrors> {
    let mut parser = Parser::new(checked(input.as_ref())?, ParseOptions::default(), false);
    let labels = parser.whole_metric();
    parser.finish(labels)
}

/// Parses a series description of the test language: a metric and its values.
pub fn parse_series_desc(input: impl AsRef<[u8]>) -> Result<(Labels, Vec<SequenceValue>), ParseErrors> {
    let mut parser = Parser::new(checked(input.as_ref())?, ParseOptions::default(), true);
    let series = parser.whole_series();
    parser.finish(series)
}

/// Refuses inputs whose places do not fit the tree.
fn checked(input: &[u8]) -> Result<&[u8], ParseErrors> {
    if u32::try_from(input.len()).is_ok_and(|len| len < u32::MAX) {
        return Ok(input);
    }
    let message = format!("input has {} bytes, more than {}", input.len(), u32::MAX - 1);
    Err(ParseErrors(vec![ParseError::new(b"", PosRange::default(), message)]))
}
