//! `rate`, `increase`, `delta`, `irate`, `idelta` over sliding windows.

use super::Sliding;
use crate::frame::Column;
use crate::functions::range_call::Site;
use crate::functions::rate::Span;

/// `rate`, `increase` and `delta`.
pub(super) fn extrapolated(sliding: &mut Sliding<'_>, site: &Site) -> Column {
    match site.name {
        "rate" => counter(sliding, |factor| factor / site.range_seconds),
        "increase" => counter(sliding, |factor| factor),
        _ => sliding.fill(|slide, times, values| {
            if slide.to - slide.from < 2 {
                return None;
            }
            let change = values[slide.to - 1] - values[slide.from];
            let ends = (times[slide.from], times[slide.to - 1]);
            let span = Span::new(ends, slide.to - slide.from - 1, (slide.start, slide.end), 0);
            Some(change * span.factor(None))
        }),
    }
}

#[inline(always)]
fn counter(sliding: &mut Sliding<'_>, scale: impl Fn(f64) -> f64) -> Column {
    let falls = falls(sliding.values);
    let mut next = 0;
    sliding.fill(|slide, times, values| {
        if slide.to - slide.from < 2 {
            return None;
        }
        let first = values[slide.from];
        let mut change = values[slide.to - 1] - first;
        while falls.get(next).is_some_and(|i| *i <= slide.from) {
            next += 1;
        }
        for i in falls[next..].iter().take_while(|i| **i < slide.to) {
            change += values[*i - 1];
        }
        let ends = (times[slide.from], times[slide.to - 1]);
        let span = Span::new(ends, slide.to - slide.from - 1, (slide.start, slide.end), 0);
        let zero = (change > 0.0 && first >= 0.0).then(|| first / change);
        Some(change * scale(span.factor(zero)))
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
