//! PromQL: expressions are parsed, planned and evaluated over series that the caller hands in.
//!
//! Knows no block, file or network. Semantics: Prometheus `promql`, `promql/parser`. The modules of a group below import
//! only from their own group and the groups above, and never in a circle: `tests/layers.rs` checks it.

// Numbers and texts as Go has them
mod date;
pub mod format;
mod go_sort;
mod kernel;
pub mod math;
mod stack;
mod stats;
// The language
pub mod ast;
mod func;
mod label_names;
mod operator;
mod value_type;
// What evaluation reads, gives and refuses
mod annotations;
mod budget;
mod error;
mod parse_error;
mod result;
mod series;
mod watch;
// From text to plan
mod options;
mod parse;
mod plan;
mod print;
mod remotes;
mod rules;
// Evaluation
mod context;
mod eval;
mod frame;
mod functions;
mod ops;
mod part;
mod read;
#[cfg(test)]
mod testing;

pub use crate::annotations::{Annotation, Detail, Monotonicity};
pub use crate::ast::{Expr, Node, NodeId, NodeKind, PosRange};
pub use crate::budget::{Budget, Charge, OverBudget};
pub use crate::error::{QueryError, SourceError};
pub use crate::eval::{Analysis, Clock};
pub use crate::func::{Func, Signature};
pub use crate::options::{EvalContext, Options, TimeParams};
pub use crate::parse::{
    ParseOptions, SequenceValue, duration_ns, parse, parse_metric, parse_metric_selector,
    parse_selector_within, parse_series_desc, parse_within,
};
pub use crate::parse_error::{ParseError, ParseErrors};
pub use crate::part::{PartRow, PartValue, RowError};
pub use crate::plan::{
    Holder, PartUnknown, PlanNode, Prepared, RemotePart, SelectHints, SelectSpec, StorePart,
};
pub use crate::print::{prettify, prettify_within, to_json};
pub use crate::remotes::{LocalSource, Partitioning, RemoteEngine, RemoteSource, Remotes};
pub use crate::result::{MatrixSeries, QueryResult, QueryStats, Sample, Value, VectorSample};
pub use crate::rules::{Rule, Rules};
pub use crate::series::{ReadChunks, SelectInput, Series, SeriesData, Unread};
pub use crate::value_type::ValueType;
pub use crate::watch::Watch;
