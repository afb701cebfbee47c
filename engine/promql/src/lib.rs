//! PromQL: expressions are parsed, planned and evaluated over series that the caller hands in.
//!
//! Knows no block, file or network. Semantics: Prometheus `promql`, `promql/parser`.

pub mod ast;
pub mod format;
mod functions_table;
pub mod math;
mod parse;
mod print;
mod series;
// Planning and evaluation
mod annotations;
mod budget;
mod error;
mod eval;
mod frame;
mod functions;
mod go_sort;
mod kernel;
mod ops;
mod options;
mod plan;
mod result;
mod stack;

pub use crate::ast::{Expr, Node, NodeId, NodeKind, PosRange, ValueType};
pub use crate::budget::{Budget, Charge, OverBudget, Watch};
pub use crate::error::{QueryError, SourceError};
pub use crate::eval::{Analysis, Clock};
pub use crate::functions_table::{FUNCTIONS, Function, function};
pub use crate::options::{EvalContext, Options, TimeParams};
pub use crate::parse::{
    ParseError, ParseErrors, ParseOptions, SequenceValue, duration_ns, line_column, parse, parse_metric,
    parse_metric_selector, parse_selector_within, parse_series_desc, parse_within,
};
pub use crate::plan::{
    Engine, Fragment, PlanNode, Prepared, Rule, Rules, SelectHints, SelectInput, SelectSpec, join_answers,
};
pub use crate::print::{prettify, prettify_within, to_json};
pub use crate::result::{MatrixSeries, QueryResult, QueryStats, Sample, Value, VectorSample};
pub use crate::series::{Series, SeriesData};
