//! Functions that return numbers, and numbers as vectors.

use crate::ast::Call;
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Column, Frame, Row, Steps};
use crate::ops::math::{go_max, go_min};

/// Evaluates a function that returns a scalar.
pub(crate) fn eval(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<Vec<f64>, QueryError> {
    let pairs = |f: fn(f64, f64) -> f64| -> Result<Vec<f64>, QueryError> {
        let (a, b) = (ev.scalar(call.args[0], steps)?, ev.scalar(call.args[1], steps)?);
        Ok(a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect())
    };
    match call.func.name {
        "pi" => Ok(vec![std::f64::consts::PI; steps.len]),
        "time" => Ok((0..steps.len).map(|i| steps.time(i) as f64 / 1000.0).collect()),
        "max_of" => pairs(go_max),
        "min_of" => pairs(go_min),
        _ => Ok(only_element(&ev.frame(call.args[0], steps)?, steps)),
    }
}

/// `scalar`: the value of the only float at a step, else NaN.
fn only_element(frame: &Frame, steps: &Steps) -> Vec<f64> {
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

/// Numbers as a series without labels.
pub(crate) fn vector(values: &[f64]) -> Frame {
    let mut column = Column::new(values.len());
    values.iter().enumerate().for_each(|(step, v)| column.set_float(step, *v));
    Frame { rows: vec![Row { labels: Default::default(), drop_name: false, column }] }
}
