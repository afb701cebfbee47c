//! Prometheus's remote read: the request, and answers as samples. Prometheus `prompb/remote.proto`.

use bytes::Bytes;
use prost::Message;
use tithon_chunks::TimeRange;
use tithon_index::{Labels, Matcher};

use super::{labels_from_wire, matcher_to_wire, unreadable};
use crate::ConvertError;
use crate::prometheus_copy::read_request::ResponseType;
use crate::prometheus_copy::{Query, ReadRequest, ReadResponse};

/// The request for all series of a range that satisfy `matchers`, as a stream of chunks, or as samples from a server that has no
/// such stream; encoded, not compressed.
pub fn read_request(matchers: &[Matcher], range: TimeRange) -> Vec<u8> {
    let query = Query {
        start_timestamp_ms: range.min.0,
        end_timestamp_ms: range.max.0,
        matchers: matchers.iter().map(matcher_to_wire).collect(),
        hints: None,
    };
    let accepted = [ResponseType::StreamedXorChunks, ResponseType::Samples];
    let accepted_response_types = accepted.into_iter().map(i32::from).collect();
    ReadRequest { queries: vec![query], accepted_response_types }.encode_to_vec()
}

/// A series of an answer with samples.
#[derive(Clone, Debug, PartialEq)]
pub struct SampledSeries {
    /// The labels that Prometheus gives it.
    pub labels: Labels,
    /// Times in milliseconds since 1970, ascending, with values.
    pub samples: Vec<(i64, f64)>,
}

/// The series of an answer with samples. Native histograms are left out, as Thanos
/// leaves them. Fails on an answer that cannot be read or is not that of one query.
pub fn sampled_series(answer: Bytes) -> Result<Vec<SampledSeries>, ConvertError> {
    let message = ReadResponse::decode(answer).map_err(unreadable("prometheus.ReadResponse"))?;
    let [result] = message.results.as_slice() else {
        return Err(ConvertError::Results(message.results.len()));
    };
    let series = result.timeseries.iter().map(|series| {
        let samples = series.samples.iter().map(|sample| (sample.timestamp, sample.value));
        SampledSeries { labels: labels_from_wire(&series.labels), samples: samples.collect() }
    });
    Ok(series.collect())
}

#[cfg(test)]
mod tests {
    use tithon_index::MatchOp;

    use super::*;
    use crate::prometheus_copy::{QueryResult, Sample, TimeSeries};
    use crate::thanos::Label;

    #[test]
    fn a_request_asks_for_chunks_first() {
        let matchers = [Matcher::new(MatchOp::Equal, "a", "b").unwrap()];
        let bytes = read_request(&matchers, TimeRange::new(1, 2));
        // queries { start 1, end 2, matchers { name a, value b } }, types [1, 0] packed
        let query = [8, 1, 16, 2, 26, 6, 18, 1, b'a', 26, 1, b'b'];
        let expected = [&[10, query.len() as u8], &query[..], &[18, 2, 1, 0]].concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn samples_of_an_answer() {
        let samples = vec![Sample { value: 1.5, timestamp: 10 }];
        let label = Label { name: "a".into(), value: "b".into() };
        let series = TimeSeries { labels: vec![label], samples, ..TimeSeries::default() };
        let result = QueryResult { timeseries: vec![series] };
        let one = ReadResponse { results: vec![result.clone()] };
        let expected =
            vec![SampledSeries { labels: Labels::from_pairs([("a", "b")]), samples: vec![(10, 1.5)] }];
        assert_eq!(sampled_series(one.encode_to_vec().into()).unwrap(), expected);
        let two = ReadResponse { results: vec![result.clone(), result] };
        assert_eq!(sampled_series(two.encode_to_vec().into()), Err(ConvertError::Results(2)));
    }
}
