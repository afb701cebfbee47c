//! Native histograms as values. Prometheus `model/histogram`.

mod arithmetic;
mod bounds;
mod buckets;
mod compact;
mod contained;
mod convert;
mod custom;
mod equal;
mod error;
mod kahan;
mod nan;
mod reduce;
mod reset;
mod schema;
mod text;
mod trim;
mod validate;
mod zero;

pub use arithmetic::Combined;
pub(crate) use bounds::exponential_bound;
pub use buckets::Bucket;
pub use error::HistogramError;
pub use kahan::kahan_add;
pub(crate) use reduce::deltas_of;
pub use schema::{CUSTOM_BUCKETS_SCHEMA, SCHEMA_MAX, SCHEMA_MIN, is_known_schema, is_valid_schema};
pub use trim::Keep;
pub(crate) use validate::check_spans;

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Gap to the previous span, in buckets; for the first span, the index of its first bucket.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// What is known about a counter reset between a histogram and the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CounterResetHint {
    /// Nothing: compare with the previous histogram.
    #[default]
    Unknown = 0,
    /// A reset lies before this histogram.
    Reset = 1,
    /// No reset lies before this histogram.
    NotReset = 2,
    /// A gauge: resets mean nothing.
    Gauge = 3,
}

/// A native histogram with integer counts. Buckets are stored as in upstream: first absolute, then deltas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// What is known about a reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution, -4 to 8, or -53 for custom bucket bounds.
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations.
    pub count: u64,
    /// Sum of all observations; the stale marker here marks the histogram stale.
    pub sum: f64,
    /// Runs of buckets above zero (or of custom buckets).
    pub positive_spans: Vec<Span>,
    /// Runs of buckets below zero.
    pub negative_spans: Vec<Span>,
    /// Counts of the positive buckets: the first absolute, each further one as the difference to the one before.
    pub positive_buckets: Vec<i64>,
    /// Counts of the negative buckets, likewise.
    pub negative_buckets: Vec<i64>,
    /// Upper bounds of custom buckets, ascending, without +Inf; empty unless `schema` is -53.
    pub custom_values: Vec<f64>,
}

/// A native histogram with float counts; bucket counts are absolute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    /// What is known about a reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution, -4 to 8, or -53 for custom bucket bounds.
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations; the stale marker here marks the histogram stale.
    pub sum: f64,
    /// Runs of buckets above zero (or of custom buckets).
    pub positive_spans: Vec<Span>,
    /// Runs of buckets below zero.
    pub negative_spans: Vec<Span>,
    /// Counts of the positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Counts of the negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, ascending, without +Inf; empty unless `schema` is -53.
    pub custom_values: Vec<f64>,
}
