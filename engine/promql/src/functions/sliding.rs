//! Range functions over floats alone: windows slide along the columns of a series, and what two windows share is not
//! worked out twice where the result stays the same to the bit.
//!
//! The twin of every function here is the one in `rate.rs` or `over_time.rs`, which sees one window at a time.

mod counts;
mod extremes;
mod quantiles;
mod rates;
mod sums;
#[cfg(test)]
mod tests;
mod variances;

use std::sync::atomic::{AtomicBool, Ordering};

use tithon_chunks::Samples;

use super::range_call::Site;
use crate::annotations::Notes;
use crate::frame::{Column, Steps};
use crate::ops::alike::Alike;
use crate::ops::range::RangeArg;

/// The windows of all steps over the samples of one series.
pub(super) struct Sliding<'a> {
    times: &'a [i64],
    values: &'a [f64],
    steps: &'a Steps,
    arg: &'a RangeArg,
    cancelled: &'a AtomicBool,
    /// The samples of all windows together.
    pub(super) touched: u64,
    /// The samples of the largest one.
    pub(super) largest: u64,
}

/// A window that has samples.
#[derive(Clone, Copy, Debug)]
struct Slide {
    /// The step.
    step: usize,
    /// Its first sample.
    from: usize,
    /// Behind its last sample.
    to: usize,
    /// Its left, open, end in milliseconds.
    start: i64,
    /// Its right, closed, end.
    end: i64,
}

impl<'a> Sliding<'a> {
    /// The windows over `samples`, if those are floats without start timestamps, and no modifier widens the windows.
    ///
    /// Once `cancelled` is set, the rest of a column stays empty.
    pub(super) fn new(
        arg: &'a RangeArg,
        samples: &'a Samples,
        steps: &'a Steps,
        cancelled: &'a AtomicBool,
    ) -> Option<Sliding<'a>> {
        let plain = samples.histograms.timestamps.is_empty() && samples.float_start_timestamps.is_empty();
        (plain && !arg.anchored && !arg.smoothed).then_some(Sliding {
            times: &samples.floats.timestamps,
            values: &samples.floats.values,
            steps,
            arg,
            cancelled,
            touched: 0,
            largest: 0,
        })
    }

    /// Evaluates the function; `None` when it has no sliding form.
    pub(super) fn apply(&mut self, site: &Site, notes: &mut Notes) -> Option<Column> {
        Some(match site.name {
            "rate" | "increase" | "delta" => rates::extrapolated(self, site),
            "irate" => rates::instant(self, true),
            "idelta" => rates::instant(self, false),
            "sum_over_time" => sums::sum(self),
            "avg_over_time" => sums::avg(self),
            "count_over_time" => self.fill(|slide, _, _| Some((slide.to - slide.from) as f64)),
            "present_over_time" => self.fill(|_, _, _| Some(1.0)),
            "first_over_time" => self.fill(|slide, _, values| Some(values[slide.from])),
            "last_over_time" => self.fill(|slide, _, values| Some(values[slide.to - 1])),
            "min_over_time" => extremes::extreme(self, |held, v| v < held),
            "max_over_time" => extremes::extreme(self, |held, v| v > held),
            "stddev_over_time" => variances::variance(self, f64::sqrt),
            "stdvar_over_time" => variances::variance(self, |v| v),
            "quantile_over_time" => quantiles::quantile(self, site, notes),
            "changes" => counts::pairs(self, |a, b| b != a && !(a.is_nan() && b.is_nan())),
            "resets" => counts::pairs(self, |a, b| b < a),
            _ => return None,
        })
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// A column of what `f` makes of each window that has samples, and of the times and values of the series.
    #[inline(always)]
    fn fill(&mut self, mut f: impl FnMut(Slide, &[i64], &[f64]) -> Option<f64>) -> Column {
        let (times, values) = (self.times, self.values);
        self.fill_alike(|column, slide, alike| {
            for i in 0..alike.n {
                let slide = alike.slide(slide, i);
                if let Some(v) = f(slide, times, values) {
                    column.set_float(slide.step, v);
                }
            }
        })
    }

    /// A column that `f` puts floats in: it sees each window that has samples, and how many follow that look like it.
    #[inline(always)]
    fn fill_alike(&mut self, mut f: impl FnMut(&mut Column, Slide, Alikes)) -> Column {
        let times = self.times;
        let mut column = Column::new(self.steps.len);
        let mut alike = Alike::new(times, self.arg.reference, self.steps);
        let (mut from, mut to, mut step) = (0, 0, 0);
        let (mut touched, mut largest) = (0, 0);
        while step < self.steps.len && !self.is_cancelled() {
            let end = self.arg.reference.at(self.steps.time(step));
            let start = end.saturating_sub(self.arg.range_ms);
            while to < times.len() && times[to] <= end {
                to += 1;
            }
            while from < to && times[from] <= start {
                from += 1;
            }
            let (more, stride) = alike.after(from, to).unwrap_or((0, 1));
            let n = (more + 1).min(self.steps.len - step).min(ALIKE_MAX);
            if from < to {
                touched += n * (to - from);
                largest = largest.max(to - from);
                let alikes = Alikes { n, stride, interval: self.steps.interval };
                f(&mut column, Slide { step, from, to, start, end }, alikes);
            }
            step += n;
            from += (n - 1) * stride;
            to += (n - 1) * stride;
        }
        (self.touched, self.largest) = (touched as u64, largest as u64);
        column
    }
}

/// So many windows at once, then cancellation is looked for.
const ALIKE_MAX: usize = 4096;

/// Windows that look alike, each one step and as many samples further on.
#[derive(Clone, Copy, Debug)]
struct Alikes {
    /// How many, the first one included.
    n: usize,
    /// How many samples further on each lies.
    stride: usize,
    /// How many milliseconds.
    interval: i64,
}

impl Alikes {
    /// The window `i` behind the first.
    #[inline(always)]
    fn slide(&self, first: Slide, i: usize) -> Slide {
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
