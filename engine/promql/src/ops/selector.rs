//! Instant vector selectors: the newest sample not older than the lookback, at each step.
//!
//! Upstream: `vectorSelectorSingle` in `promql/engine.go`.

use std::ops::ControlFlow;
use std::sync::Arc;

use tithon_chunks::{FloatHistogram, STALE_NAN_BITS, SampleBatch, Samples};

use super::alike::Alike;
use super::decode::{Flow, for_each_series};
use super::reach::Reach;
use super::smooth;
use crate::ast::{AtModifier, NodeId, VectorSelector};
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Column, Frame, Row, Steps, points_of};
use crate::kernel;

/// Evaluates a selector.
pub(crate) fn eval(
    ev: &Evaluator<'_>,
    id: NodeId,
    selector: &VectorSelector,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let mut frame = Frame::default();
    for_each(ev, id, selector, steps, |row| {
        frame.rows.push(row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(frame)
}

/// Hands the rows of a selector to `sink`, those without a sample left out.
pub(crate) fn for_each(
    ev: &Evaluator<'_>,
    id: NodeId,
    selector: &VectorSelector,
    steps: &Steps,
    mut sink: impl FnMut(Row) -> Flow + Send,
) -> Result<(), QueryError> {
    // The answers of other engines are samples at the steps.
    let is_answer = ev.prepared.fragments.contains_key(&id);
    let lookback = if is_answer { 1 } else { ev.options().lookback_delta_ms };
    let pos = ev.pos(id);
    let reference = Reference::new(selector.at, selector.offset_ms);
    let reach = Reach::new(reference, steps, lookback, if selector.smoothed { lookback } else { 0 });
    for_each_series(
        ev,
        id,
        &reach,
        |labels, samples, notes| {
            let reserved = ev.reserve(steps.len)?;
            let column = if selector.smoothed {
                smooth::instant(samples, steps, reference, lookback, labels, pos, notes)
            } else if samples.histograms.timestamps.is_empty() {
                floats(&samples.floats, steps, reference, lookback)
            } else {
                column(samples, steps, reference, lookback)
            };
            let n = column.n_points();
            ev.budget.touch(n, points_of(samples));
            drop(reserved);
            ev.budget.add(n, column.bytes())?;
            Ok(column)
        },
        |labels, column| {
            if column.is_empty() {
                Ok(ControlFlow::Continue(()))
            } else {
                sink(Row { labels, drop_name: false, column })
            }
        },
    )
}

/// The newest sample at each step.
fn column(samples: &Samples, steps: &Steps, reference: Reference, lookback: i64) -> Column {
    let mut picker = Picker::new(samples);
    let mut column = Column::new(steps.len);
    for step in 0..steps.len {
        match picker.pick(reference.at(steps.time(step)), lookback) {
            None => {}
            Some(Picked { sample: PickedSample::Float(v), .. }) => column.set_float(step, v),
            Some(Picked { sample: PickedSample::Histogram(h), .. }) => column.set_histogram(step, h),
        }
    }
    column
}

/// The same where there are floats only.
fn floats(samples: &SampleBatch, steps: &Steps, reference: Reference, lookback: i64) -> Column {
    let (times, values) = (&samples.timestamps[..], &samples.values[..]);
    let mut alike = Alike::new(times, reference, steps);
    let mut column = Column::new(steps.len);
    let (mut n, mut step) = (0, 0);
    while step < steps.len {
        let t = reference.at(steps.time(step));
        while n < times.len() && times[n] <= t {
            n += 1;
        }
        let is_fresh = n > 0 && times[n - 1] > t.saturating_sub(lookback);
        let (more, stride) = alike.after(n, n).unwrap_or((0, 1));
        let many = (more + 1).min(steps.len - step);
        if is_fresh {
            column.set_floats(step, many, &values[n - 1..], stride);
        }
        step += many;
        n += (many - 1) * stride;
    }
    if kernel::has_bits(values, STALE_NAN_BITS) {
        column.map_floats(|_, v| (v.to_bits() != STALE_NAN_BITS).then_some(v));
    }
    column
}

/// Turns step times into the times at which a selector is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    at: Option<i64>,
    offset_ms: i64,
}

impl Reference {
    /// Of a selector or subquery with these modifiers.
    pub(crate) fn new(at: AtModifier, offset_ms: i64) -> Reference {
        let at = match at {
            AtModifier::At(t) => Some(t),
            _ => None,
        };
        Reference { at, offset_ms }
    }

    /// The time read at step time `t`.
    pub(crate) fn at(&self, t: i64) -> i64 {
        self.at.unwrap_or(t).saturating_sub(self.offset_ms)
    }

    /// Whether all steps read the same time.
    pub(crate) fn is_fixed(&self) -> bool {
        self.at.is_some()
    }

    /// The same without offset when the time is fixed: what `timestamp` does.
    pub(crate) fn without_offset_if_fixed(self) -> Reference {
        Reference { offset_ms: if self.is_fixed() { 0 } else { self.offset_ms }, ..self }
    }
}

/// The sample that a selector picks.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    /// Its own time, milliseconds.
    pub(crate) t: i64,
    /// Its start timestamp; 0 is none.
    pub(crate) start: i64,
    /// Its value.
    pub(crate) sample: PickedSample,
}

/// The value of a [`Picked`] sample.
#[derive(Clone, Debug)]
pub(crate) enum PickedSample {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<FloatHistogram>),
}

/// Finds samples at times that mostly ascend; the samples are walked once.
pub(crate) struct Picker<'a> {
    samples: &'a Samples,
    floats: usize,
    histograms: usize,
    shared: Option<(usize, Arc<FloatHistogram>)>,
}

impl<'a> Picker<'a> {
    /// Before the first sample.
    pub(crate) fn new(samples: &'a Samples) -> Picker<'a> {
        Picker { samples, floats: 0, histograms: 0, shared: None }
    }

    /// The newest sample at or before `t`, unless it is stale or `lookback` old.
    pub(crate) fn pick(&mut self, t: i64, lookback: i64) -> Option<Picked> {
        self.floats = advance(&self.samples.floats.timestamps, self.floats, t);
        self.histograms = advance(&self.samples.histograms.timestamps, self.histograms, t);
        let float = self.floats.checked_sub(1);
        let histogram = self.histograms.checked_sub(1);
        let float_t = float.map(|i| self.samples.floats.timestamps[i]);
        let histogram_t = histogram.map(|i| self.samples.histograms.timestamps[i]);
        let newest = float_t.max(histogram_t)?;
        if newest <= t.saturating_sub(lookback) {
            return None;
        }
        if histogram_t == Some(newest) {
            let i = histogram?;
            let value = &self.samples.histograms.values[i];
            if value.sum.to_bits() == STALE_NAN_BITS {
                return None;
            }
            let shared = match &self.shared {
                Some((at, shared)) if *at == i => Arc::clone(shared),
                _ => {
                    let shared = Arc::new(value.clone());
                    self.shared = Some((i, Arc::clone(&shared)));
                    shared
                }
            };
            let start = self.samples.histogram_start_timestamps.get(i).copied().unwrap_or(0);
            return Some(Picked { t: newest, start, sample: PickedSample::Histogram(shared) });
        }
        let i = float?;
        let value = self.samples.floats.values[i];
        if value.to_bits() == STALE_NAN_BITS {
            return None;
        }
        let start = self.samples.float_start_timestamps.get(i).copied().unwrap_or(0);
        Some(Picked { t: newest, start, sample: PickedSample::Float(value) })
    }
}

/// The number of `times` at or before `t`, looking from `from` on.
fn advance(times: &[i64], mut from: usize, t: i64) -> usize {
    if from > 0 && times[from - 1] > t {
        return times.partition_point(|at| *at <= t);
    }
    while from < times.len() && times[from] <= t {
        from += 1;
    }
    from
}
