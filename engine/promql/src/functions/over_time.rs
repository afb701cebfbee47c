//! `*_over_time`, `changes` and `resets`. Upstream: `promql/functions.go`.

use tithon_chunks::{CounterResetHint, FloatHistogram, HistogramError};

use super::range_call::{Outcome, Site, float, histogram};
use super::starts::{Started, is_reset, started};
use crate::annotations::Notes;
use crate::ops::math::{self, Mean, kahan_inc};
use crate::ops::range::Window;

/// Whether the window has floats only or histograms only; else a warning.
fn one_kind(site: &Site, window: &Window<'_>, notes: &mut Notes) -> bool {
    let mixed = !window.floats.is_empty() && !window.histograms.is_empty();
    if mixed {
        notes.mixed_range(window.name(), site.pos);
    }
    !mixed
}

/// Whether the window has floats; histograms beside them are left out with an info.
fn floats_only(site: &Site, window: &Window<'_>, notes: &mut Notes) -> bool {
    if window.floats.is_empty() {
        return false;
    }
    if !window.histograms.is_empty() {
        notes.ignored_in_range(window.name(), site.pos);
    }
    true
}

/// `sum_over_time`
pub(super) fn sum(site: &Site, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !one_kind(site, window, notes) {
        return None;
    }
    if window.floats.is_empty() {
        return finish(histogram_sum(window), site, window, notes);
    }
    let (sum, c) = window.floats.iter().fold((0.0, 0.0), |(sum, c), v| kahan_inc(*v, sum, c));
    float(if sum.is_infinite() { sum } else { sum + c })
}

/// `avg_over_time`
pub(super) fn avg(site: &Site, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !one_kind(site, window, notes) {
        return None;
    }
    let Some((first, rest)) = window.floats.split_first() else {
        return finish(histogram_mean(window), site, window, notes);
    };
    let mut mean = Mean::of(*first);
    rest.iter().for_each(|v| mean.add(*v));
    float(mean.value())
}

/// A histogram and whether custom bounds were reconciled on the way.
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

/// The mean of histograms added one by one: a sum until it would overflow, then an incremental mean.
#[derive(Clone, Debug)]
pub(crate) struct HistogramMean {
    sum: FloatHistogram,
    lost: Option<FloatHistogram>,
    n: f64,
    incremental: bool,
    /// Whether custom bounds were reconciled at the last addition or before.
    pub(crate) reconciled: bool,
}

impl HistogramMean {
    /// The mean of one histogram.
    pub(crate) fn of(first: &FloatHistogram) -> HistogramMean {
        HistogramMean { sum: first.clone(), lost: None, n: 1.0, incremental: false, reconciled: false }
    }

    /// Adds a histogram.
    pub(crate) fn add(&mut self, h: &FloatHistogram) -> Result<(), HistogramError> {
        self.n += 1.0;
        let n = self.n;
        if !self.incremental {
            let (mut sum, mut lost) = (self.sum.clone(), self.lost.clone());
            self.reconciled |= sum.kahan_add(h, &mut lost)?.bounds_reconciled;
            if !sum.has_overflow() {
                (self.sum, self.lost) = (sum, lost);
                return Ok(());
            }
            self.incremental = true;
            self.sum.div(n - 1.0);
            if let Some(lost) = &mut self.lost {
                lost.div(n - 1.0);
            }
        }
        let q = (n - 1.0) / n;
        if let Some(lost) = &mut self.lost {
            lost.mul(q);
        }
        let mut part = h.clone();
        part.div(n);
        self.sum.mul(q);
        self.reconciled |= self.sum.kahan_add(&part, &mut self.lost)?.bounds_reconciled;
        Ok(())
    }

    /// The mean; not compacted.
    pub(crate) fn finish(mut self) -> Result<FloatHistogram, HistogramError> {
        if !self.incremental {
            self.sum.div(self.n);
            if let Some(lost) = &mut self.lost {
                lost.div(self.n);
            }
        }
        if let Some(lost) = &self.lost {
            self.sum.add(lost)?;
        }
        Ok(self.sum)
    }
}

fn finish(folded: Folded, site: &Site, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    let hints = |hint: CounterResetHint| window.histograms.iter().any(|h| h.counter_reset_hint == hint);
    match folded {
        Ok((h, reconciled)) => {
            if hints(CounterResetHint::Reset) && hints(CounterResetHint::NotReset) {
                notes.reset_collision("aggregation", site.pos);
            }
            if reconciled {
                notes.bounds_reconciled("aggregation", site.pos);
            }
            histogram(h)
        }
        Err(e) => {
            if e == HistogramError::IncompatibleSchema {
                notes.mixed_schemas(window.name(), site.pos);
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

/// `max_over_time`, `min_over_time` and the times of the last of them.
pub(super) fn extreme(site: &Site, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !floats_only(site, window, notes) {
        return None;
    }
    let mut at = 0;
    for (i, v) in window.floats.iter().enumerate() {
        let held = window.floats[at];
        let better = match site.name {
            "max_over_time" => *v > held,
            "min_over_time" => *v < held,
            "ts_of_max_over_time" => *v >= held,
            _ => *v <= held,
        };
        if better || held.is_nan() {
            at = i;
        }
    }
    match site.name {
        "max_over_time" | "min_over_time" => float(window.floats[at]),
        _ => float(window.float_times[at] as f64 / 1000.0),
    }
}

/// `stddev_over_time` and `stdvar_over_time`
pub(super) fn variance(site: &Site, window: &Window<'_>, notes: &mut Notes) -> Outcome {
    if !floats_only(site, window, notes) {
        return None;
    }
    let (mut mean, mut aux, mut n) = ((0.0, 0.0), (0.0, 0.0), 0.0);
    for v in window.floats {
        n += 1.0;
        let delta = v - (mean.0 + mean.1);
        mean = kahan_inc(delta / n, mean.0, mean.1);
        aux = kahan_inc(delta * (v - (mean.0 + mean.1)), aux.0, aux.1);
    }
    let variance = (aux.0 + aux.1) / n;
    float(if site.name == "stddev_over_time" { variance.sqrt() } else { variance })
}

/// `mad_over_time`
pub(super) fn mad(site: &Site, window: &Window<'_>, scratch: &mut Vec<f64>, notes: &mut Notes) -> Outcome {
    if !floats_only(site, window, notes) {
        return None;
    }
    if window.floats.iter().any(|v| v.is_nan()) {
        return float(f64::NAN);
    }
    scratch.clear();
    scratch.extend_from_slice(window.floats);
    let median = math::quantile(0.5, scratch);
    scratch.iter_mut().for_each(|v| *v = (*v - median).abs());
    float(math::quantile(0.5, scratch))
}

/// `quantile_over_time`
pub(super) fn quantile(
    site: &Site,
    window: &Window<'_>,
    scratch: &mut Vec<f64>,
    notes: &mut Notes,
) -> Outcome {
    if window.floats.is_empty() {
        return None;
    }
    let q = site.scalars[0][window.step];
    if !(0.0..=1.0).contains(&q) {
        notes.invalid_quantile(q, site.pos);
    }
    floats_only(site, window, notes);
    scratch.clear();
    scratch.extend_from_slice(window.floats);
    float(math::quantile(q, scratch))
}

/// A sample as `changes` and `resets` see it.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Float(f64),
    Histogram(&'a FloatHistogram),
}

/// `changes` and `resets`: counts what happens between neighbours of both kinds.
pub(super) fn transitions(site: &Site, window: &Window<'_>) -> Outcome {
    let (mut f, mut h) = match site.anchored {
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
            count += u64::from(happened(site.name == "resets", previous, current));
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

/// Where an anchored window begins: at the newest sample of either kind not after its start.
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
