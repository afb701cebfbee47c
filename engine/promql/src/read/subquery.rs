//! Subqueries: the steps of their inner expression, and its result as samples.
//!
//! Upstream: `evalSubquery` in `promql/engine.go`.

use tithon_chunks::{CounterResetHint, Samples, Timestamp};

use super::reference::Reference;
use crate::ast::Subquery;
use crate::frame::{Column, Steps};

/// The steps at which the inner expression is evaluated: all that the windows of `steps` may reach.
///
/// They are multiples of the subquery's step by the absolute clock; the first lies strictly after the left end of the
/// first window, the last not after the last window.
pub(crate) fn inner_steps(s: &Subquery, default_step_ms: i64, steps: &Steps) -> Steps {
    let interval = if s.step_ms == 0 { default_step_ms } else { s.step_ms }.max(1);
    let reference = Reference::new(s.at, s.offset_ms);
    let left = reference.at(steps.start).saturating_sub(s.range_ms);
    let end = if steps.len == 0 { i64::MIN } else { reference.at(steps.last()) };
    let mut start = (left / interval).saturating_mul(interval);
    if start <= left {
        start = start.saturating_add(interval);
    }
    Steps::new(start, end, interval)
}

/// The samples of a column at the times of their steps. Reset hints become unknown, since samples of the series may be left
/// out or repeated.
pub(crate) fn samples(column: &Column, steps: &Steps) -> Samples {
    let mut samples = Samples::default();
    for (step, v) in column.floats() {
        samples.floats.push(Timestamp(steps.time(step)), v);
    }
    for (step, h) in column.histograms() {
        let mut h = h.as_ref().clone();
        if h.counter_reset_hint != CounterResetHint::Gauge {
            h.counter_reset_hint = CounterResetHint::Unknown;
        }
        samples.histograms.timestamps.push(steps.time(*step as usize));
        samples.histograms.values.push(h);
    }
    samples
}
