//! Range vectors: the samples of each series in the window of each step.
//!
//! Upstream: the matrix part of the `Call` case in `promql/engine.go`. A window is open on the left.

use std::ops::ControlFlow;

use tithon_chunks::{FloatHistogram, Samples};
use tithon_index::Labels;

use super::decode::{Flow, for_each_series, remove_stale};
use super::reach::Reach;
use super::selector::Reference;
use super::{smooth, subquery};
use crate::annotations::Notes;
use crate::ast::{NodeId, NodeKind};
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Frame, Steps, points, points_of};

/// Where a range vector comes from and how far its windows reach.
#[derive(Debug)]
pub(crate) struct RangeArg {
    source: Source,
    /// Range in milliseconds.
    pub(crate) range_ms: i64,
    /// When it is read.
    pub(crate) reference: Reference,
    /// Whether the modifier `anchored` was given.
    pub(crate) anchored: bool,
    /// Whether the modifier `smoothed` was given.
    pub(crate) smoothed: bool,
}

#[derive(Debug)]
enum Source {
    /// A vector selector.
    Selector(NodeId),
    /// The result of a subquery and the steps it was evaluated at.
    Subquery(Frame, Steps),
}

/// A series of a range vector.
pub(crate) struct RangeSeries {
    /// The labels, name included.
    pub(crate) labels: Labels,
    /// Whether a subquery's result wants its name dropped.
    pub(crate) drop_name: bool,
    /// The samples.
    pub(crate) samples: Samples,
}

/// The samples of one series in the window of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    /// The labels of the series.
    pub(crate) labels: &'a Labels,
    /// The step.
    pub(crate) step: usize,
    /// The time of the step, milliseconds.
    pub(crate) time: i64,
    /// The window without the reach of `anchored` and `smoothed`: its left, open, end.
    pub(crate) start: i64,
    /// Its right, closed, end.
    pub(crate) end: i64,
    /// Times of the floats.
    pub(crate) float_times: &'a [i64],
    /// The floats.
    pub(crate) floats: &'a [f64],
    /// Start timestamps of the floats, or empty.
    pub(crate) float_starts: &'a [i64],
    /// How many floats of the series lie before the window.
    pub(crate) floats_before: usize,
    /// Times of the histograms.
    pub(crate) histogram_times: &'a [i64],
    /// The histograms.
    pub(crate) histograms: &'a [FloatHistogram],
    /// Start timestamps of the histograms, or empty.
    pub(crate) histogram_starts: &'a [i64],
}

impl Window<'_> {
    /// The metric name of the series, or nothing.
    pub(crate) fn name(&self) -> &[u8] {
        self.labels.metric_name().unwrap_or_default()
    }

    /// The number of samples of both kinds.
    pub(crate) fn len(&self) -> usize {
        self.floats.len() + self.histograms.len()
    }

    /// What the samples count against the limit.
    pub(crate) fn n_points(&self) -> u64 {
        self.floats.len() as u64 + self.histograms.iter().map(points).sum::<u64>()
    }
}

impl RangeArg {
    /// Prepares an argument; a subquery is evaluated.
    pub(crate) fn new(ev: &Evaluator<'_>, id: NodeId, steps: &Steps) -> Result<RangeArg, QueryError> {
        match ev.kind(id) {
            NodeKind::Matrix(m) => {
                let NodeKind::Vector(s) = ev.kind(m.selector) else {
                    return Err(QueryError::Execution("a range belongs to a selector".to_owned()));
                };
                Ok(RangeArg {
                    source: Source::Selector(m.selector),
                    range_ms: m.range_ms,
                    reference: Reference::new(s.at, s.offset_ms),
                    anchored: s.anchored,
                    smoothed: s.smoothed,
                })
            }
            NodeKind::Subquery(s) => {
                let (frame, inner) = subquery::eval(ev, s, steps)?;
                Ok(RangeArg {
                    source: Source::Subquery(frame, inner),
                    range_ms: s.range_ms,
                    reference: Reference::new(s.at, s.offset_ms),
                    anchored: false,
                    smoothed: false,
                })
            }
            NodeKind::Paren(inner) | NodeKind::StepInvariant(inner) => RangeArg::new(ev, *inner, steps),
            _ => Err(QueryError::Execution("a range vector was expected".to_owned())),
        }
    }

    /// An argument without a source, for series at hand.
    #[cfg(test)]
    pub(crate) fn of_series(range_ms: i64, reference: Reference) -> RangeArg {
        RangeArg {
            source: Source::Selector(NodeId(0)),
            range_ms,
            reference,
            anchored: false,
            smoothed: false,
        }
    }

    /// What the windows of `steps` reach.
    fn reach(&self, ev: &Evaluator<'_>, steps: &Steps) -> Reach {
        let lookback = ev.options().lookback_delta_ms;
        let before = if self.anchored || self.smoothed { lookback } else { 0 };
        let after = if self.smoothed { lookback } else { 0 };
        Reach::new(self.reference, steps, self.range_ms.saturating_add(before), after).of_range()
    }

    /// Runs `work` on each series, stale markers removed, and hands the results to `sink` in order.
    ///
    /// `work` is told the labels and whether a subquery's result wants its name dropped.
    pub(crate) fn for_each<T: Send>(
        self,
        ev: &Evaluator<'_>,
        steps: &Steps,
        work: impl Fn(&RangeArg, &Labels, &mut Samples, &mut Notes) -> Result<T, QueryError> + Sync,
        mut sink: impl FnMut(Labels, bool, T) -> Flow + Send,
    ) -> Result<(), QueryError> {
        let mut arg = self;
        match std::mem::replace(&mut arg.source, Source::Selector(NodeId(0))) {
            Source::Selector(id) => for_each_series(
                ev,
                id,
                &arg.reach(ev, steps),
                |labels, samples, notes| {
                    remove_stale(samples);
                    work(&arg, labels, samples, notes)
                },
                |labels, result| sink(labels, false, result),
            ),
            Source::Subquery(frame, inner) => {
                for row in frame.rows {
                    ev.check_cancelled()?;
                    // Times and values.
                    let _reserved = ev.reserve(2 * inner.len)?;
                    let mut samples = subquery::samples(&row.column, &inner);
                    remove_stale(&mut samples);
                    let mut notes = Notes::default();
                    let result = work(&arg, &row.labels, &mut samples, &mut notes)?;
                    if !notes.is_empty() {
                        ev.notes().merge(notes);
                    }
                    if sink(row.labels, row.drop_name, result)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// Calls `visit` with each window of a series that has samples.
    pub(crate) fn each_window(
        &self,
        labels: &Labels,
        samples: &Samples,
        steps: &Steps,
        lookback: i64,
        mut visit: impl FnMut(&Window<'_>) -> Result<(), QueryError>,
    ) -> Result<(), QueryError> {
        let before = if self.anchored || self.smoothed { lookback } else { 0 };
        let after = if self.smoothed { lookback } else { 0 };
        let (mut floats, mut histograms) = (Bounds::default(), Bounds::default());
        for step in 0..steps.len {
            let time = steps.time(step);
            let end = self.reference.at(time);
            let start = end.saturating_sub(self.range_ms);
            let (from, to) = (start.saturating_sub(before), end.saturating_add(after));
            floats.advance(&samples.floats.timestamps, from, to);
            histograms.advance(&samples.histograms.timestamps, from, to);
            let (f, h) = (floats.from..floats.to, histograms.from..histograms.to);
            if f.is_empty() && h.is_empty() {
                continue;
            }
            visit(&Window {
                labels,
                step,
                time,
                start,
                end,
                float_times: &samples.floats.timestamps[f.clone()],
                floats: &samples.floats.values[f.clone()],
                float_starts: samples.float_start_timestamps.get(f.clone()).unwrap_or_default(),
                floats_before: f.start,
                histogram_times: &samples.histograms.timestamps[h.clone()],
                histograms: &samples.histograms.values[h.clone()],
                histogram_starts: samples.histogram_start_timestamps.get(h).unwrap_or_default(),
            })?;
        }
        Ok(())
    }
}

/// The indexes of a sliding window.
#[derive(Default)]
struct Bounds {
    from: usize,
    to: usize,
}

impl Bounds {
    /// Moves to the samples in `(from, to]`; both only ever grow.
    fn advance(&mut self, times: &[i64], from: i64, to: i64) {
        while self.to < times.len() && times[self.to] <= to {
            self.to += 1;
        }
        while self.from < self.to && times[self.from] <= from {
            self.from += 1;
        }
    }
}

/// The series of a range vector at the root of an instant query.
pub(crate) fn for_each_root_series(
    ev: &Evaluator<'_>,
    root: NodeId,
    steps: &Steps,
    mut sink: impl FnMut(RangeSeries) -> Result<(), QueryError> + Send,
) -> Result<(), QueryError> {
    if let NodeKind::Subquery(s) = ev.kind(root) {
        // At the root the whole result is returned: there is no window.
        let (frame, inner) = subquery::eval(ev, s, steps)?;
        for row in frame.rows {
            ev.check_cancelled()?;
            ev.budget.add(0, row.column.n_points() * 16)?;
            let samples = subquery::samples(&row.column, &inner);
            sink(RangeSeries { labels: row.labels, drop_name: row.drop_name, samples })?;
        }
        return Ok(());
    }
    let arg = RangeArg::new(ev, root, steps)?;
    let lookback = ev.options().lookback_delta_ms;
    arg.for_each(
        ev,
        steps,
        |arg, labels, samples, _| {
            let mut out = Samples::default();
            arg.each_window(labels, samples, steps, lookback, |window| {
                out = if arg.anchored || arg.smoothed {
                    smooth::extended(window, arg.smoothed)?
                } else {
                    copied(window)
                };
                Ok(())
            })?;
            let n = points_of(&out);
            ev.budget.touch(n, points_of(samples));
            ev.budget.add(n, n * 16)?;
            Ok(out)
        },
        |labels, drop_name, samples| {
            sink(RangeSeries { labels, drop_name, samples }).map(ControlFlow::Continue)
        },
    )
}

fn copied(window: &Window<'_>) -> Samples {
    let mut out = Samples::default();
    out.floats.timestamps.extend_from_slice(window.float_times);
    out.floats.values.extend_from_slice(window.floats);
    out.histograms.timestamps.extend_from_slice(window.histogram_times);
    out.histograms.values.extend_from_slice(window.histograms);
    out
}
