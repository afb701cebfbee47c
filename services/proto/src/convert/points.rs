//! Samples of query results on the wire and back, as Prometheus's remote read has them.

use tithon_chunks::{CounterResetHint, FloatHistogram, Span};
use tithon_index::Labels;

use super::{labels_from_wire, labels_to_wire};
use crate::prometheus_copy::histogram::{Count, ZeroCount};
use crate::prometheus_copy::{BucketSpan, Histogram, Sample, TimeSeries};

/// A series of a result: floats and histograms by time in milliseconds.
pub fn points_to_wire<'a>(
    labels: &Labels,
    floats: impl IntoIterator<Item = (i64, f64)>,
    histograms: impl IntoIterator<Item = (i64, &'a FloatHistogram)>,
) -> TimeSeries {
    TimeSeries {
        labels: labels_to_wire(labels),
        samples: floats.into_iter().map(|(timestamp, value)| Sample { value, timestamp }).collect(),
        histograms: histograms.into_iter().map(|(t, h)| histogram_to_wire(t, h)).collect(),
        exemplars: Vec::new(),
    }
}

pub(super) fn histogram_to_wire(timestamp: i64, histogram: &FloatHistogram) -> Histogram {
    let spans = |spans: &[Span]| -> Vec<BucketSpan> {
        spans.iter().map(|span| BucketSpan { offset: span.offset, length: span.length }).collect()
    };
    Histogram {
        sum: histogram.sum,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        negative_spans: spans(&histogram.negative_spans),
        negative_deltas: Vec::new(),
        negative_counts: histogram.negative_buckets.clone(),
        positive_spans: spans(&histogram.positive_spans),
        positive_deltas: Vec::new(),
        positive_counts: histogram.positive_buckets.clone(),
        reset_hint: histogram.counter_reset_hint as i32,
        timestamp,
        custom_values: histogram.custom_values.clone(),
        count: Some(Count::CountFloat(histogram.count)),
        zero_count: Some(ZeroCount::ZeroCountFloat(histogram.zero_count)),
    }
}

/// The floats and histograms of a series, by time in milliseconds.
pub struct Points {
    /// The series.
    pub labels: Labels,
    /// Times and values.
    pub floats: Vec<(i64, f64)>,
    /// Times and values.
    pub histograms: Vec<(i64, FloatHistogram)>,
}

/// A series of a result as it came.
pub fn points_from_wire(series: &TimeSeries) -> Points {
    Points {
        labels: labels_from_wire(&series.labels),
        floats: series.samples.iter().map(|sample| (sample.timestamp, sample.value)).collect(),
        histograms: series.histograms.iter().map(|one| (one.timestamp, histogram_from_wire(one))).collect(),
    }
}

pub(super) fn histogram_from_wire(wire: &Histogram) -> FloatHistogram {
    let spans = |spans: &[BucketSpan]| -> Vec<Span> {
        spans.iter().map(|span| Span { offset: span.offset, length: span.length }).collect()
    };
    // Counts come as floats, or as integers: the first one, then differences.
    let buckets = |floats: &[f64], deltas: &[i64]| -> Vec<f64> {
        if !floats.is_empty() {
            return floats.to_vec();
        }
        let counts = deltas.iter().scan(0_i64, |count, delta| {
            *count = count.wrapping_add(*delta);
            Some(*count as f64)
        });
        counts.collect()
    };
    let hints = [
        CounterResetHint::Unknown,
        CounterResetHint::Reset,
        CounterResetHint::NotReset,
        CounterResetHint::Gauge,
    ];
    let hint = usize::try_from(wire.reset_hint).ok().and_then(|hint| hints.get(hint).copied());
    FloatHistogram {
        counter_reset_hint: hint.unwrap_or_default(),
        schema: wire.schema,
        zero_threshold: wire.zero_threshold,
        zero_count: match wire.zero_count {
            Some(ZeroCount::ZeroCountFloat(count)) => count,
            Some(ZeroCount::ZeroCountInt(count)) => count as f64,
            None => 0.0,
        },
        count: match wire.count {
            Some(Count::CountFloat(count)) => count,
            Some(Count::CountInt(count)) => count as f64,
            None => 0.0,
        },
        sum: wire.sum,
        positive_buckets: buckets(&wire.positive_counts, &wire.positive_deltas),
        negative_buckets: buckets(&wire.negative_counts, &wire.negative_deltas),
        positive_spans: spans(&wire.positive_spans),
        negative_spans: spans(&wire.negative_spans),
        custom_values: wire.custom_values.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let histogram = FloatHistogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: 1,
            count: 3.5,
            sum: 2.0,
            positive_spans: vec![Span { offset: -1, length: 2 }],
            positive_buckets: vec![1.0, 2.5],
            ..FloatHistogram::default()
        };
        let labels = Labels::from_pairs([("a", "b")]);
        let wire = points_to_wire(&labels, [(5, 1.5)], [(6, &histogram)]);
        let points = points_from_wire(&wire);
        assert_eq!((points.labels, points.floats), (labels, vec![(5, 1.5)]));
        assert_eq!(points.histograms, [(6, histogram)]);
    }
}
