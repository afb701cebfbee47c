//! Functions that return a scalar.

use crate::frame::{Frame, Steps};

/// `time`: the time of each step, seconds.
pub(crate) fn time(steps: &Steps) -> Vec<f64> {
    (0..steps.len).map(|i| steps.time(i) as f64 / 1000.0).collect()
}

/// `max_of` and `min_of`: a function of two scalars.
pub(crate) fn pairs(a: Vec<f64>, b: Vec<f64>, f: fn(f64, f64) -> f64) -> Vec<f64> {
    a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect()
}

/// `scalar`: at each step the float of the only series that has one, else NaN.
pub(crate) fn only_element(frame: &Frame, steps: &Steps) -> Vec<f64> {
    let mut counts = vec![0u32; steps.len];
    let mut values = vec![f64::NAN; steps.len];
    for row in &frame.rows {
        for (step, v) in row.column.floats() {
            counts[step] += 1;
            values[step] = v;
        }
    }
    counts.iter().zip(values).map(|(n, v)| if *n == 1 { v } else { f64::NAN }).collect()
}
