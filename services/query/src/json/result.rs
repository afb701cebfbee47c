//! Writes query data, `{"resultType":..,"result":[..]}`, in parts: a long answer never lies in memory twice, and
//! several threads can write parts at the same time.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tithon_chunks::{FloatHistogram, Samples};
use tithon_promql::{Analysis, MatrixSeries, QueryStats, Sample, Value, VectorSample};

use super::histogram::push_histogram;
use super::plan::push_analysis;
use super::points::PointWriter;
use super::{push_labels, push_scalar_value, push_seconds, push_text, push_timestamp, push_value};
use crate::options::Dialect;

/// Number of points in a part: those of several series, or some of one long series.
const PART_POINTS: usize = 32 << 10;
/// Bytes of labels that count as one point, whose text is about as long.
const LABEL_BYTES_PER_POINT: usize = 32;
/// Points that a histogram counts as, by the length of its text.
const POINTS_PER_HISTOGRAM: usize = 16;

/// A part of an answer, yet to be written. Parts can be written in any order, and are sent in their order.
pub(crate) enum Part {
    /// Text that is written already.
    Text(Vec<u8>),
    /// Samples of a vector. The flag says whether other samples come before them, so that a comma is needed.
    Samples(Vec<VectorSample>, bool),
    /// Series of a matrix, with the same flag.
    Series(Vec<MatrixSeries>, bool),
    /// A range of the floats of a long series.
    Floats(Arc<MatrixSeries>, Range<usize>),
    /// A range of the histograms of a long series.
    Histograms(Arc<MatrixSeries>, Range<usize>),
}

/// How long the stages of a query took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timings {
    /// Waiting at the gate.
    pub(crate) queue: Duration,
    /// Parsing and planning.
    pub(crate) prepare: Duration,
    /// Fetching and evaluating, which go on at the same time; results are sorted in it.
    pub(crate) evaluate: Duration,
}

/// Cuts a query's value into parts, with statistics and costs if they are given.
pub(crate) fn parts(
    value: Value,
    stats: Option<(&QueryStats, Timings)>,
    analysis: Option<&Analysis>,
    dialect: Dialect,
) -> Vec<Part> {
    let mut head = br#"{"resultType":""#.to_vec();
    head.extend_from_slice(type_name(&value).as_bytes());
    head.extend_from_slice(br#"","result":["#);
    let mut tail = b"]".to_vec();
    if let Some((stats, timings)) = stats {
        push_stats(&mut tail, stats, timings);
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
    let mut parts = Vec::new();
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
        Value::Vector(samples) => {
            let points = |one: &VectorSample| 1 + one.labels.bytes() / LABEL_BYTES_PER_POINT;
            divide(samples, points, |samples, follows| parts.push(Part::Samples(samples, follows)));
        }
        Value::Matrix(series) => divide(series, weight, |mut series, follows| {
            // A series longer than a part is always the last of its group, and gets parts of its own.
            let long = series.pop_if(|last| weight(last) > PART_POINTS);
            let others = !series.is_empty();
            if others {
                parts.push(Part::Series(series, follows));
            }
            if let Some(long) = long {
                push_long(&mut parts, long, follows || others);
            }
        }),
    }
    parts.insert(0, Part::Text(head));
    parts.push(Part::Text(tail));
    parts
}

/// Size of a series in points; labels and histograms count by the length of their texts.
fn weight(series: &MatrixSeries) -> usize {
    series.samples.floats.len()
        + POINTS_PER_HISTOGRAM * series.samples.histograms.timestamps.len()
        + series.labels.bytes() / LABEL_BYTES_PER_POINT
}

/// Adds the parts of one long series.
fn push_long(parts: &mut Vec<Part>, series: MatrixSeries, follows: bool) {
    let mut head = Vec::new();
    push_comma(&mut head, follows);
    head.extend_from_slice(br#"{"metric":"#);
    push_labels(&mut head, &series.labels);
    let (n_floats, n_histograms) = (series.samples.floats.len(), series.samples.histograms.timestamps.len());
    let series = Arc::new(series);
    let pieces = |n: usize, size: usize| (0..n).step_by(size).map(move |at| at..n.min(at + size));
    if n_floats > 0 {
        head.extend_from_slice(br#","values":["#);
        parts.push(Part::Text(std::mem::take(&mut head)));
        parts.extend(pieces(n_floats, PART_POINTS).map(|range| Part::Floats(Arc::clone(&series), range)));
        head.push(b']');
    }
    if n_histograms > 0 {
        head.extend_from_slice(br#","histograms":["#);
        parts.push(Part::Text(std::mem::take(&mut head)));
        let pieces = pieces(n_histograms, PART_POINTS / POINTS_PER_HISTOGRAM);
        parts.extend(pieces.map(|range| Part::Histograms(Arc::clone(&series), range)));
        head.push(b']');
    }
    head.push(b'}');
    parts.push(Part::Text(head));
}

/// Passes the items to `emit` in groups of about [`PART_POINTS`]; its flag says whether another group came before.
fn divide<T>(items: Vec<T>, points: impl Fn(&T) -> usize, mut emit: impl FnMut(Vec<T>, bool)) {
    let (mut group, mut n, mut follows) = (Vec::new(), 0, false);
    for item in items {
        n += points(&item);
        group.push(item);
        if n >= PART_POINTS {
            emit(std::mem::take(&mut group), std::mem::replace(&mut follows, true));
            n = 0;
        }
    }
    if !group.is_empty() {
        emit(group, follows);
    }
}

impl Part {
    /// Whether writing the part takes less time than passing it to another thread, about a tenth of a millisecond.
    pub(crate) fn is_small(&self) -> bool {
        const SAMPLES: usize = 1024;
        const POINTS: usize = 8192;
        match self {
            Part::Text(_) => true,
            Part::Samples(samples, _) => samples.len() <= SAMPLES,
            Part::Series(series, _) => series.iter().map(weight).sum::<usize>() <= POINTS,
            Part::Floats(..) | Part::Histograms(..) => false,
        }
    }

    /// Writes the part.
    pub(crate) fn write(self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Part::Text(text) => out = text,
            Part::Samples(samples, follows) => {
                for (i, sample) in samples.into_iter().enumerate() {
                    push_comma(&mut out, follows || i > 0);
                    push_sample(&mut out, &sample);
                }
            }
            Part::Series(list, follows) => {
                let mut points = PointWriter::default();
                for (i, series) in list.into_iter().enumerate() {
                    push_comma(&mut out, follows || i > 0);
                    push_series(&mut out, &series, &mut points);
                }
            }
            Part::Floats(series, range) => {
                push_comma(&mut out, range.start > 0);
                let floats = &series.samples.floats;
                let (times, values) = (&floats.timestamps[range.clone()], &floats.values[range]);
                PointWriter::default().push_all(&mut out, times, values);
            }
            Part::Histograms(series, range) => {
                let histograms = &series.samples.histograms;
                for i in range {
                    push_comma(&mut out, i > 0);
                    push_histogram_point(&mut out, histograms.timestamps[i], &histograms.values[i]);
                }
            }
        }
        out
    }
}

fn push_comma(out: &mut Vec<u8>, wanted: bool) {
    if wanted {
        out.push(b',');
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

/// Seconds of the stages, and samples. Prometheus `util/stats/query_stats.go`.
fn push_stats(out: &mut Vec<u8>, stats: &QueryStats, timings: Timings) {
    let Timings { queue, prepare, evaluate } = timings;
    let stages = [
        (r#","stats":{"timings":{"evalTotalTime":"#, prepare + evaluate),
        (r#","resultSortTime":"#, Duration::ZERO),
        (r#","queryPreparationTime":"#, prepare),
        (r#","innerEvalTime":"#, evaluate),
        (r#","execQueueTime":"#, queue),
        (r#","execTotalTime":"#, queue + prepare + evaluate),
    ];
    for (name, took) in stages {
        out.extend_from_slice(name.as_bytes());
        push_value(out, took.as_secs_f64());
    }
    let (total, peak) = (stats.total_samples, stats.peak_samples);
    let samples = format!(r#"}},"samples":{{"totalQueryableSamples":{total},"peakSamples":{peak}}}}}"#);
    out.extend_from_slice(samples.as_bytes());
}

#[cfg(test)]
mod tests {
    use tithon_chunks::{SampleBatch, Timestamp};
    use tithon_index::Labels;

    use super::*;

    fn json(value: Value) -> String {
        let texts = parts(value, None, None, Dialect::Prometheus).into_iter().flat_map(Part::write);
        String::from_utf8(texts.collect()).expect("UTF-8")
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
    fn statistics() {
        let timings = Timings {
            queue: Duration::from_micros(1),
            prepare: Duration::from_millis(20),
            evaluate: Duration::from_secs(1),
        };
        let stats = QueryStats { total_samples: 7, samples_read: 5, peak_samples: 3 };
        let mut out = Vec::new();
        push_stats(&mut out, &stats, timings);
        let json: serde_json::Value =
            serde_json::from_slice(&[b"{\"x\":1", &out[..], b"}"].concat()).unwrap();
        let timings = &json["stats"]["timings"];
        assert_eq!((&timings["evalTotalTime"], &timings["execTotalTime"]), (&1.02.into(), &1.020001.into()));
        assert_eq!(
            (&timings["execQueueTime"], &timings["queryPreparationTime"]),
            (&1e-6.into(), &0.02.into())
        );
        assert_eq!(json["stats"]["samples"]["totalQueryableSamples"], 7);
    }

    #[test]
    fn long_answers_come_in_parts() {
        let floats =
            SampleBatch { timestamps: (0..5_000).map(|i| i * 1000).collect(), values: vec![0.5; 5_000] };
        let series = |i: usize| MatrixSeries {
            labels: Labels::from_pairs([("i", i.to_string())]),
            samples: Samples { floats: floats.clone(), ..Samples::default() },
        };
        let value = Value::Matrix((0..20).map(series).collect());
        let parts = parts(value, None, None, Dialect::Thanos);
        assert_eq!(parts.len(), 2 + 100_000_usize.div_ceil(35_000), "whole series only");
        let pieces: Vec<Vec<u8>> = parts.into_iter().map(Part::write).collect();
        let whole: serde_json::Value = serde_json::from_slice(&pieces.concat()).expect("JSON");
        assert_eq!(whole["result"].as_array().map(Vec::len), Some(20));
        assert_eq!(whole["analysis"], serde_json::json!({}));
    }

    #[test]
    fn a_long_series_comes_in_parts_too() {
        let series = |n: usize, n_histograms: usize| {
            let mut samples = Samples::default();
            (0..n).for_each(|i| samples.floats.push(Timestamp(i as i64 * 1000), 0.5));
            for i in 0..n_histograms {
                samples.histograms.timestamps.push((n + i) as i64 * 1000);
                samples.histograms.values.push(FloatHistogram::default());
            }
            MatrixSeries { labels: Labels::from_pairs([("n", n.to_string())]), samples }
        };
        let all = vec![series(3, 1), series(100_000, 5_000), series(2, 0), series(0, 9_000), series(1, 0)];
        let mut expected = Vec::new();
        super::super::push_list(&mut expected, &all, |out, series| {
            push_series(out, series, &mut PointWriter::default());
        });
        let parts = parts(Value::Matrix(all), None, None, Dialect::Prometheus);
        let pieces: Vec<Vec<u8>> = parts.into_iter().map(Part::write).collect();
        assert!(pieces.iter().all(|piece| piece.len() < 2 << 20), "no piece is long");
        let expected = String::from_utf8(expected).expect("UTF-8");
        let got = String::from_utf8(pieces.concat()).expect("UTF-8");
        assert_eq!(got, format!(r#"{{"resultType":"matrix","result":{expected}}}"#));
    }
}
