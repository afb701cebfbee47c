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
    /// A parameter with these values at the steps.
    pub(crate) fn new(values: Vec<f64>) -> Parameter {
        Parameter {
            max: values.iter().copied().fold(-f64::MAX, math::max),
            min: values.iter().copied().fold(f64::MAX, math::min),
            has_nan: values.iter().any(|v| v.is_nan()),
            values,
        }
    }

    /// A placeholder for operators without a parameter.
    pub(crate) fn none(n_steps: usize) -> Parameter {
        Parameter::new(vec![0.0; n_steps])
    }

    /// Whether the parameter as a number of elements is below 1 at all steps, or NaN at any.
    pub(crate) fn selects_nothing(&self) -> bool {
        self.max < 1.0 || self.has_nan
    }
}
