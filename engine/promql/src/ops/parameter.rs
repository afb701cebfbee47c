//! The parameter of an aggregation: `k` of `topk`, φ of `quantile`.

use crate::math;

/// The parameter at each step. Upstream: `fParams` in `promql/value.go`.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// The value at each step.
    pub(crate) values: Vec<f64>,
    /// The largest, NaN if any is NaN.
    pub(crate) max: f64,
    /// The smallest, NaN if any is NaN.
    pub(crate) min: f64,
    /// Whether any is NaN.
    pub(crate) has_nan: bool,
}

impl Parameter {
    /// Of the values at each step.
    pub(crate) fn new(values: Vec<f64>) -> Parameter {
        Parameter {
            max: values.iter().copied().fold(-f64::MAX, math::max),
            min: values.iter().copied().fold(f64::MAX, math::min),
            has_nan: values.iter().any(|v| v.is_nan()),
            values,
        }
    }

    /// Of an operator that has none.
    pub(crate) fn none(n_steps: usize) -> Parameter {
        Parameter::new(vec![0.0; n_steps])
    }

    /// Whether a number of elements is below one at all steps, or cannot be told.
    pub(crate) fn selects_nothing(&self) -> bool {
        self.max < 1.0 || self.has_nan
    }
}
