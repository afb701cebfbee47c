//! Subqueries: the steps of their inner expression, and its result as samples.
//!
//! Upstream: `evalSubquery` in `promql/engine.go`.

use tithon_chunks::{CounterResetHint, Samples, Timestamp};

use crate::ast::Subquery;
use crate::frame::{Column, Steps};
use crate::plan::inner_times;

/// The steps at which the inner expression is evaluated: all that the windows of `steps` may reach.
pub(crate) fn inner_steps(s: &Subquery, default_step_ms: i64, steps: &Steps) -> Steps {
    let outer = (steps.len > 0).then(|| (steps.start, steps.last()));
    let (start, end, interval) = inner_times(s, default_step_ms, outer);
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
