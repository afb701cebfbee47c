//! Histogram samples in columns: what differs from sample to sample flat, what stays the same once.

use crate::{CounterResetHint, FloatHistogram, HistogramLayout, Timestamp};

/// Native histogram samples in columns, integer counts converted to floats; filled by [`crate::decode_histograms`].
///
/// Times, counts and sums are one column each; the counts of all buckets lie in one array, those of a sample together,
/// positive ones first. Samples of one layout (schema, spans, bounds) share it. Appending a sample allocates nothing
/// once the columns have grown.
#[derive(Clone, Debug, Default)]
pub struct HistogramBatch {
    timestamps: Vec<i64>,
    starts: Vec<i64>,
    hints: Vec<CounterResetHint>,
    counts: Vec<f64>,
    zero_counts: Vec<f64>,
    sums: Vec<f64>,
    /// Which of `layouts` each sample has.
    layout_of: Vec<u32>,
    layouts: Vec<HistogramLayout>,
    /// Where the positive and the negative buckets of each sample end; they begin where those of the one before end.
    bucket_ends: Vec<[usize; 2]>,
    buckets: Vec<f64>,
}

/// One sample of a [`HistogramBatch`].
#[derive(Clone, Copy, Debug)]
pub struct HistogramRow<'a> {
    /// When it was taken.
    pub t: Timestamp,
    /// Since when its counters count; 0 is unknown.
    pub st: Timestamp,
    /// What is known about a reset before it.
    pub counter_reset_hint: CounterResetHint,
    /// All observations.
    pub count: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Sum of all observations; the stale marker here marks the sample stale.
    pub sum: f64,
    /// Schema, zero threshold, spans and custom bounds.
    pub layout: &'a HistogramLayout,
    /// Absolute counts of the positive buckets.
    pub positive_buckets: &'a [f64],
    /// Absolute counts of the negative buckets.
    pub negative_buckets: &'a [f64],
}

impl HistogramBatch {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Milliseconds since the Unix epoch, of each sample.
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamps
    }

    /// Start timestamp of each sample; 0 is none.
    pub fn start_timestamps(&self) -> &[i64] {
        &self.starts
    }

    /// All observations of each sample.
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// Sum of the observations of each sample.
    pub fn sums(&self) -> &[f64] {
        &self.sums
    }

    /// Sample `i`. Panics when there is none.
    pub fn row(&self, i: usize) -> HistogramRow<'_> {
        let layout = &self.layouts[self.layout_of[i] as usize];
        let begin = if i == 0 { 0 } else { self.bucket_ends[i - 1][1] };
        let [middle, end] = self.bucket_ends[i];
        HistogramRow {
            t: Timestamp(self.timestamps[i]),
            st: Timestamp(self.starts[i]),
            counter_reset_hint: self.hints[i],
            count: self.counts[i],
            zero_count: self.zero_counts[i],
            sum: self.sums[i],
            layout,
            positive_buckets: &self.buckets[begin..middle],
            negative_buckets: &self.buckets[middle..end],
        }
    }

    /// All samples in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = HistogramRow<'_>> {
        (0..self.len()).map(|i| self.row(i))
    }

    /// Appends a sample at `t` with start timestamp `start` (0 is none).
    pub fn push(&mut self, t: i64, start: i64, histogram: &FloatHistogram) {
        let layout = self.layout_index(&HistogramLayout::of(histogram));
        let counts = [histogram.count, histogram.zero_count, histogram.sum];
        let n_positive = histogram.positive_buckets.len();
        self.push_row([t, start], histogram.counter_reset_hint, counts, (layout, n_positive), |buckets| {
            buckets.extend_from_slice(&histogram.positive_buckets);
            buckets.extend_from_slice(&histogram.negative_buckets);
        });
    }

    /// Forgets all samples, keeping the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.starts.clear();
        self.hints.clear();
        self.counts.clear();
        self.zero_counts.clear();
        self.sums.clear();
        self.layout_of.clear();
        self.layouts.clear();
        self.bucket_ends.clear();
        self.buckets.clear();
    }

    /// The index of `layout`, which is added when it is none of the last few: chunks of one series mostly share
    /// theirs, stale markers between.
    pub(crate) fn layout_index(&mut self, layout: &HistogramLayout) -> u32 {
        const RECENT: usize = 4;
        let n = self.layouts.len();
        let recent = n.saturating_sub(RECENT);
        let found = self.layouts[recent..].iter().rposition(|known| known.same_bits(layout));
        if found.is_none() {
            self.layouts.push(layout.clone());
        }
        u32::try_from(found.map_or(n, |at| recent + at)).expect("fewer layouts than samples in memory")
    }

    /// Appends time and start, hint, count, zero count and sum, layout and number of positive buckets, and the buckets
    /// that `fill` appends.
    #[inline]
    pub(crate) fn push_row(
        &mut self,
        [t, start]: [i64; 2],
        hint: CounterResetHint,
        [count, zero_count, sum]: [f64; 3],
        (layout, n_positive): (u32, usize),
        fill: impl FnOnce(&mut Vec<f64>),
    ) {
        self.timestamps.push(t);
        self.starts.push(start);
        self.hints.push(hint);
        self.counts.push(count);
        self.zero_counts.push(zero_count);
        self.sums.push(sum);
        self.layout_of.push(layout);
        let middle = self.buckets.len() + n_positive;
        fill(&mut self.buckets);
        self.bucket_ends.push([middle, self.buckets.len()]);
    }
}

impl HistogramRow<'_> {
    /// Whether this marks its series stale.
    pub fn is_stale(&self) -> bool {
        self.sum.to_bits() == crate::STALE_NAN_BITS
    }

    /// The sample as a value of its own.
    pub fn to_float_histogram(&self) -> FloatHistogram {
        let mut histogram = FloatHistogram::default();
        self.assign_to(&mut histogram);
        histogram
    }

    /// Makes `histogram` equal to the sample, in the memory that it has.
    pub fn assign_to(&self, histogram: &mut FloatHistogram) {
        histogram.counter_reset_hint = self.counter_reset_hint;
        histogram.schema = self.layout.schema;
        histogram.zero_threshold = self.layout.zero_threshold;
        (histogram.zero_count, histogram.count, histogram.sum) = (self.zero_count, self.count, self.sum);
        histogram.positive_spans.clone_from(&self.layout.positive_spans);
        histogram.negative_spans.clone_from(&self.layout.negative_spans);
        self.positive_buckets.clone_into(&mut histogram.positive_buckets);
        self.negative_buckets.clone_into(&mut histogram.negative_buckets);
        histogram.custom_values.clone_from(&self.layout.custom_values);
    }

    /// [`FloatHistogram::detect_reset`] without making histograms, where both samples share a layout.
    pub fn detect_reset(&self, previous: &HistogramRow<'_>) -> bool {
        let shared = std::ptr::eq(self.layout, previous.layout) || self.layout.same_bits(previous.layout);
        let paired = self.positive_buckets.len() == previous.positive_buckets.len()
            && self.negative_buckets.len() == previous.negative_buckets.len();
        if !shared || !paired || !self.layout.is_plain() {
            return self.to_float_histogram().detect_reset(&previous.to_float_histogram());
        }
        match self.counter_reset_hint {
            CounterResetHint::Reset => return true,
            CounterResetHint::NotReset => return false,
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        let fell = |now: &[f64], before: &[f64]| now.iter().zip(before).any(|(now, before)| now < before);
        self.count < previous.count
            || self.zero_count < previous.zero_count
            || fell(self.positive_buckets, previous.positive_buckets)
            || fell(self.negative_buckets, previous.negative_buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;

    fn histogram(schema: i32, count: f64, buckets: &[f64]) -> FloatHistogram {
        FloatHistogram {
            schema,
            count,
            positive_spans: vec![Span { offset: 3, length: 1 }, Span { offset: 1, length: 1 }],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            positive_buckets: buckets[..2].to_vec(),
            negative_buckets: buckets[2..].to_vec(),
            ..FloatHistogram::default()
        }
    }

    #[test]
    fn rows_are_what_was_pushed_and_layouts_are_shared() {
        let stale =
            FloatHistogram { sum: f64::from_bits(crate::STALE_NAN_BITS), ..FloatHistogram::default() };
        let pushed = [
            histogram(1, 6.0, &[1.0, 2.0, 3.0]),
            stale,
            histogram(1, 7.0, &[1.0, 2.0, 4.0]),
            histogram(2, 9.0, &[1.0, 2.0, 6.0]),
        ];
        let mut batch = HistogramBatch::default();
        for (i, h) in pushed.iter().enumerate() {
            batch.push(i as i64 * 10, i as i64, h);
        }
        assert_eq!((batch.layouts.len(), batch.len()), (3, 4));
        for (row, h) in batch.rows().zip(&pushed) {
            assert!(row.to_float_histogram().equals(h));
            assert_eq!(row.is_stale(), h.is_stale());
        }
        assert_eq!((batch.row(2).t, batch.row(2).st), (Timestamp(20), Timestamp(2)));
        assert_eq!(batch.counts(), [6.0, 0.0, 7.0, 9.0]);
        batch.clear();
        assert!(batch.is_empty() && batch.rows().next().is_none());
    }

    #[test]
    fn resets_are_those_of_the_histograms() {
        let mut all = Vec::new();
        for threshold in [0.0, 0.001, 9.0] {
            for (schema, n) in [(1, 6.0), (1, 5.0), (2, 6.0), (-53, 6.0)] {
                for buckets in [[1.0, 2.0, 3.0], [0.0, 9.0, 9.0], [2.0, 2.0, 2.0], [0.0; 3]] {
                    let mut h = histogram(schema, n, &buckets);
                    h.zero_threshold = threshold;
                    if schema == crate::CUSTOM_BUCKETS_SCHEMA {
                        h.custom_values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
                        h.negative_spans.clear();
                        h.negative_buckets.clear();
                    }
                    all.push(h);
                }
            }
        }
        let mut batch = HistogramBatch::default();
        all.iter().for_each(|h| batch.push(0, 0, h));
        for (now, h_now) in batch.rows().zip(&all) {
            for (before, h_before) in batch.rows().zip(&all) {
                assert_eq!(now.detect_reset(&before), h_now.detect_reset(h_before), "{h_now:?} {h_before:?}");
            }
        }
    }
}
