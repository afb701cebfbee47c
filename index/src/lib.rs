//! Prometheus block index: which series match, and what each is called.
//!
//! Knows labels; knows no sample, file handle or thread. Formats: Prometheus `tsdb/index`, Thanos
//! `pkg/block/indexheader`.

mod error;

mod label_stack;
mod labels;
mod matcher;

mod cursor;
mod header;
mod offsets;
mod relabel;
mod series;
mod symbols;
mod toc;
mod u32s;

pub mod kernel;
mod lists;
mod plan;
mod postings;
mod ranges;
pub mod sets;
mod texts;

mod audit;
mod filter;
mod health;
mod reader;
mod stats;
mod writer;

pub use crate::audit::{IndexFault, audit};
pub use crate::error::IndexError;
pub use crate::filter::LabelFilter;
pub use crate::header::{IndexHeader, write_thanos_header};
pub use crate::health::{HealthCheck, IndexHealth};
pub use crate::label_stack::LabelStack;
pub use crate::labels::{Labels, LabelsBuilder, LabelsIter, METRIC_NAME, write_name, write_quoted};
pub use crate::matcher::{
    MatchOp, Matcher, MatcherError, PATTERN_BYTES_MAX, PatternBudget, Template, anchored_regex,
    escaped_pattern, searching_regex,
};
pub use crate::offsets::{LabelValue, LabelValues, SeriesSet};
pub use crate::plan::{Planning, PostingsPlan};
pub use crate::postings::Postings;
pub use crate::ranges::{coalesce, gap_to_leave};
pub use crate::reader::IndexReader;
pub use crate::relabel::Relabel;
pub use crate::series::{LabelPair, SeriesDecoder, SeriesEntry, SeriesRef};
pub use crate::stats::{Cardinality, NameCardinality, PairCardinality};
pub use crate::symbols::{SymbolRef, SymbolTable};
pub use crate::texts::Texts;
pub use crate::toc::{Toc, index_version};
pub use crate::writer::IndexWriter;
