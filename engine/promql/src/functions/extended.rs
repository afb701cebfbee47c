//! `rate`, `increase` and `delta` of `anchored` and `smoothed` selectors: from the values at the window's ends.
//!
//! Upstream: `extendedRate`, `extendedHistogramRate` in `promql/functions.go`.

use tithon_chunks::{CounterResetHint, FloatHistogram, HistogramError};

use super::range_call::{Outcome, Site, float, histogram};
use super::rate::{add, subtract};
use crate::annotations::Notes;
use crate::ops::range::Window;
use crate::ops::smooth::{interpolate_histograms, left, outer, right};

/// Evaluates the function for one window.
pub(super) fn rate(site: &Site, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !window.floats.is_empty() && !window.histograms.is_empty() {
        notes.mixed_range(window.name(), site.pos);
        return None;
    }
    if window.histograms.is_empty() { floats(site, window) } else { histograms(site, window, notes) }
}

/// The outer samples, unless none of them lies in the window.
fn ends(site: &Site, window: &Window<'_>, times: &[i64]) -> Option<(usize, usize)> {
    let (first, last) = outer(times, window.start, window.end, site.smoothed);
    let outside = times[last] <= window.start || (site.smoothed && times[first] > window.end);
    (!outside).then_some((first, last))
}

fn floats(site: &Site, window: &Window<'_>) -> Outcome {
    let is_counter = site.name != "delta";
    let (first, last) = ends(site, window, window.float_times)?;
    let left = left(window, first, site.smoothed, is_counter);
    let right = right(window, last, site.smoothed, is_counter);
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
    float(if site.name == "rate" { change / site.range_seconds } else { change })
}

fn histograms(site: &Site, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    let is_counter = site.name != "delta";
    let (times, values) = (window.histogram_times, window.histograms);
    let (first, last) = ends(site, window, times)?;
    let custom = values[first].uses_custom_buckets();
    for h in &values[first..=last.max(first)] {
        if h.uses_custom_buckets() != custom {
            notes.mixed_schemas(window.name(), site.pos);
            return None;
        }
        if is_counter && h.counter_reset_hint == CounterResetHint::Gauge {
            notes.not_counter(window.name(), site.pos);
        }
    }
    let left = if site.smoothed && times[first] < window.start && first + 1 < values.len() {
        between(site, window, first, window.start, is_counter, notes)?
    } else {
        values[first].clone()
    };
    let right = if site.smoothed && last > 0 && times[last] > window.end {
        between(site, window, last - 1, window.end, is_counter, notes)?
    } else {
        values[last].clone()
    };
    let is_gauge = |h: &FloatHistogram| h.counter_reset_hint == CounterResetHint::Gauge;
    if !is_counter && (!is_gauge(&left) || !is_gauge(&right)) {
        notes.not_gauge(window.name(), site.pos);
    }
    let mut change = right.clone();
    if !subtract(&mut change, &left, site, window, notes) {
        return None;
    }
    if is_counter {
        let correction = correction(site, window, (first, last), (&left, &right), notes)?;
        if let Some(correction) = correction
            && !add(&mut change, &correction, site, window, notes)
        {
            return None;
        }
    }
    if site.name == "rate" {
        change.div(site.range_seconds);
    }
    change.counter_reset_hint = CounterResetHint::Gauge;
    change.compact(0);
    histogram(change)
}

/// The histogram at `t` between samples `i` and `i + 1`.
fn between(
    site: &Site,
    window: &Window<'_>,
    i: usize,
    t: i64,
    is_counter: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let point = |i: usize| (window.histogram_times[i], &window.histograms[i]);
    match interpolate_histograms(point(i), point(i + 1), t, is_counter, site.pos, notes) {
        Ok(h) => Some(h),
        Err(e) => {
            if e == HistogramError::IncompatibleSchema {
                notes.mixed_schemas(window.name(), site.pos);
            }
            None
        }
    }
}

/// The sum of the histograms before resets, if there are any; `None` outside when they cannot be added.
#[allow(clippy::option_option)]
fn correction(
    site: &Site,
    window: &Window<'_>,
    (first_sample, last_sample): (usize, usize),
    (left, right): (&FloatHistogram, &FloatHistogram),
    notes: &mut Notes,
) -> Option<Option<FloatHistogram>> {
    let values = window.histograms;
    let mut first = first_sample + 1;
    let mut previous = left;
    if site.smoothed
        && window.histogram_times[first_sample] < window.start
        && first < values.len()
        && values[first].detect_reset(&values[first_sample])
    {
        previous = &values[first];
        first += 1;
    }
    // The last sample is represented by `right`.
    if first > last_sample {
        return Some(None);
    }
    let mut sum: Option<FloatHistogram> = None;
    for h in values[first..last_sample].iter().chain([right]) {
        if h.detect_reset(previous) {
            match &mut sum {
                None => sum = Some(previous.clone()),
                Some(sum) => {
                    if !add(sum, previous, site, window, notes) {
                        return None;
                    }
                }
            }
        }
        previous = h;
    }
    Some(sum)
}
