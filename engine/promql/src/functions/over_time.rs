//! `*_over_time`, `changes` and `resets`. Upstream: `promql/functions.go`.

use tithon_chunks::{CounterResetHint, FloatHistogram, HistogramError, kahan_add};

use super::range_call::{Outcome, RangeCall, float, histogram};
use super::starts::{Started, is_reset, started};
use crate::annotations::Notes;
use crate::func::Func;
use crate::read::Window;
use crate::stats::{self, HistogramMean, Mean};

/// Whether the window has floats only or histograms only; adds a warning if it has both.
fn one_kind(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> bool {
    let mixed = !window.floats.is_empty() && !window.histograms.is_empty();
    if mixed {
        notes.mixed_range(window.name(), call.pos);
    }
    !mixed
}

/// Whether the window has floats; adds an info if it has histograms too, which are ignored.
fn floats_only(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> bool {
    if window.floats.is_empty() {
        return false;
    }
    if !window.histograms.is_empty() {
        notes.ignored_in_range(window.name(), call.pos);
    }
    true
}

/// `sum_over_time`
pub(super) fn sum(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !one_kind(call, window, notes) {
        return None;
    }
    if window.floats.is_empty() {
        return finish(histogram_sum(window), call, window, notes);
    }
    let (sum, c) = window.floats.iter().fold((0.0, 0.0), |(sum, c), v| kahan_add(*v, sum, c));
    float(if sum.is_infinite() { sum } else { sum + c })
}

/// `avg_over_time`
pub(super) fn avg(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !one_kind(call, window, notes) {
        return None;
    }
    let Some((first, rest)) = window.floats.split_first() else {
        return finish(histogram_mean(window), call, window, notes);
    };
    let mut mean = Mean::of(*first);
    rest.iter().for_each(|v| mean.add(*v));
    float(mean.value())
}

/// A histogram, and whether custom bounds were reconciled to compute it.
type Folded = Result<(FloatHistogram, bool), HistogramError>;

fn histogram_sum(window: &Window<'_>) -> Folded {
    let mut sum = window.histograms[0].clone();
    let (mut lost, mut reconciled) = (None, false);
    for h in &window.histograms[1..] {
        reconciled |= sum.kahan_add(h, &mut lost)?.bounds_reconciled;
    }
    if let Some(lost) = lost {
        reconciled |= sum.add(&lost)?.bounds_reconciled;
    }
    Ok((sum, reconciled))
}

fn histogram_mean(window: &Window<'_>) -> Folded {
    let mut mean = HistogramMean::of(&window.histograms[0]);
    for h in &window.histograms[1..] {
        mean.add(h)?;
    }
    let reconciled = mean.reconciled;
    Ok((mean.finish()?, reconciled))
}

fn finish(folded: Folded, call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    let hints = |hint: CounterResetHint| window.histograms.iter().any(|h| h.counter_reset_hint == hint);
    match folded {
        Ok((h, reconciled)) => {
            if hints(CounterResetHint::Reset) && hints(CounterResetHint::NotReset) {
                notes.reset_collision("aggregation", call.pos);
            }
            if reconciled {
                notes.bounds_reconciled("aggregation", call.pos);
            }
            histogram(h)
        }
        Err(e) => {
            if e == HistogramError::IncompatibleSchema {
                notes.mixed_schemas(window.name(), call.pos);
            }
            None
        }
    }
}

/// `first_over_time`
pub(super) fn first(window: &Window<'_>) -> Outcome {
    match (window.floats.first(), window.histograms.first()) {
        (Some(v), None) => float(*v),
        (Some(v), Some(_)) if window.float_times[0] < window.histogram_times[0] => float(*v),
        (_, Some(h)) => histogram(h.clone()),
        (None, None) => None,
    }
}

/// `last_over_time`
pub(super) fn last(window: &Window<'_>) -> Outcome {
    match (window.floats.last(), window.histograms.last()) {
        (Some(v), None) => float(*v),
        (Some(v), Some(_)) if window.histogram_times.last() < window.float_times.last() => float(*v),
        (_, Some(h)) => histogram(h.clone()),
        (None, None) => None,
    }
}

/// `ts_of_first_over_time`
pub(super) fn time_of_first(window: &Window<'_>) -> Outcome {
    let first = window.float_times.first().into_iter().chain(window.histogram_times.first()).min()?;
    float(*first as f64 / 1000.0)
}

/// `ts_of_last_over_time`
pub(super) fn time_of_last(window: &Window<'_>) -> Outcome {
    let last = window.float_times.last().max(window.histogram_times.last())?;
    float(*last as f64 / 1000.0)
}

/// `max_over_time`, `min_over_time`, `ts_of_max_over_time` and `ts_of_min_over_time`.
pub(super) fn extreme(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !floats_only(call, window, notes) {
        return None;
    }
    let mut at = 0;
    for (i, v) in window.floats.iter().enumerate() {
        let held = window.floats[at];
        let better = match call.func {
            Func::MaxOverTime => *v > held,
            Func::MinOverTime => *v < held,
            Func::TsOfMaxOverTime => *v >= held,
            _ => *v <= held,
        };
        if better || held.is_nan() {
            at = i;
        }
    }
    match call.func {
        Func::MaxOverTime | Func::MinOverTime => float(window.floats[at]),
        _ => float(window.float_times[at] as f64 / 1000.0),
    }
}

/// `stddev_over_time` and `stdvar_over_time`
pub(super) fn variance(call: &RangeCall, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !floats_only(call, window, notes) {
        return None;
    }
    let (mut mean, mut aux, mut n) = ((0.0, 0.0), (0.0, 0.0), 0.0);
    for v in window.floats {
        n += 1.0;
        let delta = v - (mean.0 + mean.1);
        mean = kahan_add(delta / n, mean.0, mean.1);
        aux = kahan_add(delta * (v - (mean.0 + mean.1)), aux.0, aux.1);
    }
    let variance = (aux.0 + aux.1) / n;
    float(if call.func == Func::StddevOverTime { variance.sqrt() } else { variance })
}

/// `mad_over_time`
pub(super) fn mad(
    call: &RangeCall,
    window: &Window<'_>,
    scratch: &mut Vec<f64>,
    notes: &mut Notes,
) -> Outcome {
    if !floats_only(call, window, notes) {
        return None;
    }
    if window.floats.iter().any(|v| v.is_nan()) {
        return float(f64::NAN);
    }
    scratch.clear();
    scratch.extend_from_slice(window.floats);
    let median = stats::quantile(0.5, scratch);
    scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
    float(stats::quantile(0.5, scratch))
}

/// `quantile_over_time`
pub(super) fn quantile(
    call: &RangeCall,
    window: &Window<'_>,
    scratch: &mut Vec<f64>,
    notes: &mut Notes,
) -> Outcome {
    if window.floats.is_empty() {
        return None;
    }
    let q = call.scalars[0][window.step];
    if !(0.0..=1.0).contains(&q) {
        notes.invalid_quantile(q, call.pos);
    }
    floats_only(call, window, notes);
    scratch.clear();
    scratch.extend_from_slice(window.floats);
    float(stats::quantile(q, scratch))
}

/// A sample of either kind.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

/// `changes` and `resets`: counts the changes or resets between neighbouring samples of both kinds.
pub(super) fn transitions(call: &RangeCall, window: &Window<'_>) -> Outcome {
    let (mut f, mut h) = match call.anchored {
        true => anchor(window)?,
        false => (0, 0),
    };
    let mut previous: Option<(Seen<'_>, Started)> = None;
    let mut count = 0u64;
    while f < window.floats.len() || h < window.histograms.len() {
        let float_next = match (window.float_times.get(f), window.histogram_times.get(h)) {
            (Some(a), Some(b)) => a <= b,
            (a, _) => a.is_some(),
        };
        let current = if float_next {
            f += 1;
            (Seen::Float(window.floats[f - 1]), started(window.float_starts, window.float_times, f - 1))
        } else {
            h += 1;
            let at = started(window.histogram_starts, window.histogram_times, h - 1);
            (Seen::Histogram(&window.histograms[h - 1]), at)
        };
        if let Some(previous) = previous {
            count += u64::from(happened(call.func == Func::Resets, previous, current));
        }
        previous = Some(current);
    }
    float(count as f64)
}

fn happened(resets: bool, previous: (Seen<'_>, Started), current: (Seen<'_>, Started)) -> bool {
    match (previous.0, current.0) {
        (Seen::Float(a), Seen::Float(b)) if resets => b < a || is_reset(previous.1, current.1),
        (Seen::Float(a), Seen::Float(b)) => b != a && !(a.is_nan() && b.is_nan()),
        (Seen::Histogram(a), Seen::Histogram(b)) if resets => {
            is_reset(previous.1, current.1) || b.detect_reset(a)
        }
        (Seen::Histogram(a), Seen::Histogram(b)) => !b.equals(a),
        _ => true,
    }
}

/// The indexes of the first float and histogram of an anchored window, which begins with the newest sample at or before its
/// start; `None` when no sample comes after the start.
fn anchor(window: &Window<'_>) -> Option<(usize, usize)> {
    let floats = window.float_times.partition_point(|t| *t <= window.start);
    let histograms = window.histogram_times.partition_point(|t| *t <= window.start);
    if floats == window.floats.len() && histograms == window.histograms.len() {
        return None;
    }
    let float_t = floats.checked_sub(1).map(|i| window.float_times[i]);
    let histogram_t = histograms.checked_sub(1).map(|i| window.histogram_times[i]);
    Some(match (float_t, histogram_t) {
        (None, None) => (0, 0),
        (Some(a), b) if Some(a) >= b => (floats - 1, histograms),
        _ => (floats, histograms - 1),
    })
}
