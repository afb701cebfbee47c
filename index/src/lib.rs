//! Prometheus block index: which series match, and what each is called.
//!
//! Knows labels; knows no sample, file handle or thread. Formats: Prometheus `tsdb/index`, Thanos
//! `pkg/block/indexheader`.

mod labels;
mod matcher;

pub use crate::labels::{Labels, LabelsBuilder, LabelsIter, METRIC_NAME, write_name, write_quoted};
pub use crate::matcher::{MatchOp, Matcher, MatcherError};
