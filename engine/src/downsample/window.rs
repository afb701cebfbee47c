//! Windows in time, and what is aggregated in each.

use std::ops::Range;

use tithon_chunks::XorEncoder;

/// The last millisecond of the window that holds `t`; windows begin at multiples of `resolution`. Division truncates,
/// as upstream's does.
pub(super) fn window_end(t: i64, resolution: i64) -> i64 {
    t.saturating_sub(t % resolution).saturating_add(resolution - 1)
}

/// How many chunks the samples of a series shall become: so many that none has to hold more than 140 windows, if the
/// samples are as dense as `in_resolution` promises.
pub(super) fn chunk_target(
    min: i64,
    max: i64,
    in_resolution: i64,
    out_resolution: i64,
    samples: usize,
) -> usize {
    let span = max.saturating_sub(min);
    let windows = (span / out_resolution) as f64;
    let fullness = samples as f64 / (span as f64 / in_resolution as f64);
    let expected = (windows * fullness.min(1.0)) as usize + 1;
    // The smallest n with expected / n <= CHUNK_WINDOWS, in whole numbers.
    (expected / (CHUNK_WINDOWS + 1) + 1).max(1)
}

const CHUNK_WINDOWS: usize = 140;

/// Whether the windows of these samples, with first and last value, fit one chunk: a header counts 16 bits.
pub(super) fn fit_a_chunk(times: &[i64], resolution: i64) -> bool {
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return true };
    let windows = last.saturating_sub(*first) / resolution + 4;
    times.len() <= WINDOWS_MAX || windows <= WINDOWS_MAX as i64
}

const WINDOWS_MAX: usize = u16::MAX as usize - 2;

/// What is known of the samples of a window; the counter runs on from window to window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aggregator {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) counter: f64,
    last: f64,
    any: bool,
}

impl Aggregator {
    fn new() -> Aggregator {
        Aggregator { count: 0.0, sum: 0.0, min: f64::MAX, max: f64::MIN, counter: 0.0, last: 0.0, any: false }
    }

    fn next_window(&mut self) {
        *self = Aggregator { counter: self.counter, last: self.last, any: self.any, ..Aggregator::new() };
    }

    fn add(&mut self, value: f64) {
        // Both ways are computed: which one it is cannot be foreseen.
        let step = if value < self.last { value } else { value - self.last };
        self.counter = if self.any { self.counter + step } else { value };
        (self.last, self.any) = (value, true);
        self.sum += value;
        self.count += 1.0;
        if value < self.min {
            self.min = value;
        }
        if value > self.max {
            self.max = value;
        }
    }
}

/// Cuts samples into windows: the time of each, which is its end or the last sample's time if that is earlier, and
/// the positions of its samples.
pub(super) fn windows(times: &[i64], resolution: i64) -> impl Iterator<Item = (i64, Range<usize>)> {
    let last = times.last().copied().unwrap_or(0);
    let mut at = 0;
    std::iter::from_fn(move || {
        let end = window_end(*times.get(at)?, resolution).min(last);
        let n = 1 + times[at + 1..].iter().take_while(|t| **t <= end).count();
        at += n;
        Some((end, at - n..at))
    })
}

/// Aggregates floats window by window and calls `emit` with each window's time. Returns the time of the last window.
pub(super) fn each_window(
    times: &[i64],
    values: &[f64],
    resolution: i64,
    mut emit: impl FnMut(i64, &Aggregator),
) -> i64 {
    let mut aggregator = Aggregator::new();
    let mut last = -1;
    for (end, samples) in windows(times, resolution) {
        aggregator.next_window();
        values[samples].iter().for_each(|value| aggregator.add(*value));
        emit(end, &aggregator);
        last = end;
    }
    last
}

/// Four columns of windows and the counter's, being encoded.
#[derive(Debug, Default)]
pub(super) struct FloatParts {
    pub(super) count: XorEncoder,
    pub(super) sum: XorEncoder,
    pub(super) min: XorEncoder,
    pub(super) max: XorEncoder,
    pub(super) counter: XorEncoder,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_named_by_their_last_millisecond() {
        assert_eq!(window_end(0, 300_000), 299_999);
        assert_eq!(window_end(299_999, 300_000), 299_999);
        assert_eq!(window_end(300_000, 300_000), 599_999);
    }

    #[test]
    fn targets_of_the_specification() {
        const HOUR: i64 = 3_600_000;
        let target = |hours: i64, in_ms, out_ms, n| chunk_target(0, hours * HOUR, in_ms, out_ms, n);
        assert_eq!(target(40, 60_000, 300_000, 2400), 4);
        assert_eq!(target(48, 60_000, 300_000, 2880), 5);
        assert_eq!(target(48, 60_000, 300_000, 11_520), 5);
        assert_eq!(target(336, 60_000, 300_000, 20_160), 29);
        assert_eq!(target(336, 60_000, 300_000, 4032), 6);
        assert_eq!(target(336, 300_000, HOUR, 4032), 3);
        assert_eq!(chunk_target(5, 5, 60_000, 300_000, 1), 1);
    }

    #[test]
    fn the_target_is_the_smallest_that_fits() {
        for expected in 1usize..3000 {
            let n = expected / (CHUNK_WINDOWS + 1) + 1;
            assert!(
                expected / n <= CHUNK_WINDOWS && (n == 1 || expected / (n - 1) > CHUNK_WINDOWS),
                "{expected}"
            );
        }
    }
}
