//! `deriv`, `predict_linear` and `double_exponential_smoothing`. Upstream: `promql/functions.go`.

use tithon_chunks::kahan_add;

use super::range_call::{Outcome, RangeCall, float};
use crate::annotations::Notes;
use crate::error::QueryError;
use crate::format::fixed;
use crate::func::Func;
use crate::read::Window;

/// Whether the window has at least two floats; adds an info if it has histograms too, which are ignored.
fn two_floats(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> bool {
    if !window.floats.is_empty() && !window.histograms.is_empty() {
        notes.ignored_in_range(window.name(), call.pos);
    }
    window.floats.len() >= 2
}

/// `deriv` and `predict_linear`.
pub(super) fn linear(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !two_floats(call, window, notes) {
        return None;
    }
    if call.func == Func::Deriv {
        return float(least_squares(window, window.float_times[0]).0);
    }
    let (slope, intercept) = least_squares(window, window.time);
    float(slope * call.scalars[0][window.step] + intercept)
}

/// Slope (per second) and intercept of the least-squares line through the floats; x is the time since `origin` in seconds.
fn least_squares(window: &Window<'_>, origin: i64) -> (f64, f64) {
    let n = window.floats.len() as f64;
    let first = window.floats[0];
    if window.floats.iter().all(|y| *y == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x, mut y, mut xy, mut xx) = ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0));
    for (t, v) in window.float_times.iter().zip(window.floats) {
        let at = t.wrapping_sub(origin) as f64 / 1e3;
        x = kahan_add(at, x.0, x.1);
        y = kahan_add(*v, y.0, y.1);
        xy = kahan_add(at * v, xy.0, xy.1);
        xx = kahan_add(at * at, xx.0, xx.1);
    }
    let (x, y, xy, xx) = (x.0 + x.1, y.0 + y.1, xy.0 + xy.1, xx.0 + xx.1);
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

/// `double_exponential_smoothing`.
pub(super) fn smoothing(
    call: &RangeCall,
    window: &Window<'_>,
    notes: &mut Notes,
) -> Result<Outcome, QueryError> {
    let (sf, tf) = (call.scalars[0][window.step], call.scalars[1][window.step]);
    for (what, short, value) in [("smoothing", "sf", sf), ("trend", "tf", tf)] {
        if value <= 0.0 || value >= 1.0 {
            return Err(QueryError::Execution(format!(
                "invalid {what} factor. Expected: 0 < {short} < 1, got: {}",
                fixed(value, 6)
            )));
        }
    }
    if !two_floats(call, window, notes) {
        return Ok(None);
    }
    let values = window.floats;
    let (mut s0, mut s1, mut b) = (0.0, values[0], values[1] - values[0]);
    for (i, v) in values.iter().enumerate().skip(1) {
        let x = sf * v;
        if i > 1 {
            b = tf * (s1 - s0) + (1.0 - tf) * b;
        }
        let y = (1.0 - sf) * (s1 + b);
        (s0, s1) = (s1, x + y);
    }
    Ok(float(s1))
}
