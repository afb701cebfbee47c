//! Decoded samples in columns.

use crate::{FloatHistogram, Timestamp};

/// The bits of the value that marks a series stale; a histogram is stale when its sum has them.
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Float samples in columns of equal length, in the order of the chunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SampleBatch {
    /// Milliseconds since the Unix epoch.
    pub timestamps: Vec<i64>,
    /// The values; compare their bits, as NaNs carry meaning (stale markers).
    pub values: Vec<f64>,
}

impl SampleBatch {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Appends one sample.
    pub fn push(&mut self, t: Timestamp, value: f64) {
        self.timestamps.push(t.0);
        self.values.push(value);
    }

    /// Forgets all samples, keeping the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
    }
}

/// Native histogram samples, integer ones converted to floats, as PromQL sees them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramSamples {
    /// Milliseconds since the Unix epoch.
    pub timestamps: Vec<i64>,
    /// One histogram a timestamp.
    pub values: Vec<FloatHistogram>,
}

/// All samples of one series over some range: floats and histograms in two lists, each in time order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// The float samples.
    pub floats: SampleBatch,
    /// The histogram samples.
    pub histograms: HistogramSamples,
    /// Start timestamp of each float sample (0 is none), or empty when no sample has one.
    pub float_start_timestamps: Vec<i64>,
    /// Start timestamp of each histogram sample (0 is none), or empty when no sample has one.
    pub histogram_start_timestamps: Vec<i64>,
}

impl Samples {
    /// Number of samples of both kinds.
    pub fn len(&self) -> usize {
        self.floats.len() + self.histograms.timestamps.len()
    }

    /// Whether there is no sample of either kind.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
