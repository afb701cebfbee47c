//! Prometheus's remote write 1.0 and 2.0: series with one sample each. Prometheus `prompb/remote.proto`,
//! `prompb/io/prometheus/write/v2/types.proto`.
//!
//! Thanos's `WriteRequest` begins as Prometheus's does; its other fields stay empty.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use tithon_chunks::FloatHistogram;
use tithon_index::Labels;

use super::{labels_from_wire, labels_to_wire, points_to_wire};
use crate::ConvertError;
use crate::prometheus_copy::{TimeSeries, WriteV2Request, WriteV2Series};
use crate::thanos::WriteRequest;

/// The version of remote write that a server is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteVersion {
    /// `prometheus.WriteRequest`
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// The value of a sample that is written.
#[derive(Clone, Copy, Debug)]
pub enum WrittenValue<'a> {
    /// A float.
    Float(f64),
    /// A native histogram.
    Histogram(&'a FloatHistogram),
}

/// A request of version 1 with samples: series, time in milliseconds and value; encoded, not compressed.
pub fn write_request<'a>(samples: impl IntoIterator<Item = (&'a Labels, i64, WrittenValue<'a>)>) -> Vec<u8> {
    let one = |(labels, at, value): (&Labels, i64, WrittenValue<'_>)| match value {
        WrittenValue::Float(value) => points_to_wire(labels, [(at, value)], []),
        WrittenValue::Histogram(histogram) => points_to_wire(labels, [], [(at, histogram)]),
    };
    WriteRequest { timeseries: samples.into_iter().map(one).collect(), ..WriteRequest::default() }
        .encode_to_vec()
}

/// One request of several of version 1, in their order, with the labels that `relabel` makes; series for which it makes none are left
/// out. The number tells how many series are in it. Fails on a request that cannot be read.
pub fn joined_write_request<'a>(
    requests: impl IntoIterator<Item = &'a [u8]>,
    mut relabel: impl FnMut(&Labels) -> Option<Labels>,
    version: WriteVersion,
) -> Result<(Vec<u8>, usize), ConvertError> {
    let mut all: Vec<(Labels, TimeSeries)> = Vec::new();
    for request in requests {
        let decoded = WriteRequest::decode(request).map_err(|error| ConvertError::Message {
            message: "prometheus.WriteRequest",
            error: error.to_string(),
        })?;
        let relabelled = decoded.timeseries.into_iter().filter_map(|series| {
            let labels = relabel(&labels_from_wire(&series.labels))?;
            Some((labels, series))
        });
        all.extend(relabelled);
    }
    let n_series = all.len();
    let encoded = match version {
        WriteVersion::V1 => version_1(all).encode_to_vec(),
        WriteVersion::V2 => version_2(all).encode_to_vec(),
    };
    Ok((encoded, n_series))
}

fn version_1(all: Vec<(Labels, TimeSeries)>) -> WriteRequest {
    let one =
        |(labels, series): (Labels, TimeSeries)| TimeSeries { labels: labels_to_wire(&labels), ..series };
    WriteRequest { timeseries: all.into_iter().map(one).collect(), ..WriteRequest::default() }
}

fn version_2(all: Vec<(Labels, TimeSeries)>) -> WriteV2Request {
    let mut numbers = HashMap::from([(Bytes::new(), 0)]);
    let mut request = WriteV2Request { symbols: vec![Bytes::new()], timeseries: Vec::new() };
    for (labels, series) in all {
        let mut number = |text: &[u8]| {
            *numbers.entry(Bytes::copy_from_slice(text)).or_insert_with_key(|text| {
                request.symbols.push(text.clone());
                request.symbols.len() as u32 - 1
            })
        };
        let labels_refs = labels.iter().flat_map(|(name, value)| [number(name), number(value)]).collect();
        let TimeSeries { samples, histograms, .. } = series;
        request.timeseries.push(WriteV2Series { labels_refs, samples, histograms });
    }
    request
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
        let (joined, n) = joined_write_request([&one[..], &one[..]], keep_b, WriteVersion::V1).unwrap();
        assert_eq!(n, 2);
        let decoded = WriteRequest::decode(&joined[..]).unwrap();
        let labels = labels_from_wire(&decoded.timeseries[1].labels);
        assert_eq!(labels, Labels::from_pairs([("b", "2"), ("x", "y")]));
        assert_eq!(decoded.timeseries[1].samples[0].timestamp, 6);
        assert!(joined_write_request([&b"\xff"[..]], keep_b, WriteVersion::V1).is_err());
    }

    #[test]
    fn texts_of_version_2_are_symbols() {
        let histogram = FloatHistogram { count: 2.0, sum: 3.0, ..FloatHistogram::default() };
        let (a, b) = (Labels::from_pairs([("a", "1")]), Labels::from_pairs([("1", "a")]));
        let one = write_request([(&a, 5, WrittenValue::Float(1.5))]);
        let two = write_request([(&b, 6, WrittenValue::Histogram(&histogram))]);
        let (joined, n) =
            joined_write_request([&one[..], &two[..]], |labels| Some(labels.clone()), WriteVersion::V2)
                .unwrap();
        assert_eq!(n, 2);
        // symbols "", "a", "1"; timeseries { labels_refs [1, 2], samples { value 1.5, timestamp 5 } }
        let symbols = [34, 0, 34, 1, b'a', 34, 1, b'1'];
        let first = [&[42, 17, 10, 2, 1, 2, 18, 11, 9][..], &1.5f64.to_le_bytes(), &[16, 5]].concat();
        // timeseries { labels_refs [2, 1], histograms { count_float 2, sum 3, .. } }
        assert_eq!(&joined[..8], symbols);
        assert_eq!(&joined[8..27], first);
        assert_eq!((joined[27], &joined[29..34]), (42, &[10, 2, 2, 1, 26][..]));
        let decoded = WriteV2Request::decode(&joined[..]).unwrap();
        let written = &decoded.timeseries[1].histograms[0];
        let expected = points_to_wire(&b, [], [(6, &histogram)]).histograms.remove(0);
        assert_eq!(*written, expected);
    }
}
