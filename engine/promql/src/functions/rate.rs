//! `rate`, `increase`, `delta`, `irate`, `idelta`.
//!
//! Upstream: `extrapolatedRate`, `histogramRate`, `instantValue` in `promql/functions.go`. The order of arithmetic
//! operations decides the last bits of a result, so it is upstream's.

use tithon_chunks::{CounterResetHint, FloatHistogram, HistogramError, Samples};

use super::range_call::{Outcome, RangeCall, float, histogram};
use super::starts::{is_reset, overlaps, started};
use crate::annotations::Notes;
use crate::func::Func;
use crate::kernel::Extrapolation;
use crate::read::Window;

/// Indexes of the floats of a series before which its counter was reset, ascending.
pub(super) fn falls(samples: &Samples) -> Vec<usize> {
    let values = &samples.floats.values;
    let (starts, times) = (&samples.float_start_timestamps, &samples.floats.timestamps);
    (1..values.len())
        .filter(|&i| {
            values[i] < values[i - 1]
                || (!starts.is_empty() && is_reset(started(starts, times, i - 1), started(starts, times, i)))
        })
        .collect()
}

/// `rate`, `increase` and `delta`: the change over the window, extended to its ends.
pub(super) fn extrapolated(
    call: &RangeCall,
    window: &Window<'_>,
    falls: &[usize],
    notes: &mut Notes,
) -> Outcome {
    let is_counter = call.func != Func::Delta;
    if !window.floats.is_empty() && !window.histograms.is_empty() {
        notes.mixed_range(window.name(), call.pos);
        return None;
    }
    if window.histograms.is_empty() {
        let values = window.floats;
        let mut change = values[values.len() - 1] - values[0];
        if is_counter {
            change = with_resets(change, window, falls);
            note_overlap(window.float_starts, window.float_times, call, window, notes);
        }
        let start = first_start(is_counter, window.float_starts);
        let span = span(window, window.float_times, start);
        if span.starts_inside {
            change += values[0];
        } else if values.len() == 1 {
            return None;
        }
        let zero = (is_counter && change > 0.0 && values[0] >= 0.0).then(|| values[0] / change);
        return float(change * scaled(call, span.factor(zero)));
    }
    let (values, times) = (window.histograms, window.histogram_times);
    let mut change = match values.len() {
        1 => None,
        _ => Some(histogram_change(call, window, is_counter, notes)?),
    };
    let start = first_start(is_counter, window.histogram_starts);
    let span = span(window, times, start);
    if span.starts_inside {
        match &mut change {
            None => change = Some(values[0].clone()),
            Some(change) => {
                if !add(change, &values[0], call, window, notes) {
                    return None;
                }
            }
        }
    }
    let mut change = change?;
    let zero =
        (is_counter && change.count > 0.0 && values[0].count >= 0.0).then(|| values[0].count / change.count);
    change.mul(scaled(call, span.factor(zero)));
    histogram(change)
}

/// The span of the samples at these times in the window.
fn span(window: &Window<'_>, times: &[i64], first_start: i64) -> Span {
    Span::new((times[0], times[times.len() - 1]), times.len() - 1, (window.start, window.end), first_start)
}

/// The start timestamp of the first sample if the function uses it, else 0.
fn first_start(is_counter: bool, starts: &[i64]) -> i64 {
    starts.first().copied().filter(|_| is_counter).unwrap_or(0)
}

/// Adds the value before each reset inside the window.
fn with_resets(mut change: f64, window: &Window<'_>, falls: &[usize]) -> f64 {
    let from = window.floats_before;
    let first = falls.partition_point(|i| *i <= from);
    for i in falls[first..].iter().take_while(|i| **i < from + window.floats.len()) {
        change += window.floats[*i - from - 1];
    }
    change
}

fn note_overlap(starts: &[i64], times: &[i64], call: &RangeCall, window: &Window<'_>, notes: &mut Notes) {
    if (1..starts.len()).any(|i| overlaps(started(starts, times, i - 1), starts[i])) {
        notes.start_overlap(window.name(), call.pos);
    }
}

/// The place of samples in their window, in seconds.
pub(super) struct Span {
    starts_inside: bool,
    to_start: f64,
    to_end: f64,
    sampled: f64,
    average: f64,
}

impl Span {
    /// The span of samples from the first to the last time, with so many gaps between them, in the window `(start, end]`. All
    /// times are milliseconds; `first_start` is the start timestamp of the first sample, or 0.
    #[inline(always)]
    pub(crate) fn new(
        (first, last): (i64, i64),
        gaps: usize,
        (start, end): (i64, i64),
        first_start: i64,
    ) -> Span {
        let seconds = |from: i64, to: i64| to.wrapping_sub(from) as f64 / 1000.0;
        let sampled = seconds(first, last);
        let average = if gaps > 0 { sampled / gaps as f64 } else { 0.0 };
        let starts_inside = first_start != 0 && first_start > start && first_start < first;
        Span {
            starts_inside,
            to_start: if starts_inside { 0.0 } else { seconds(start, first) },
            to_end: seconds(last, end),
            sampled: if starts_inside { seconds(first_start, last) } else { sampled },
            average,
        }
    }

    /// The factor for the change. `zero` is the share of the change by which the first value of a counter is above
    /// zero.
    #[inline(always)]
    pub(crate) fn factor(&self, zero: Option<f64>) -> f64 {
        let threshold = self.average * 1.1;
        let (mut to_start, mut to_end) = (self.to_start, self.to_end);
        if !self.starts_inside {
            if to_start >= threshold {
                to_start = self.average / 2.0;
            }
            if let Some(share) = zero {
                let to_zero = self.sampled * share;
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        if to_end >= threshold {
            to_end = self.average / 2.0;
        }
        if self.sampled == 0.0 {
            return 1.0;
        }
        (self.sampled + to_start + to_end) / self.sampled
    }

    /// The parameters of [`Span::factor`] for many windows at once, with factors divided by `range`; `None` where all
    /// samples have one time.
    pub(super) fn extrapolation(&self, range: f64) -> Option<Extrapolation> {
        if self.sampled == 0.0 || self.starts_inside {
            return None;
        }
        let near = |distance: f64| if distance >= self.average * 1.1 { self.average / 2.0 } else { distance };
        let (to_start, to_end) = (near(self.to_start), near(self.to_end));
        Some(Extrapolation { sampled: self.sampled, to_start, to_end, range })
    }
}

/// A factor per second for `rate`.
fn scaled(call: &RangeCall, factor: f64) -> f64 {
    if call.func == Func::Rate { factor / call.range_seconds } else { factor }
}

fn is_gauge(h: &FloatHistogram) -> bool {
    h.counter_reset_hint == CounterResetHint::Gauge
}

/// The change over at least two histograms, with resets undone; `None` when the histograms cannot be combined.
fn histogram_change(
    call: &RangeCall,
    window: &Window<'_>,
    is_counter: bool,
    notes: &mut Notes,
) -> Option<FloatHistogram> {
    let (values, times, starts) = (window.histograms, window.histogram_times, window.histogram_starts);
    let last = &values[values.len() - 1];
    let nothing;
    let mut previous = &values[0];
    let mut seen = Notes::default();
    if is_counter && (is_gauge(previous) || is_gauge(last)) {
        seen.not_counter(window.name(), call.pos);
    }
    let reset_at = |i: usize, previous: &FloatHistogram| {
        (i < starts.len() && is_reset(started(starts, times, i - 1), started(starts, times, i)))
            || values[i].detect_reset(previous)
    };
    if is_counter && reset_at(1, previous) {
        nothing = FloatHistogram {
            schema: values[1].schema,
            custom_values: values[1].custom_values.clone(),
            ..FloatHistogram::default()
        };
        previous = &nothing;
    }
    let custom = previous.uses_custom_buckets();
    let mut schema = last.schema.min(previous.schema);
    let mut fits = last.uses_custom_buckets() == custom;
    if !fits {
        notes.merge(seen);
        notes.mixed_schemas(window.name(), call.pos);
        return None;
    }
    if is_counter {
        for h in &values[1..values.len() - 1] {
            if is_gauge(h) {
                seen.not_counter(window.name(), call.pos);
            }
            schema = schema.min(h.schema);
            fits &= h.uses_custom_buckets() == custom;
        }
    }
    if !fits {
        notes.mixed_schemas(window.name(), call.pos);
        return None;
    }
    let mut change = last.copy_to_schema(schema).ok()?;
    if !subtract(&mut change, previous, call, window, &mut seen) {
        notes.mixed_schemas(window.name(), call.pos);
        return None;
    }
    if is_counter {
        for (i, h) in values.iter().enumerate().skip(1) {
            if reset_at(i, previous) && !add(&mut change, previous, call, window, &mut seen) {
                notes.mixed_schemas(window.name(), call.pos);
                return None;
            }
            previous = h;
        }
        note_overlap(starts, times, call, window, &mut seen);
    } else if !is_gauge(&values[0]) || !is_gauge(last) {
        seen.not_gauge(window.name(), call.pos);
    }
    notes.merge(seen);
    change.counter_reset_hint = CounterResetHint::Gauge;
    change.compact(0);
    Some(change)
}

/// Adds a histogram. Returns `false`, with a warning, when the schemas cannot be combined.
pub(super) fn add(
    to: &mut FloatHistogram,
    other: &FloatHistogram,
    call: &RangeCall,
    window: &Window<'_>,
    notes: &mut Notes,
) -> bool {
    match to.add(other) {
        Ok(combined) => {
            if combined.bounds_reconciled {
                notes.bounds_reconciled("addition", call.pos);
            }
            true
        }
        Err(e) => refuse(&e, call, window, notes),
    }
}

/// Subtracts a histogram. Returns `false`, with a warning, when the schemas cannot be combined.
pub(super) fn subtract(
    from: &mut FloatHistogram,
    other: &FloatHistogram,
    call: &RangeCall,
    window: &Window<'_>,
    notes: &mut Notes,
) -> bool {
    match from.sub(other) {
        Ok(combined) => {
            if combined.bounds_reconciled {
                notes.bounds_reconciled("subtraction", call.pos);
            }
            true
        }
        Err(e) => refuse(&e, call, window, notes),
    }
}

fn refuse(e: &HistogramError, call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> bool {
    if *e == HistogramError::IncompatibleSchema {
        notes.mixed_schemas(window.name(), call.pos);
    }
    false
}

/// One of the last two samples of a window.
#[derive(Clone, Copy)]
struct Last<'a> {
    t: i64,
    start: i64,
    float: f64,
    histogram: Option<&'a FloatHistogram>,
}

/// `irate` and `idelta`: from the last two samples.
pub(super) fn instant(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    let is_rate = call.func == Func::Irate;
    let (a, b) = last_two(window)?;
    let interval = b.t - a.t;
    if interval == 0 {
        return None;
    }
    let seconds = interval as f64 / 1000.0;
    let restarted = is_reset((a.start, a.t), (b.start, b.t));
    match (a.histogram, b.histogram) {
        (None, None) => {
            let keep = is_rate && (b.float < a.float || restarted);
            let change = if keep { b.float } else { b.float - a.float };
            float(if is_rate { change / seconds } else { change })
        }
        (Some(first), Some(second)) => {
            if is_rate && (is_gauge(first) || is_gauge(second)) {
                notes.not_counter(window.name(), call.pos);
            }
            if !is_rate && (!is_gauge(first) || !is_gauge(second)) {
                notes.not_gauge(window.name(), call.pos);
            }
            let mut change = second.clone();
            let keep = is_rate && (restarted || second.detect_reset(first));
            if !keep && !subtract(&mut change, first, call, window, notes) {
                return None;
            }
            change.counter_reset_hint = CounterResetHint::Gauge;
            change.compact(0);
            if is_rate {
                change.div(seconds);
            }
            histogram(change)
        }
        _ => {
            notes.mixed_range(window.name(), call.pos);
            None
        }
    }
}

/// The last two samples of both kinds; of equal times the histogram is the earlier.
fn last_two<'a>(window: &Window<'a>) -> Option<(Last<'a>, Last<'a>)> {
    if window.len() < 2 {
        return None;
    }
    let mut last: Vec<Last<'a>> = Vec::with_capacity(2);
    for i in window.floats.len().saturating_sub(2)..window.floats.len() {
        let (start, t) = started(window.float_starts, window.float_times, i);
        last.push(Last { t, start, float: window.floats[i], histogram: None });
    }
    for i in window.histograms.len().saturating_sub(2)..window.histograms.len() {
        let (start, t) = started(window.histogram_starts, window.histogram_times, i);
        let next = Last { t, start, float: 0.0, histogram: Some(&window.histograms[i]) };
        match last.len() {
            0 => last.push(next),
            1 if t < last[0].t => last.insert(0, next),
            1 => last.push(next),
            _ if t < last[0].t => {}
            _ if t > last[1].t => {
                last[0] = last[1];
                last[1] = next;
            }
            _ => last[0] = next,
        }
    }
    Some((last[0], last[1]))
}
