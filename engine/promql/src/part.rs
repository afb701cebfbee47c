//! The value of a part of a query as one process hands it to another, which evaluates the rest.

use crate::annotations::Annotation;
use crate::result::{MatrixSeries, QueryStats};

/// The value of a node of a plan at all steps of the query.
#[derive(Clone, Debug)]
pub struct PartValue {
    /// Its rows in the order of evaluation, also those without samples; a scalar is one row without labels. Samples lie at steps.
    pub series: Vec<MatrixSeries>,
    /// The annotations of its evaluation, with their places in the whole query.
    pub annotations: Vec<Annotation>,
    /// The counts of its samples.
    pub stats: QueryStats,
}
