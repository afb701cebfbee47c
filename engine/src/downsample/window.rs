//! Windows in time, and the number of windows in a chunk.

use std::ops::Range;

/// The last millisecond of the window that holds `t`; windows begin at multiples of `resolution`. Division truncates,
/// as upstream's does.
pub(super) fn window_end(t: i64, resolution: i64) -> i64 {
    t.saturating_sub(t % resolution).saturating_add(resolution - 1)
}

/// The number of chunks for the samples of a series: enough that none holds more than 140 windows, if the samples are as
/// dense as `in_resolution` promises.
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

/// Whether the windows of `n` samples, with first and last value, fit one chunk: a header counts 16 bits.
pub(super) fn fit_a_chunk(n: usize, first: i64, last: i64, resolution: i64) -> bool {
    let windows = last.saturating_sub(first) / resolution + 4;
    n <= WINDOWS_MAX || windows <= WINDOWS_MAX as i64
}

const WINDOWS_MAX: usize = u16::MAX as usize - 2;

/// Cuts samples into windows: the time of each, which is its end or the last sample's time if that is earlier, and
/// the positions of its samples. Times ascend.
pub(super) fn windows(times: &[i64], resolution: i64) -> impl Iterator<Item = (i64, Range<usize>)> {
    let last = times.last().copied().unwrap_or(0);
    let (mut at, mut n) = (0, 1);
    std::iter::from_fn(move || {
        let rest = &times[at..];
        let end = window_end(*rest.first()?, resolution).min(last);
        // A window mostly has as many samples as the one before it.
        if n > rest.len() || rest[n - 1] > end || rest.get(n).is_some_and(|t| *t <= end) {
            n = rest.iter().take_while(|t| **t <= end).count().max(1);
        }
        at += n;
        Some((end, at - n..at))
    })
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
    fn samples_are_cut_at_the_ends_of_windows() {
        let cut =
            |times: &[i64]| windows(times, 10).map(|(end, samples)| (end, samples.len())).collect::<Vec<_>>();
        assert_eq!(cut(&[]), []);
        assert_eq!(cut(&[7]), [(7, 1)]);
        assert_eq!(
            cut(&[0, 5, 10, 15, 20, 21, 25, 30, 55, 56]),
            [(9, 2), (19, 2), (29, 3), (39, 1), (56, 2)]
        );
        assert_eq!(cut(&[0, 1, 2, 9, 9, 10]), [(9, 5), (10, 1)]);
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
