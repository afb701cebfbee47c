//! Parsing of expressions, selectors and series descriptions. Upstream: `promql/parser/parse.go`.

mod error;
mod options;

pub use error::{ParseError, ParseErrors, line_column};
pub use options::ParseOptions;
