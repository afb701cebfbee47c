//! The windows of a range vector: the samples of a series that each step sees. A window is open on the left.
//!
//! Upstream: the matrix part of the `Call` case in `promql/engine.go`.

use tithon_chunks::{FloatHistogram, Samples};
use tithon_index::Labels;

use super::reach::Reach;
use super::reference::Reference;
use crate::error::QueryError;
use crate::frame::{Steps, points};

/// How far the windows of a range vector reach, and when it is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    /// Range in milliseconds.
    pub(crate) range_ms: i64,
    /// When the range vector is read.
    pub(crate) reference: Reference,
    /// Whether the modifier `anchored` was given.
    pub(crate) anchored: bool,
    /// Whether the modifier `smoothed` was given.
    pub(crate) smoothed: bool,
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

impl Windows {
    /// How far windows reach beyond their range to the left and to the right: by the lookback where a modifier needs the
    /// samples around the window, milliseconds.
    fn margins(&self, lookback: i64) -> (i64, i64) {
        let before = if self.anchored || self.smoothed { lookback } else { 0 };
        let after = if self.smoothed { lookback } else { 0 };
        (before, after)
    }

    /// The samples that the windows of `steps` may hold.
    pub(crate) fn reach(&self, steps: &Steps, lookback: i64) -> Reach {
        let (before, after) = self.margins(lookback);
        Reach::new(self.reference, steps, self.range_ms.saturating_add(before), after).of_range()
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
        let (before, after) = self.margins(lookback);
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
