//! Query data: `{"resultType":..,"result":..}`, made piece by piece so that a long answer never lies in memory twice.

use std::collections::VecDeque;

use tithon_chunks::{FloatHistogram, Samples};
use tithon_promql::{Analysis, MatrixSeries, QueryStats, Sample, Value, VectorSample};

use super::histogram::push_histogram;
use super::plan::push_analysis;
use super::points::PointWriter;
use super::{push_labels, push_scalar_value, push_seconds, push_text, push_timestamp, push_value};
use crate::options::Dialect;

/// A piece is sent when it has this many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Encodes a query's value; an iterator of pieces.
pub(crate) struct ResultEncoder {
    items: VecDeque<Item>,
    head: Option<Vec<u8>>,
    tail: Option<Vec<u8>>,
    first: bool,
    points: PointWriter,
}

enum Item {
    Sample(VectorSample),
    Series(MatrixSeries),
}

impl ResultEncoder {
    /// An encoder of `value`, with statistics and costs if they are wanted.
    pub(crate) fn new(
        value: Value,
        stats: Option<&QueryStats>,
        analysis: Option<&Analysis>,
        dialect: Dialect,
    ) -> ResultEncoder {
        let mut head = br#"{"resultType":""#.to_vec();
        head.extend_from_slice(type_name(&value).as_bytes());
        head.extend_from_slice(br#"","result":["#);
        let mut items = VecDeque::new();
        match value {
            Value::Scalar { t, v } => {
                push_seconds(&mut head, t.0);
                head.extend_from_slice(b",\"");
                push_scalar_value(&mut head, v);
                head.push(b'"');
            }
            Value::String { t, v } => {
                push_seconds(&mut head, t.0);
                head.push(b',');
                push_text(&mut head, &v);
            }
            Value::Vector(samples) => items.extend(samples.into_iter().map(Item::Sample)),
            Value::Matrix(series) => items.extend(series.into_iter().map(Item::Series)),
        }
        let mut tail = b"]".to_vec();
        if let Some(stats) = stats {
            push_stats(&mut tail, stats);
        }
        match analysis {
            Some(analysis) => {
                tail.extend_from_slice(br#","analysis":"#);
                push_analysis(&mut tail, analysis);
            }
            None if dialect == Dialect::Thanos => tail.extend_from_slice(br#","analysis":{}"#),
            None => {}
        }
        tail.push(b'}');
        ResultEncoder {
            items,
            head: Some(head),
            tail: Some(tail),
            first: true,
            points: PointWriter::default(),
        }
    }
}

impl Iterator for ResultEncoder {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut out = self.head.take().unwrap_or_default();
        out.reserve(PIECE_BYTES);
        while out.len() < PIECE_BYTES
            && let Some(item) = self.items.pop_front()
        {
            if !std::mem::take(&mut self.first) {
                out.push(b',');
            }
            match item {
                Item::Sample(sample) => push_sample(&mut out, &sample),
                Item::Series(series) => push_series(&mut out, &series, &mut self.points),
            }
        }
        if self.items.is_empty()
            && let Some(tail) = self.tail.take()
        {
            out.extend_from_slice(&tail);
        }
        (!out.is_empty()).then_some(out)
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Scalar { .. } => "scalar",
        Value::String { .. } => "string",
        Value::Vector(_) => "vector",
        Value::Matrix(_) => "matrix",
    }
}

fn push_sample(out: &mut Vec<u8>, sample: &VectorSample) {
    out.extend_from_slice(br#"{"metric":"#);
    push_labels(out, &sample.labels);
    match &sample.sample {
        Sample::Float(v) => {
            out.extend_from_slice(br#","value":"#);
            push_point(out, sample.t.0, *v);
        }
        Sample::Histogram(h) => {
            out.extend_from_slice(br#","histogram":"#);
            push_histogram_point(out, sample.t.0, h);
        }
    }
    out.push(b'}');
}

fn push_series(out: &mut Vec<u8>, series: &MatrixSeries, points: &mut PointWriter) {
    out.extend_from_slice(br#"{"metric":"#);
    push_labels(out, &series.labels);
    let Samples { floats, histograms, .. } = &series.samples;
    if !floats.is_empty() {
        out.extend_from_slice(br#","values":["#);
        points.push_all(out, &floats.timestamps, &floats.values);
        out.push(b']');
    }
    if !histograms.timestamps.is_empty() {
        out.extend_from_slice(br#","histograms":["#);
        for (i, (t, h)) in histograms.timestamps.iter().zip(&histograms.values).enumerate() {
            if i > 0 {
                out.push(b',');
            }
            push_histogram_point(out, *t, h);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn push_point(out: &mut Vec<u8>, t: i64, v: f64) {
    out.push(b'[');
    push_timestamp(out, t);
    out.extend_from_slice(b",\"");
    push_value(out, v);
    out.extend_from_slice(b"\"]");
}

fn push_histogram_point(out: &mut Vec<u8>, t: i64, h: &FloatHistogram) {
    out.push(b'[');
    push_timestamp(out, t);
    out.push(b',');
    push_histogram(out, h);
    out.push(b']');
}

/// Timings are not told apart: all are zero, as Thanos's are with its own engine.
fn push_stats(out: &mut Vec<u8>, stats: &QueryStats) {
    let text = format!(
        concat!(
            r#","stats":{{"timings":{{"evalTotalTime":0,"resultSortTime":0,"queryPreparationTime":0,"#,
            r#""innerEvalTime":0,"execQueueTime":0,"execTotalTime":0}},"#,
            r#""samples":{{"totalQueryableSamples":{},"peakSamples":{}}}}}"#
        ),
        stats.total_samples, stats.peak_samples
    );
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use tithon_chunks::{SampleBatch, Timestamp};
    use tithon_index::Labels;

    use super::*;

    fn json(value: Value) -> String {
        let pieces: Vec<u8> = ResultEncoder::new(value, None, None, Dialect::Prometheus).flatten().collect();
        String::from_utf8(pieces).expect("UTF-8")
    }

    #[test]
    fn every_type() {
        let t = Timestamp(1_500);
        assert_eq!(
            json(Value::Scalar { t, v: 1e-7 }),
            r#"{"resultType":"scalar","result":[1.5,"0.0000001"]}"#
        );
        let text = Value::String { t, v: b"a<b".as_slice().into() };
        assert_eq!(json(text), r#"{"resultType":"string","result":[1.5,"a\u003cb"]}"#);
        assert_eq!(json(Value::Vector(Vec::new())), r#"{"resultType":"vector","result":[]}"#);
        let labels = Labels::from_pairs([("a", "<")]);
        let sample = VectorSample { labels: labels.clone(), t, sample: Sample::Float(1e-7) };
        let expected = r#"{"resultType":"vector","result":[{"metric":{"a":"<"},"value":[1.500,"1e-07"]}]}"#;
        assert_eq!(json(Value::Vector(vec![sample])), expected);
        let floats = SampleBatch { timestamps: vec![1_000, 2_000], values: vec![1.0, f64::NAN] };
        let samples = Samples { floats, ..Samples::default() };
        let expected =
            r#"{"resultType":"matrix","result":[{"metric":{"a":"<"},"values":[[1,"1"],[2,"NaN"]]}]}"#;
        assert_eq!(json(Value::Matrix(vec![MatrixSeries { labels, samples }])), expected);
    }

    #[test]
    fn long_answers_come_in_pieces() {
        let floats =
            SampleBatch { timestamps: (0..5_000).map(|i| i * 1000).collect(), values: vec![0.5; 5_000] };
        let series = |i: usize| MatrixSeries {
            labels: Labels::from_pairs([("i", i.to_string())]),
            samples: Samples { floats: floats.clone(), ..Samples::default() },
        };
        let value = Value::Matrix((0..20).map(series).collect());
        let pieces: Vec<Vec<u8>> = ResultEncoder::new(value, None, None, Dialect::Thanos).collect();
        assert!(pieces.len() >= 10);
        let whole: serde_json::Value = serde_json::from_slice(&pieces.concat()).expect("JSON");
        assert_eq!(whole["result"].as_array().map(Vec::len), Some(20));
        assert_eq!(whole["analysis"], serde_json::json!({}));
    }
}
