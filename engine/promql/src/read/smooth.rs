//! `smoothed` and `anchored` selectors: the values at the ends of a window, interpolated between samples or carried over
//! from the sample before.
//!
//! Upstream: `smoothSeries`, `extendFloats` in `promql/engine.go`, `interpolate*` in `promql/functions.go`.

use std::sync::Arc;

use tithon_chunks::{CounterResetHint, FloatHistogram, HistogramError, Samples, Timestamp};
use tithon_index::Labels;

use super::decode::remove_stale;
use super::reference::Reference;
use super::windows::Window;
use crate::annotations::Notes;
use crate::ast::PosRange;
use crate::error::QueryError;
use crate::frame::{Column, Steps};

/// The value at `t` of the line through two samples. If a counter fell between them, the earlier value counts as 0.
pub(crate) fn interpolate(a: (i64, f64), b: (i64, f64), t: i64, is_counter: bool) -> f64 {
    let first = if is_counter && b.1 < a.1 { 0.0 } else { a.1 };
    first + (b.1 - first) * (t - a.0) as f64 / (b.0 - a.0) as f64
}

/// The histogram at `t` between two histograms. Infos about reconciled bounds go to `notes`.
pub(crate) fn interpolate_histograms(
    a: (i64, &FloatHistogram),
    b: (i64, &FloatHistogram),
    t: i64,
    is_counter: bool,
    pos: PosRange,
    notes: &mut Notes,
) -> Result<FloatHistogram, HistogramError> {
    if t == a.0 {
        return Ok(a.1.clone());
    }
    if t == b.0 {
        return Ok(b.1.clone());
    }
    let fraction = (t - a.0) as f64 / (b.0 - a.0) as f64;
    let mut result = b.1.clone();
    if is_counter && b.1.detect_reset(a.1) {
        result.mul(fraction);
        return Ok(result);
    }
    if result.sub(a.1)?.bounds_reconciled {
        notes.bounds_reconciled("subtraction", pos);
    }
    result.mul(fraction);
    if result.add(a.1)?.bounds_reconciled {
        notes.bounds_reconciled("addition", pos);
    }
    Ok(result)
}

/// Evaluates an instant selector with `smoothed` for one series.
pub(crate) fn instant(
    samples: &mut Samples,
    steps: &Steps,
    reference: Reference,
    lookback: i64,
    labels: &Labels,
    pos: PosRange,
    notes: &mut Notes,
) -> Column {
    remove_stale(samples);
    let name = labels.metric_name().unwrap_or_default();
    let mut column = Column::new(steps.len);
    for step in 0..steps.len {
        let t = reference.at(steps.time(step));
        let (from, to) = (t.saturating_sub(lookback), t.saturating_add(lookback));
        let floats = between(&samples.floats.timestamps, from, to);
        let histograms = between(&samples.histograms.timestamps, from, to);
        if !floats.is_empty() && !histograms.is_empty() {
            notes.mixed_range(name, pos);
        } else if !floats.is_empty() {
            let (times, values) =
                (&samples.floats.timestamps[floats.clone()], &samples.floats.values[floats]);
            if let Some(v) = instant_float(times, values, t) {
                column.set_float(step, v);
            }
        } else if !histograms.is_empty() {
            let times = &samples.histograms.timestamps[histograms.clone()];
            let values = &samples.histograms.values[histograms];
            if let Some(h) = instant_histogram(times, values, t, name, pos, notes) {
                column.set_histogram(step, Arc::new(h));
            }
        }
    }
    column
}

fn between(times: &[i64], from: i64, to: i64) -> std::ops::Range<usize> {
    times.partition_point(|t| *t <= from)..times.partition_point(|t| *t <= to)
}

fn instant_float(times: &[i64], values: &[f64], t: i64) -> Option<f64> {
    let i = times.partition_point(|at| *at < t);
    if times.get(i) == Some(&t) {
        return Some(values[i]);
    }
    let before = i.checked_sub(1)?;
    if i == times.len() {
        return Some(values[before]);
    }
    Some(interpolate((times[before], values[before]), (times[i], values[i]), t, false))
}

fn instant_histogram(
    times: &[i64],
    values: &[FloatHistogram],
    t: i64,
    name: &[u8],
    pos: PosRange,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let i = times.partition_point(|at| *at < t);
    if times.get(i) == Some(&t) {
        return Some(values[i].clone());
    }
    let before = i.checked_sub(1)?;
    if i == times.len() {
        return Some(FloatHistogram {
            counter_reset_hint: CounterResetHint::Unknown,
            ..values[before].clone()
        });
    }
    let (a, b) = (&values[before], &values[i]);
    if a.uses_custom_buckets() != b.uses_custom_buckets() {
        notes.mixed_schemas(name, pos);
        return None;
    }
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    let is_counter = !is_gauge(a) || !is_gauge(b);
    match interpolate_histograms((times[before], a), (times[i], b), t, is_counter, pos, notes) {
        Ok(h) => Some(h),
        Err(e) => {
            if e == HistogramError::IncompatibleSchema {
                notes.mixed_schemas(name, pos);
            }
            None
        }
    }
}

/// The indexes of the first and the last sample that count for the window.
///
/// The first is the newest sample at or before the start of the window, if there is one. The last is the oldest sample at
/// or after its end if `smoothed`, else the last sample.
pub(crate) fn outer(times: &[i64], start: i64, end: i64, smoothed: bool) -> (usize, usize) {
    let last = times.len().saturating_sub(1);
    let first = times[..last].partition_point(|t| *t <= start).saturating_sub(1);
    let last = if smoothed { times[..last].partition_point(|t| *t < end) } else { last };
    (first, last)
}

/// The value at the left end of a window.
pub(crate) fn left(window: &Window<'_>, first: usize, smoothed: bool, is_counter: bool) -> f64 {
    let point = |i: usize| (window.float_times[i], window.floats[i]);
    if smoothed && window.float_times[first] < window.start && first + 1 < window.floats.len() {
        return interpolate(point(first), point(first + 1), window.start, is_counter);
    }
    window.floats[first]
}

/// The value at the right end of a window.
pub(crate) fn right(window: &Window<'_>, last: usize, smoothed: bool, is_counter: bool) -> f64 {
    let point = |i: usize| (window.float_times[i], window.floats[i]);
    if smoothed && last > 0 && window.float_times[last] > window.end {
        return interpolate(point(last - 1), point(last), window.end, is_counter);
    }
    window.floats[last]
}

/// The samples of a window of an `anchored` or `smoothed` selector as a result, with samples at both ends.
pub(crate) fn extended(window: &Window<'_>, smoothed: bool) -> Result<Samples, QueryError> {
    if !window.histograms.is_empty() {
        let modifier = if smoothed { "smoothed" } else { "anchored" };
        return Err(QueryError::Execution(format!("{modifier} modifier is not supported with histograms")));
    }
    let mut out = Samples::default();
    let times = window.float_times;
    let (first, last) = outer(times, window.start, window.end, smoothed);
    if times[last] <= window.start {
        return Ok(out);
    }
    out.floats.push(Timestamp(window.start), left(window, first, smoothed, false));
    for (t, v) in times.iter().zip(window.floats).take(last + 1).skip(first) {
        if *t > window.start && *t < window.end {
            out.floats.push(Timestamp(*t), *v);
        }
    }
    out.floats.push(Timestamp(window.end), right(window, last, smoothed, false));
    Ok(out)
}
