//! Functions that work on each sample of an instant vector alone.

use crate::ast::Call;
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Column, Frame, Row, Steps, without_metadata, without_name};
use crate::math;
use crate::ops::math::{go_max, go_min, kahan_inc};
use crate::ops::merge;

use super::time;
use tithon_chunks::FloatHistogram;

/// Evaluates a function of an instant vector and perhaps scalars.
pub(super) fn eval(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
    let name = call.func.name;
    if call.args.is_empty() {
        let part = time::part(name).ok_or_else(|| unknown(name))?;
        let values: Vec<f64> =
            (0..steps.len).map(|i| part(&time::Date::from_seconds(steps.time(i) / 1000))).collect();
        return Ok(super::scalar::vector(&values));
    }
    let mut frame = ev.frame(call.args[0], steps)?;
    let mut scalars = Vec::new();
    for arg in &call.args[1..] {
        scalars.push(ev.scalar(*arg, steps)?);
    }
    let delayed = ev.options().delayed_name_removal;
    if let Some(f) = of_histogram(name) {
        for row in &mut frame.rows {
            ev.check_cancelled()?;
            let mut column = Column::new(steps.len);
            for (step, h) in row.column.histograms() {
                column.set_float(*step as usize, f(h));
            }
            row.column = column;
            finish(row, delayed, without_name);
        }
        return merged(frame);
    }
    let f = of_float(name, &scalars)?;
    for row in &mut frame.rows {
        ev.check_cancelled()?;
        row.column.map_floats(&f);
        finish(row, delayed, without_metadata);
    }
    merged(frame)
}

fn finish(row: &mut Row, delayed: bool, drop: fn(&tithon_index::Labels) -> tithon_index::Labels) {
    row.drop_name = true;
    if !delayed {
        row.labels = drop(&row.labels);
    }
}

fn merged(mut frame: Frame) -> Result<Frame, QueryError> {
    frame.rows.retain(|row| !row.column.is_empty());
    merge::equal_labels(frame)
}

fn unknown(name: &str) -> QueryError {
    QueryError::Execution(format!("function {name} has no implementation for these arguments"))
}

type OfFloat<'a> = Box<dyn Fn(usize, f64) -> Option<f64> + 'a>;

/// The function of the step and the value of a float.
fn of_float<'a>(name: &str, scalars: &'a [Vec<f64>]) -> Result<OfFloat<'a>, QueryError> {
    if let Some(f) = elementary(name) {
        return Ok(Box::new(move |_, v| Some(f(v))));
    }
    if let Some(part) = time::part(name) {
        return Ok(Box::new(move |_, v| Some(part(&time::Date::from_float(v)))));
    }
    Ok(match (name, scalars) {
        ("clamp", [min, max]) => Box::new(|i, v| clamp(v, min[i], max[i])),
        ("clamp_min", [min]) => Box::new(|i, v| clamp(v, min[i], f64::INFINITY)),
        ("clamp_max", [max]) => Box::new(|i, v| clamp(v, f64::NEG_INFINITY, max[i])),
        ("round", []) => Box::new(|_, v| Some((v * 1.0 + 0.5).floor() / 1.0)),
        ("round", [to]) => Box::new(|i, v| {
            let inverse = 1.0 / to[i];
            Some((v * inverse + 0.5).floor() / inverse)
        }),
        _ => return Err(unknown(name)),
    })
}

fn clamp(v: f64, min: f64, max: f64) -> Option<f64> {
    if max < min { None } else { Some(go_max(min, go_min(max, v))) }
}

fn elementary(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "sqrt" => f64::sqrt,
        "exp" => math::exp,
        "ln" => math::ln,
        "log2" => math::log2,
        "log10" => math::log10,
        "sin" => math::sin,
        "cos" => math::cos,
        "tan" => math::tan,
        "asin" => math::asin,
        "acos" => math::acos,
        "atan" => math::atan,
        "sinh" => math::sinh,
        "cosh" => math::cosh,
        "tanh" => math::tanh,
        "asinh" => math::asinh,
        "acosh" => math::acosh,
        "atanh" => math::atanh,
        "rad" => |v| v * std::f64::consts::PI / 180.0,
        "deg" => |v| v * 180.0 / std::f64::consts::PI,
        "sgn" => |v| {
            if v < 0.0 {
                -1.0
            } else if v > 0.0 {
                1.0
            } else {
                v
            }
        },
        _ => return None,
    })
}

fn of_histogram(name: &str) -> Option<fn(&FloatHistogram) -> f64> {
    Some(match name {
        "histogram_count" => |h| h.count,
        "histogram_sum" => |h| h.sum,
        "histogram_avg" => |h| h.sum / h.count,
        "histogram_stdvar" => variance,
        "histogram_stddev" => |h| variance(h).sqrt(),
        _ => return None,
    })
}

/// The variance of the observations, each taken to lie in the middle of its bucket.
fn variance(h: &FloatHistogram) -> f64 {
    let mean = h.sum / h.count;
    let (mut sum, mut c) = (0.0, 0.0);
    for bucket in h.all_buckets().filter(|bucket| bucket.count != 0.0) {
        let middle = if h.uses_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        (sum, c) = kahan_inc(bucket.count * delta * delta, sum, c);
    }
    (sum + c) / h.count
}
