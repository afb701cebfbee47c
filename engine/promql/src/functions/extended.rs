//! `rate`, `increase` and `delta` of `anchored` and `smoothed` selectors: from the values at the window's ends.
//!
//! Upstream: `extendedRate`, `extendedHistogramRate` in `promql/functions.go`.

use tithon_chunks::{CounterResetHint, FloatHistogram, HistogramError};

use super::range_call::{Outcome, RangeCall, float, histogram};
use super::rate::{add, subtract};
use crate::annotations::Notes;
use crate::func::Func;
use crate::read::Window;
use crate::read::smooth::{interpolate_histograms, left, outer, right};

/// Evaluates the function for one window.
pub(super) fn rate(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !window.floats.is_empty() && !window.histograms.is_empty() {
        notes.mixed_range(window.name(), call.pos);
        return None;
    }
    if window.histograms.is_empty() { floats(call, window) } else { histograms(call, window, notes) }
}

/// The indexes of the first and last sample that count ([`outer`]); `None` when no sample lies in the window.
fn ends(call: &RangeCall, window: &Window<'_>, times: &[i64]) -> Option<(usize, usize)> {
    let (first, last) = outer(times, window.start, window.end, call.smoothed);
    let outside = times[last] <= window.start || (call.smoothed && times[first] > window.end);
    (!outside).then_some((first, last))
}

fn floats(call: &RangeCall, window: &Window<'_>) -> Outcome {
    let is_counter = call.func != Func::Delta;
    let (first, last) = ends(call, window, window.float_times)?;
    let left = left(window, first, call.smoothed, is_counter);
    let right = right(window, last, call.smoothed, is_counter);
    let mut change = right - left;
    if is_counter {
        let from = if window.float_times[first] <= window.start { first + 1 } else { first };
        let to = if window.float_times[last] >= window.end { last } else { last + 1 };
        let inner = window.floats.get(from..to).unwrap_or_default();
        let (mut correction, mut previous) = (0.0, left);
        for v in inner.iter().copied().chain([right]) {
            if v < previous {
                correction += previous;
            }
            previous = v;
        }
        change += correction;
    }
    float(if call.func == Func::Rate { change / call.range_seconds } else { change })
}

fn histograms(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    let is_counter = call.func != Func::Delta;
    let (times, values) = (window.histogram_times, window.histograms);
    let (first, last) = ends(call, window, times)?;
    let custom = values[first].uses_custom_buckets();
    for h in &values[first..=last.max(first)] {
        if h.uses_custom_buckets() != custom {
            notes.mixed_schemas(window.name(), call.pos);
            return None;
        }
        if is_counter && h.counter_reset_hint == CounterResetHint::Gauge {
            notes.not_counter(window.name(), call.pos);
        }
    }
    let left = if call.smoothed && times[first] < window.start && first + 1 < values.len() {
        between(call, window, first, window.start, is_counter, notes)?
    } else {
        values[first].clone()
    };
    let right = if call.smoothed && last > 0 && times[last] > window.end {
        between(call, window, last - 1, window.end, is_counter, notes)?
    } else {
        values[last].clone()
    };
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if !is_counter && (!is_gauge(&left) || !is_gauge(&right)) {
        notes.not_gauge(window.name(), call.pos);
    }
    let mut change = right.clone();
    if !subtract(&mut change, &left, call, window, notes) {
        return None;
    }
    if is_counter {
        let correction = correction(call, window, (first, last), (&left, &right), notes)?;
        if let Some(correction) = correction
            && !add(&mut change, &correction, call, window, notes)
        {
            return None;
        }
    }
    if call.func == Func::Rate {
        change.div(call.range_seconds);
    }
    change.counter_reset_hint = CounterResetHint::Gauge;
    change.compact(0);
    histogram(change)
}

/// The histogram at `t` between samples `i` and `i + 1`.
fn between(
    call: &RangeCall,
    window: &Window<'_>,
    i: usize,
    t: i64,
    is_counter: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let point = |i: usize| (window.histogram_times[i], &window.histograms[i]);
    match interpolate_histograms(point(i), point(i + 1), t, is_counter, call.pos, notes) {
        Ok(h) => Some(h),
        Err(e) => {
            if e == HistogramError::IncompatibleSchema {
                notes.mixed_schemas(window.name(), call.pos);
            }
            None
        }
    }
}

/// The sum of the histograms before each reset: `Some(None)` when there is no reset, `None` when they cannot be added.
#[allow(clippy::option_option)]
fn correction(
    call: &RangeCall,
    window: &Window<'_>,
    (first_sample, last_sample): (usize, usize),
    (left, right): (&FloatHistogram, &FloatHistogram),
    notes: &mut Notes,
) -> Option<Option<FloatHistogram>> {
    let values = window.histograms;
    let mut first = first_sample + 1;
    let mut previous = left;
    if call.smoothed
        && window.histogram_times[first_sample] < window.start
        && first < values.len()
        && values[first].detect_reset(&values[first_sample])
    {
        previous = &values[first];
        first += 1;
    }
    // `right` takes the place of the last sample.
    if first > last_sample {
        return Some(None);
    }
    let mut sum: Option<FloatHistogram> = None;
    for h in values[first..last_sample].iter().chain([right]) {
        if h.detect_reset(previous) {
            match &mut sum {
                None => sum = Some(previous.clone()),
                Some(sum) => {
                    if !add(sum, previous, call, window, notes) {
                        return None;
                    }
                }
            }
        }
        previous = h;
    }
    Some(sum)
}
