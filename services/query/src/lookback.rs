//! The lookback of instant selectors, which is longer when downsampled data may answer. Thanos `cmd/thanos/query.go`.

use crate::options::QueryOptions;

/// Prometheus's default lookback in milliseconds.
const DEFAULT_MS: i64 = 300_000;
/// Resolutions of downsampled data, milliseconds.
const LEVELS_MS: [i64; 3] = [0, 300_000, 3_600_000];

/// The lookback in milliseconds of a query that may read data of up to the resolution `max_resolution_ms`.
pub(crate) fn lookback_ms(options: &QueryOptions, max_resolution_ms: i64) -> i64 {
    let configured = options.lookback_delta.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    let levels = if options.dynamic_lookback_delta { &LEVELS_MS[..] } else { &LEVELS_MS[..1] };
    let chosen = (1..levels.len())
        .rev()
        .find(|i| levels[i - 1].max(configured) < max_resolution_ms)
        .map_or(configured, |i| configured.max(levels[i]));
    if chosen == 0 { DEFAULT_MS } else { chosen }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn grows_with_the_resolution() {
        let mut options = QueryOptions::default();
        for (window, expected) in [(0, 300_000), (1, 300_000), (300_000, 300_000), (300_001, 3_600_000)] {
            assert_eq!(lookback_ms(&options, window), expected, "{window}");
        }
        options.lookback_delta = Some(Duration::from_secs(600));
        for (window, expected) in [(0, 600_000), (600_000, 600_000), (600_001, 3_600_000)] {
            assert_eq!(lookback_ms(&options, window), expected, "{window}");
        }
        options.dynamic_lookback_delta = false;
        assert_eq!(lookback_ms(&options, 3_600_000), 600_000);
    }
}
