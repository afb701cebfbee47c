//! `rate`, `increase`, `delta`, `irate`, `idelta` over sliding windows.

use super::slide::{Slide, Sliding};
use crate::frame::Column;
use crate::functions::rate::Span;
use crate::kernel;

/// `delta`
pub(super) fn delta(sliding: &mut Sliding<'_>) -> Column {
    sliding.fill(|slide, times, values| {
        if slide.to - slide.from < 2 {
            return None;
        }
        let change = values[slide.to - 1] - values[slide.from];
        let ends = (times[slide.from], times[slide.to - 1]);
        let span = Span::new(ends, slide.to - slide.from - 1, (slide.start, slide.end), 0);
        Some(change * span.factor(None))
    })
}

/// `rate` and `increase`: the change of a counter, divided by `range`.
pub(super) fn counter(sliding: &mut Sliding<'_>, range: f64) -> Column {
    let (times, values) = (sliding.times, sliding.values);
    let falls = if kernel::has_falls(values) { falls(values) } else { Vec::new() };
    let mut next = 0;
    let span_of = |slide: Slide| {
        let ends = (times[slide.from], times[slide.to - 1]);
        Span::new(ends, slide.to - slide.from - 1, (slide.start, slide.end), 0)
    };
    sliding.fill_even(|column, slide, run| {
        if slide.to - slide.from < 2 {
            return;
        }
        let extrapolation = span_of(slide).extrapolation(range);
        let mut i = 0;
        while i < run.n {
            let slide = run.slide(slide, i);
            next += falls[next..].iter().take_while(|fall| **fall <= slide.from).count();
            // The number of windows that end before the next fall.
            let n_smooth = match falls.get(next) {
                None => run.n - i,
                Some(fall) if *fall < slide.to => 0,
                Some(fall) => ((fall - slide.to) / run.stride + 1).min(run.n - i),
            };
            if let (Some(extrapolation), 1..) = (extrapolation, n_smooth) {
                let ends = (&values[slide.from..], &values[slide.to - 1..]);
                column.fill_floats(slide.step, n_smooth, |out| {
                    kernel::rises(out, ends.0, ends.1, run.stride, extrapolation);
                });
                i += n_smooth;
                continue;
            }
            let first = values[slide.from];
            let mut change = values[slide.to - 1] - first;
            for fall in falls[next..].iter().take_while(|fall| **fall < slide.to) {
                change += values[*fall - 1];
            }
            let zero = (change > 0.0 && first >= 0.0).then(|| first / change);
            column.set_float(slide.step, change * (span_of(slide).factor(zero) / range));
            i += 1;
        }
    })
}

/// Indexes of the values before which the counter fell, ascending.
fn falls(values: &[f64]) -> Vec<usize> {
    let pairs = values.iter().zip(values.get(1..).unwrap_or_default());
    pairs.enumerate().filter(|(_, (a, b))| b < a).map(|(i, _)| i + 1).collect()
}

/// `irate` and `idelta`.
pub(super) fn instant(sliding: &mut Sliding<'_>, is_rate: bool) -> Column {
    sliding.fill(|slide, times, values| {
        if slide.to - slide.from < 2 {
            return None;
        }
        let (a, b) = (values[slide.to - 2], values[slide.to - 1]);
        let interval = times[slide.to - 1].wrapping_sub(times[slide.to - 2]);
        if interval == 0 {
            return None;
        }
        let change = if is_rate && b < a { b } else { b - a };
        Some(if is_rate { change / (interval as f64 / 1000.0) } else { change })
    })
}
