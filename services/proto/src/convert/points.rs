//! Samples of query results on the wire, as Prometheus's remote read has them.

use tithon_chunks::{FloatHistogram, Span};
use tithon_index::Labels;

use super::labels_to_wire;
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

fn histogram_to_wire(timestamp: i64, histogram: &FloatHistogram) -> Histogram {
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
