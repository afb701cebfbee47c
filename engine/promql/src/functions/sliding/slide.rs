//! The windows of one series of floats, as ranges of indexes that slide along its samples.

use std::sync::atomic::{AtomicBool, Ordering};

use tithon_chunks::Samples;

use crate::frame::{Column, Steps};
use crate::read::{EvenWindows, Windows};

/// The windows of all steps over the samples of one series.
pub(super) struct Sliding<'a> {
    pub(super) times: &'a [i64],
    pub(super) values: &'a [f64],
    pub(super) steps: &'a Steps,
    shape: &'a Windows,
    cancelled: &'a AtomicBool,
    /// The samples of all windows together.
    pub(super) touched: u64,
    /// The samples of the largest window.
    pub(super) largest: u64,
}

/// A window that has samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slide {
    /// The step.
    pub(super) step: usize,
    /// Its first sample.
    pub(super) from: usize,
    /// One past its last sample.
    pub(super) to: usize,
    /// Its left, open, end in milliseconds.
    pub(super) start: i64,
    /// Its right, closed, end.
    pub(super) end: i64,
}

impl<'a> Sliding<'a> {
    /// The windows over `samples`; `None` when there are histograms or start timestamps, or a modifier widens the windows.
    ///
    /// Once `cancelled` is set, the rest of a column stays empty.
    pub(super) fn new(
        shape: &'a Windows,
        samples: &'a Samples,
        steps: &'a Steps,
        cancelled: &'a AtomicBool,
    ) -> Option<Sliding<'a>> {
        let plain = samples.histograms.timestamps.is_empty() && samples.float_start_timestamps.is_empty();
        (plain && !shape.anchored && !shape.smoothed).then_some(Sliding {
            times: &samples.floats.timestamps,
            values: &samples.floats.values,
            steps,
            shape,
            cancelled,
            touched: 0,
            largest: 0,
        })
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// A column of the results of `f` for each window that has samples; `f` also gets the times and values of the series.
    #[inline(always)]
    pub(super) fn fill(&mut self, mut f: impl FnMut(Slide, &[i64], &[f64]) -> Option<f64>) -> Column {
        let (times, values) = (self.times, self.values);
        self.fill_even(|column, slide, even| {
            for i in 0..even.n {
                let slide = even.slide(slide, i);
                if let Some(v) = f(slide, times, values) {
                    column.set_float(slide.step, v);
                }
            }
        })
    }

    /// A column that `f` fills in: it gets each window that has samples, and how many even windows follow it.
    #[inline(always)]
    pub(super) fn fill_even(&mut self, mut f: impl FnMut(&mut Column, Slide, EvenRun)) -> Column {
        let times = self.times;
        let mut column = Column::new(self.steps.len);
        let mut even = EvenWindows::new(times, self.shape.reference, self.steps);
        let (mut from, mut to, mut step) = (0, 0, 0);
        let (mut touched, mut largest) = (0, 0);
        while step < self.steps.len && !self.is_cancelled() {
            let end = self.shape.reference.at(self.steps.time(step));
            let start = end.saturating_sub(self.shape.range_ms);
            while to < times.len() && times[to] <= end {
                to += 1;
            }
            while from < to && times[from] <= start {
                from += 1;
            }
            let (more, stride) = even.after(from, to).unwrap_or((0, 1));
            let n = (more + 1).min(self.steps.len - step).min(EVEN_MAX);
            if from < to {
                touched += n * (to - from);
                largest = largest.max(to - from);
                let run = EvenRun { n, stride, interval: self.steps.interval };
                f(&mut column, Slide { step, from, to, start, end }, run);
            }
            step += n;
            from += (n - 1) * stride;
            to += (n - 1) * stride;
        }
        (self.touched, self.largest) = (touched as u64, largest as u64);
        column
    }
}

/// The most windows handled at once; then cancellation is checked.
const EVEN_MAX: usize = 4096;

/// Windows that hold samples at the same distances, each one step and a fixed number of samples after the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct EvenRun {
    /// How many windows, the first one included.
    pub(super) n: usize,
    /// By how many samples each window lies after the one before.
    pub(super) stride: usize,
    /// By how many milliseconds each window lies after the one before.
    pub(super) interval: i64,
}

impl EvenRun {
    /// The window `i` windows after the first.
    #[inline(always)]
    pub(super) fn slide(&self, first: Slide, i: usize) -> Slide {
        let (samples, millis) = (i * self.stride, i as i64 * self.interval);
        Slide {
            step: first.step + i,
            from: first.from + samples,
            to: first.to + samples,
            start: first.start + millis,
            end: first.end + millis,
        }
    }
}
