//! Answers as comparable text.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use tithon_chunks::FloatHistogram;
use tithon_index::Labels;
use tithon_promql::format::{positional, sample_value};
use tithon_promql::{QueryError, Sample, Value};

/// An answer: its type or error, and its samples by label set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) kind: String,
    series: BTreeMap<String, Vec<String>>,
}

pub(crate) fn error(error: &QueryError) -> Answer {
    Answer { kind: format!("error: {error}"), series: BTreeMap::new() }
}

pub(crate) fn expected(record: &Json) -> Answer {
    let body = &record["body"];
    if body["status"] != "success" {
        let text = body["error"].as_str().unwrap_or_default();
        let text = text.strip_prefix("invalid parameter \"query\": ").unwrap_or(text);
        return Answer { kind: format!("error: {text}"), series: BTreeMap::new() };
    }
    let data = &body["data"];
    let kind = data["resultType"].as_str().unwrap_or_default();
    let mut series = BTreeMap::new();
    if kind == "scalar" || kind == "string" {
        series.insert(String::new(), vec![point(&data["result"])]);
    } else {
        for one in data["result"].as_array().into_iter().flatten() {
            let mut points = Vec::new();
            for key in ["value", "histogram"] {
                if one[key].is_array() {
                    points.push(point(&one[key]));
                }
            }
            for key in ["values", "histograms"] {
                points.extend(one[key].as_array().into_iter().flatten().map(point));
            }
            series.insert(one["metric"].to_string(), points);
        }
    }
    Answer { kind: kind.to_owned(), series }
}

fn point(pair: &Json) -> String {
    let t = (pair[0].as_f64().unwrap_or(f64::NAN) * 1000.0).round() as i64;
    match &pair[1] {
        Json::String(v) => format!("{t} {v}"),
        h => format!("{t} {h}"),
    }
}

pub(crate) fn result(value: &Value) -> Answer {
    let mut series = BTreeMap::new();
    let kind = match value {
        Value::Scalar { t, v } => {
            series.insert(String::new(), vec![format!("{} {}", t.0, positional(*v))]);
            "scalar"
        }
        Value::String { t, v } => {
            series.insert(String::new(), vec![format!("{} {}", t.0, String::from_utf8_lossy(v))]);
            "string"
        }
        Value::Vector(samples) => {
            for s in samples {
                let text = match &s.sample {
                    Sample::Float(v) => sample_value(*v),
                    Sample::Histogram(h) => histogram(h).to_string(),
                };
                series.insert(metric(&s.labels), vec![format!("{} {text}", s.t.0)]);
            }
            "vector"
        }
        Value::Matrix(matrix) => {
            for s in matrix {
                let (f, h) = (&s.samples.floats, &s.samples.histograms);
                let mut points: Vec<String> = f
                    .timestamps
                    .iter()
                    .zip(&f.values)
                    .map(|(t, v)| format!("{t} {}", sample_value(*v)))
                    .collect();
                points
                    .extend(h.timestamps.iter().zip(&h.values).map(|(t, h)| format!("{t} {}", histogram(h))));
                series.insert(metric(&s.labels), points);
            }
            "matrix"
        }
    };
    Answer { kind: kind.to_owned(), series }
}

fn metric(labels: &Labels) -> String {
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let map: serde_json::Map<String, Json> =
        labels.iter().map(|(n, v)| (text(n), Json::String(text(v)))).collect();
    Json::Object(map).to_string()
}

fn histogram(h: &FloatHistogram) -> Json {
    let mut buckets = Vec::new();
    for b in h.all_buckets().filter(|b| b.count != 0.0) {
        let kind = match (b.lower_inclusive, b.upper_inclusive) {
            (false, true) => 0,
            (true, false) => 1,
            (false, false) => 2,
            (true, true) => 3,
        };
        let text = |v: f64| Json::String(sample_value(v));
        buckets.push(Json::Array(vec![kind.into(), text(b.lower), text(b.upper), text(b.count)]));
    }
    let mut map = serde_json::Map::new();
    map.insert("count".into(), sample_value(h.count).into());
    map.insert("sum".into(), sample_value(h.sum).into());
    if !buckets.is_empty() {
        map.insert("buckets".into(), buckets.into());
    }
    Json::Object(map)
}

/// The entries of `a` that `b` does not have.
pub(crate) fn difference(a: &Answer, b: &Answer) -> String {
    let mut out = a.kind.clone();
    for (metric, points) in &a.series {
        let other = b.series.get(metric);
        if other == Some(points) {
            continue;
        }
        let missing: Vec<&String> =
            points.iter().filter(|p| other.is_none_or(|other| !other.contains(p))).take(3).collect();
        out.push_str(&format!(" | {metric} ({}): {missing:?}", points.len()));
    }
    out
}

/// Whether warnings and infos are the same, positions included.
pub(crate) fn same_notes(record: &Json, notes: &(Vec<String>, Vec<String>)) -> bool {
    let list = |key: &str| -> Vec<String> {
        let mut list: Vec<String> = record["body"][key]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect();
        list.sort();
        list
    };
    let (mut warnings, mut infos) = notes.clone();
    warnings.sort();
    infos.sort();
    (list("warnings"), list("infos")) == (warnings, infos)
}
