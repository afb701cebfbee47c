//! Operators on evaluated operands: signs, binary operators, aggregations; and instant selectors.

mod aggregate;
pub(crate) mod binary;
pub(crate) mod count_values;
mod grouping;
mod parameter;
mod select_k;
pub(crate) mod selector;
pub(crate) mod unary;

pub(crate) use aggregate::Aggregation;
pub(crate) use parameter::Parameter;
pub(crate) use select_k::{Best, First, choose};
