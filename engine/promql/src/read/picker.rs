//! The sample that an instant selector sees at a time: the newest one not older than the lookback.
//!
//! Upstream: `vectorSelectorSingle` in `promql/engine.go`.

use std::sync::Arc;

use tithon_chunks::{FloatHistogram, STALE_NAN_BITS, Samples};

use crate::result::Sample;

/// The sample that a selector picks.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    /// Its own time, milliseconds.
    pub(crate) t: i64,
    /// Its start timestamp; 0 if it has none.
    pub(crate) start: i64,
    /// Its value.
    pub(crate) sample: Sample,
}

/// Finds samples at times that mostly ascend; the samples are walked once.
pub(crate) struct Picker<'a> {
    samples: &'a Samples,
    floats: usize,
    histograms: usize,
    shared: Option<(usize, Arc<FloatHistogram>)>,
}

impl<'a> Picker<'a> {
    /// The state before the first sample.
    pub(crate) fn new(samples: &'a Samples) -> Picker<'a> {
        Picker { samples, floats: 0, histograms: 0, shared: None }
    }

    /// The newest sample at or before `t`, unless it is stale or `lookback` old.
    pub(crate) fn pick(&mut self, t: i64, lookback: i64) -> Option<Picked> {
        self.floats = advance(&self.samples.floats.timestamps, self.floats, t);
        self.histograms = advance(&self.samples.histograms.timestamps, self.histograms, t);
        let float = self.floats.checked_sub(1);
        let histogram = self.histograms.checked_sub(1);
        let float_t = float.map(|i| self.samples.floats.timestamps[i]);
        let histogram_t = histogram.map(|i| self.samples.histograms.timestamps[i]);
        let newest = float_t.max(histogram_t)?;
        if newest <= t.saturating_sub(lookback) {
            return None;
        }
        if histogram_t == Some(newest) {
            let i = histogram?;
            let value = &self.samples.histograms.values[i];
            if value.sum.to_bits() == STALE_NAN_BITS {
                return None;
            }
            let shared = match &self.shared {
                Some((at, shared)) if *at == i => Arc::clone(shared),
                _ => {
                    let shared = Arc::new(value.clone());
                    self.shared = Some((i, Arc::clone(&shared)));
                    shared
                }
            };
            let start = self.samples.histogram_start_timestamps.get(i).copied().unwrap_or(0);
            return Some(Picked { t: newest, start, sample: Sample::Histogram(shared) });
        }
        let i = float?;
        let value = self.samples.floats.values[i];
        if value.to_bits() == STALE_NAN_BITS {
            return None;
        }
        let start = self.samples.float_start_timestamps.get(i).copied().unwrap_or(0);
        Some(Picked { t: newest, start, sample: Sample::Float(value) })
    }
}

/// The number of `times` at or before `t`, looking from `from` on.
fn advance(times: &[i64], mut from: usize, t: i64) -> usize {
    if from > 0 && times[from - 1] > t {
        return times.partition_point(|at| *at <= t);
    }
    while from < times.len() && times[from] <= t {
        from += 1;
    }
    from
}
