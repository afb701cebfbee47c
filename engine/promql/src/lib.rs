//! PromQL: expressions are parsed, planned and evaluated over series that the caller hands in.
//!
//! Knows no block, file or network. Semantics: Prometheus `promql`, `promql/parser`.

pub mod ast;
mod functions_table;
mod parse;
mod series;

pub use crate::ast::{Expr, Node, NodeId, NodeKind, PosRange, ValueType};
pub use crate::functions_table::{FUNCTIONS, Function, function};
pub use crate::parse::{ParseError, ParseErrors, ParseOptions, line_column};
pub use crate::series::{Series, SeriesData};
