//! PromQL: expressions are parsed, planned and evaluated over series that the caller hands in.
//!
//! Knows no block, file or network. Semantics: Prometheus `promql`, `promql/parser`.

mod series;

pub use crate::series::{Series, SeriesData};
