//! Prometheus's remote write 1.0: series with one sample each. Prometheus `prompb/remote.proto`.
//!
//! Thanos's `WriteRequest` begins as Prometheus's does; its other fields stay empty.

use prost::Message;
use tithon_chunks::FloatHistogram;
use tithon_index::Labels;

use super::{labels_from_wire, labels_to_wire, points_to_wire};
use crate::ConvertError;
use crate::thanos::WriteRequest;

/// The value of a sample that is written.
#[derive(Clone, Copy, Debug)]
pub enum WrittenValue<'a> {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(&'a FloatHistogram),
}

/// A request with samples: series, time in milliseconds and value; encoded, not compressed.
pub fn write_request<'a>(samples: impl IntoIterator<Item = (&'a Labels, i64, WrittenValue<'a>)>) -> Vec<u8> {
    let one = |(labels, at, value): (&Labels, i64, WrittenValue<'_>)| match value {
        WrittenValue::Float(value) => points_to_wire(labels, [(at, value)], []),
        WrittenValue::Histogram(histogram) => points_to_wire(labels, [], [(at, histogram)]),
    };
    WriteRequest { timeseries: samples.into_iter().map(one).collect(), ..WriteRequest::default() }
        .encode_to_vec()
}

/// One request of several, in their order, with the labels that `relabel` makes; series for which it makes none are left out.
/// The number tells how many series are in it. Fails on a request that cannot be read.
pub fn joined_write_request<'a>(
    requests: impl IntoIterator<Item = &'a [u8]>,
    mut relabel: impl FnMut(&Labels) -> Option<Labels>,
) -> Result<(Vec<u8>, usize), ConvertError> {
    let mut joined = WriteRequest::default();
    for request in requests {
        let decoded = WriteRequest::decode(request).map_err(|error| ConvertError::Message {
            message: "prometheus.WriteRequest",
            error: error.to_string(),
        })?;
        for mut series in decoded.timeseries {
            if let Some(labels) = relabel(&labels_from_wire(&series.labels)) {
                series.labels = labels_to_wire(&labels);
                joined.timeseries.push(series);
            }
        }
    }
    Ok((joined.encode_to_vec(), joined.timeseries.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_joined_and_relabelled() {
        let (a, b) = (Labels::from_pairs([("a", "1")]), Labels::from_pairs([("b", "2")]));
        let one = write_request([(&a, 5, WrittenValue::Float(1.5)), (&b, 6, WrittenValue::Float(2.0))]);
        // timeseries { labels { name a, value 1 }, samples { value 1.5, timestamp 5 } }
        let expected =
            [&[10, 21, 10, 6, 10, 1, b'a', 18, 1, b'1', 18, 11, 9][..], &1.5f64.to_le_bytes(), &[16, 5]]
                .concat();
        assert_eq!(&one[..expected.len()], expected);
        let keep_b = |labels: &Labels| {
            (labels.get("b").is_some()).then(|| labels.to_builder().set(b"x", b"y").finish())
        };
        let (joined, n) = joined_write_request([&one[..], &one[..]], keep_b).unwrap();
        assert_eq!(n, 2);
        let decoded = WriteRequest::decode(&joined[..]).unwrap();
        let labels = labels_from_wire(&decoded.timeseries[1].labels);
        assert_eq!(labels, Labels::from_pairs([("b", "2"), ("x", "y")]));
        assert_eq!(decoded.timeseries[1].samples[0].timestamp, 6);
        assert!(joined_write_request([&b"\xff"[..]], keep_b).is_err());
    }
}
