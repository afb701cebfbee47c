//! The answers of subjects, and their comparison.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::wire::Content;

/// A subject's answer to a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// No content to compare.
    Nothing,
    /// The content of a `Series` stream.
    Frames(Content),
    /// Label values.
    Values(Vec<Vec<u8>>),
    /// The body of an answer of the HTTP API.
    Json(Vec<u8>),
    /// A description of each block in a bucket.
    Blocks(Vec<String>),
}

impl Answer {
    /// Describes the difference to `other`; `None` when the answers are equal.
    pub(crate) fn difference(&self, other: &Answer) -> Option<String> {
        match (self, other) {
            (Answer::Nothing, _) | (_, Answer::Nothing) => None,
            (Answer::Frames(a), Answer::Frames(b)) => frames(a, b),
            (Answer::Values(a), Answer::Values(b)) if a == b => None,
            (Answer::Values(a), Answer::Values(b)) => {
                let first = a.iter().zip(b).find(|(a, b)| a != b);
                let shown = first.map(|(a, b)| format!(", first {:?} and {:?}", text(a), text(b)));
                Some(format!("{} and {} values{}", a.len(), b.len(), shown.unwrap_or_default()))
            }
            (Answer::Json(a), Answer::Json(b)) if a == b => None,
            (Answer::Json(a), Answer::Json(b)) => json(a, b),
            (Answer::Blocks(a), Answer::Blocks(b)) if a == b => None,
            (Answer::Blocks(a), Answer::Blocks(b)) => {
                let other = a.iter().zip(b).find(|(a, b)| a != b);
                Some(match other {
                    Some((a, b)) => format!("blocks: {a} and {b}"),
                    None => format!("{} and {} blocks", a.len(), b.len()),
                })
            }
            _ => Some("answers of different kinds".to_owned()),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn frames(a: &Content, b: &Content) -> Option<String> {
    for (name, a, b) in
        [("series", a.series, b.series), ("chunks", a.chunks, b.chunks), ("samples", a.samples, b.samples)]
    {
        if a != b {
            return Some(format!("{a} and {b} {name}"));
        }
    }
    (a.checksum != b.checksum).then(|| "the same counts, but other labels or chunk bytes".to_owned())
}

/// The fields of an answer of `/api/v1/query` and `/api/v1/query_range` that hold values.
#[derive(Deserialize)]
struct Body {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    value: Option<(f64, String)>,
    #[serde(default)]
    histograms: serde_json::Value,
    #[serde(default)]
    histogram: serde_json::Value,
}

/// Compares two answers whose texts differ: series by labels, then their values.
fn json(a: &[u8], b: &[u8]) -> Option<String> {
    let (a, b) = match (parse(a), parse(b)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(error), _) | (_, Err(error)) => return Some(format!("an answer is not understood: {error}")),
    };
    if let Some(labels) = a.keys().find(|labels| !b.contains_key(*labels)) {
        return Some(format!("{} and {} series; {} is missing", a.len(), b.len(), shown(labels)));
    }
    if let Some(labels) = b.keys().find(|labels| !a.contains_key(*labels)) {
        return Some(format!("{} and {} series; {} is too many", a.len(), b.len(), shown(labels)));
    }
    let mut first = None;
    let (mut largest, mut n_series) = (0f64, 0);
    for (labels, a) in &a {
        let difference = b.get(labels).map_or(f64::INFINITY, |b| series_difference(a, b));
        if difference > 0.0 {
            first.get_or_insert(labels);
            n_series += 1;
            largest = largest.max(difference);
        }
    }
    first.map(|labels| {
        let by =
            if largest.is_finite() { format!("by {largest:.1e} at most") } else { "in samples".to_owned() };
        format!("{n_series} of {} series differ {by}, first {}", a.len(), shown(labels))
    })
}

fn parse(text: &[u8]) -> Result<BTreeMap<BTreeMap<String, String>, Series>, serde_json::Error> {
    let body: Body = serde_json::from_slice(text)?;
    let list: Vec<Series> = match body.data.kind.as_str() {
        "matrix" | "vector" => serde_json::from_value(body.data.result)?,
        // A scalar or string counts as a series without labels.
        _ => {
            let value = Some(serde_json::from_value(body.data.result)?);
            let (values, metric) = (Vec::new(), BTreeMap::new());
            let (histograms, histogram) = Default::default();
            vec![Series { metric, values, value, histograms, histogram }]
        }
    };
    Ok(list.into_iter().map(|series| (series.metric.clone(), series)).collect())
}

/// The largest relative difference between the values of two series; infinite when timestamps or histograms differ.
fn series_difference(a: &Series, b: &Series) -> f64 {
    let (left, right) = (a.values.iter().chain(&a.value), b.values.iter().chain(&b.value));
    let (n_left, n_right) = (left.clone().count(), right.clone().count());
    if n_left != n_right || a.histograms != b.histograms || a.histogram != b.histogram {
        return f64::INFINITY;
    }
    left.zip(right)
        .map(|(a, b)| if a.0 == b.0 { value_difference(&a.1, &b.1) } else { f64::INFINITY })
        .fold(0.0, f64::max)
}

fn value_difference(a: &str, b: &str) -> f64 {
    if a == b {
        return 0.0;
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) if a == b => 0.0,
        (Ok(a), Ok(b)) if a.is_finite() && b.is_finite() => (a - b).abs() / a.abs().max(b.abs()),
        _ => f64::INFINITY,
    }
}

fn shown(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(series: &str) -> Answer {
        Answer::Json(
            format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}}}}"#).into(),
        )
    }

    fn check(a: &str, b: &str, expected: Option<&str>) {
        let found = matrix(a).difference(&matrix(b));
        assert_eq!(found.as_deref(), expected, "{a} {b}");
    }

    #[test]
    fn what_differs_in_two_matrices_is_named() {
        let x = r#"{"metric":{"a":"x"},"values":[[1,"2"],[2,"4"]]}"#;
        let y = r#"{"metric":{"a":"y"},"values":[[1,"1"]]}"#;
        check(x, x, None);
        check(&format!("{x},{y}"), &format!("{y},{x}"), None);
        check(x, &format!("{x},{y}"), Some(r#"1 and 2 series; {a="y"} is too many"#));
        check(&format!("{x},{y}"), x, Some(r#"2 and 1 series; {a="y"} is missing"#));
        let close = r#"{"metric":{"a":"x"},"values":[[1,"2.002"],[2,"4"]]}"#;
        check(x, close, Some(r#"1 of 1 series differ by 1.0e-3 at most, first {a="x"}"#));
        let late = r#"{"metric":{"a":"x"},"values":[[1,"2"],[3,"4"]]}"#;
        check(x, late, Some(r#"1 of 1 series differ in samples, first {a="x"}"#));
        let same = r#"{"metric":{"a":"x"},"values":[[1,"2e0"],[2,"4"]]}"#;
        check(x, same, None);
    }

    #[test]
    fn other_answers_are_compared_by_what_they_hold() {
        let values = |list: &[&str]| Answer::Values(list.iter().map(|v| v.as_bytes().to_vec()).collect());
        assert_eq!(values(&["a", "b"]).difference(&values(&["a", "b"])), None);
        let different = values(&["a", "b"]).difference(&values(&["a", "c"]));
        assert_eq!(different.as_deref(), Some(r#"2 and 2 values, first "b" and "c""#));
        let frames = |samples, checksum| {
            let mut content = Content::default();
            (content.samples, content.checksum) = (samples, checksum);
            Answer::Frames(content)
        };
        assert_eq!(frames(1, 2).difference(&frames(1, 2)), None);
        assert_eq!(frames(1, 2).difference(&frames(3, 2)).as_deref(), Some("1 and 3 samples"));
        assert!(frames(1, 2).difference(&frames(1, 3)).is_some());
        assert_eq!(Answer::Nothing.difference(&values(&["a"])), None);
        let broken = Answer::Json(b"{".to_vec()).difference(&matrix(""));
        assert!(broken.is_some_and(|text| text.contains("not understood")));
    }
}
