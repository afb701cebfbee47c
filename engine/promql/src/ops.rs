//! Operators on whole series: selectors, ranges, aggregations, binary operators.

pub(crate) mod aggregate;
pub(crate) mod alike;
pub(crate) mod binary;
pub(crate) mod decode;
pub(crate) mod math;
pub(crate) mod merge;
pub(crate) mod names;
pub(crate) mod range;
pub(crate) mod reach;
pub(crate) mod selector;
pub(crate) mod smooth;
pub(crate) mod subquery;
pub(crate) mod topk;
pub(crate) mod unary;
