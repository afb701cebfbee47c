//! Range vectors: series whose samples are read window by window.

use std::ops::ControlFlow;

use tithon_chunks::Samples;
use tithon_index::Labels;

use super::batches::{Flow, Selection, for_each_series};
use super::decode::remove_stale;
use super::reference::Reference;
use super::windows::{Window, Windows};
use super::{smooth, subquery};
use crate::annotations::Notes;
use crate::ast::{Subquery, VectorSelector};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Frame, Steps, points_of};

/// A range vector: where its series come from, and its windows.
pub(crate) struct RangeVector {
    source: Source,
    /// The windows.
    pub(crate) windows: Windows,
}

enum Source {
    /// A vector selector.
    Selector(Selection),
    /// The result of a subquery and the steps it was evaluated at.
    Subquery(Frame, Steps),
}

/// A series of a range vector.
pub(crate) struct RangeSeries {
    /// The labels, name included.
    pub(crate) labels: Labels,
    /// Whether the name is to be dropped; the result of a subquery may say so.
    pub(crate) drop_name: bool,
    /// The samples.
    pub(crate) samples: Samples,
}

impl RangeVector {
    /// `selector[range]`
    pub(crate) fn of_selector(selection: Selection, s: &VectorSelector, range_ms: i64) -> RangeVector {
        let windows = Windows {
            range_ms,
            reference: Reference::new(s.at, s.offset_ms),
            anchored: s.anchored,
            smoothed: s.smoothed,
        };
        RangeVector { source: Source::Selector(selection), windows }
    }

    /// `expr[range:step]`, whose inner expression was evaluated at the steps `inner` ([`subquery::inner_steps`]).
    pub(crate) fn of_subquery(frame: Frame, inner: Steps, s: &Subquery) -> RangeVector {
        let reference = Reference::new(s.at, s.offset_ms);
        let windows = Windows { range_ms: s.range_ms, reference, anchored: false, smoothed: false };
        RangeVector { source: Source::Subquery(frame, inner), windows }
    }

    /// Runs `work` on each series, stale markers removed, and hands the results to `sink` in order, with the labels and
    /// whether the name is to be dropped.
    pub(crate) fn for_each<T: Send>(
        self,
        ctx: &Context<'_>,
        steps: &Steps,
        work: impl Fn(&Labels, &mut Samples, &mut Notes) -> Result<T, QueryError> + Sync,
        mut sink: impl FnMut(Labels, bool, T) -> Flow + Send,
    ) -> Result<(), QueryError> {
        match self.source {
            Source::Selector(selection) => for_each_series(
                ctx,
                selection,
                &self.windows.reach(steps, ctx.options.lookback_delta_ms),
                |labels, samples, notes| {
                    remove_stale(samples);
                    work(labels, samples, notes)
                },
                |labels, result| sink(labels, false, result),
            ),
            Source::Subquery(frame, inner) => {
                for row in frame.rows {
                    ctx.check_cancelled()?;
                    // One column for times, one for values.
                    let _reserved = ctx.reserve(2 * inner.len)?;
                    let mut samples = subquery::samples(&row.column, &inner);
                    remove_stale(&mut samples);
                    let mut notes = Notes::default();
                    let result = work(&row.labels, &mut samples, &mut notes)?;
                    if !notes.is_empty() {
                        ctx.notes().merge(notes);
                    }
                    if sink(row.labels, row.drop_name, result)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// The series as an instant query returns them: the samples in the window of its one step. Of a subquery all
    /// samples are returned, since there is no function around it that would need windows.
    pub(crate) fn into_series(
        self,
        ctx: &Context<'_>,
        steps: &Steps,
    ) -> Result<Vec<RangeSeries>, QueryError> {
        if let Source::Subquery(frame, inner) = self.source {
            let series = frame.rows.into_iter().map(|row| {
                ctx.check_cancelled()?;
                ctx.held.add(0, row.column.n_points() * 16)?;
                let samples = subquery::samples(&row.column, &inner);
                Ok(RangeSeries { labels: row.labels, drop_name: row.drop_name, samples })
            });
            return series.collect();
        }
        let windows = self.windows;
        let mut all = Vec::new();
        self.for_each(
            ctx,
            steps,
            |labels, samples, _| {
                let mut out = Samples::default();
                windows.each_window(labels, samples, steps, ctx.options.lookback_delta_ms, |window| {
                    out = if windows.anchored || windows.smoothed {
                        smooth::extended(window, windows.smoothed)?
                    } else {
                        copied(window)
                    };
                    Ok(())
                })?;
                let n = points_of(&out);
                ctx.held.touch(n, points_of(samples));
                ctx.held.add(n, n * 16)?;
                Ok(out)
            },
            |labels, drop_name, samples| {
                all.push(RangeSeries { labels, drop_name, samples });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(all)
    }
}

fn copied(window: &Window<'_>) -> Samples {
    let mut out = Samples::default();
    out.floats.timestamps.extend_from_slice(window.float_times);
    out.floats.values.extend_from_slice(window.floats);
    out.histograms.timestamps.extend_from_slice(window.histogram_times);
    out.histograms.values.extend_from_slice(window.histograms);
    out
}
