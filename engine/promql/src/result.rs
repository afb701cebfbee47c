//! The result of a query.

use std::sync::Arc;

use tithon_chunks::{FloatHistogram, Samples, Timestamp};
use tithon_index::Labels;

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// The value.
    pub value: Value,
    /// Warnings, ascending, each with its position in the query.
    pub warnings: Vec<String>,
    /// Infos, ascending, each with its position: remarks on queries that may be right.
    pub infos: Vec<String>,
    /// Counts of samples.
    pub stats: QueryStats,
}

/// Counts of the samples of an evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples read by the evaluation; the samples of a window count at each step.
    pub total_samples: u64,
    /// Samples decoded.
    pub samples_read: u64,
    /// The most samples held at once.
    pub peak_samples: u64,
}

/// A value of any type.
#[derive(Clone, Debug)]
pub enum Value {
    /// One number.
    Scalar {
        /// The time of evaluation.
        t: Timestamp,
        /// The number.
        v: f64,
    },
    /// A text.
    String {
        /// The time of evaluation.
        t: Timestamp,
        /// Its bytes; need not be UTF-8.
        v: Box<[u8]>,
    },
    /// One sample per series, in the order of evaluation.
    Vector(Vec<VectorSample>),
    /// Many samples per series; series ascend by labels.
    Matrix(Vec<MatrixSeries>),
}

/// An element of an instant vector.
#[derive(Clone, Debug)]
pub struct VectorSample {
    /// The labels.
    pub labels: Labels,
    /// The time of evaluation.
    pub t: Timestamp,
    /// The sample.
    pub sample: Sample,
}

/// A sample of either kind.
#[derive(Clone, Debug)]
pub enum Sample {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// A series of a matrix.
#[derive(Clone, Debug)]
pub struct MatrixSeries {
    /// The labels.
    pub labels: Labels,
    /// Its samples.
    pub samples: Samples,
}
