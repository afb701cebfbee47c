//! Answers of the query API. Prometheus `web/api/v1/api.go`.

use serde::Deserialize;
use tithon_index::Labels;
use tithon_proto::JsonLabels;

use crate::{Number, SeriesSample};

/// What a querier answered.
pub(super) struct Answer {
    /// Of a vector, of a scalar, or the last ones of a matrix; `None` for other results.
    pub(super) samples: Option<Vec<SeriesSample>>,
    /// Samples of native histograms, which are not among these.
    pub(super) n_histograms: usize,
    pub(super) warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(default)]
    status: String,
    data: Option<Data>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    error: String,
    #[serde(default, rename = "errorType")]
    error_type: String,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Series>),
    Matrix(Vec<Series>),
    Scalar(Point),
    String(serde::de::IgnoredAny),
}

type Point = (f64, String);

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    metric: JsonLabels,
    value: Option<Point>,
    #[serde(default)]
    values: Vec<Point>,
    histogram: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    histograms: Vec<serde::de::IgnoredAny>,
}

/// Takes an answer apart; one that tells of a failure is an error.
pub(super) fn parse_answer(status: u16, body: &[u8]) -> Result<Answer, String> {
    const SHOWN: usize = 512;
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(error) => {
            let start = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
            return Err(format!("status {status}, expected an answer of the query API: {error}: {start}"));
        }
    };
    if envelope.status != "success" {
        return Err(format!("status {status}, {}: {}", envelope.error_type, envelope.error));
    }
    let mut answer = Answer { samples: Some(Vec::new()), n_histograms: 0, warnings: envelope.warnings };
    let sample = |labels: Labels, (seconds, value): &Point| {
        let value = number(value)?;
        let at_ms = (seconds * 1000.0).round() as i64;
        Ok::<_, String>(SeriesSample { labels, at_ms, value: Number::Float(value) })
    };
    let mut samples = Vec::new();
    match envelope.data {
        Some(Data::Vector(series)) => {
            for one in series {
                answer.n_histograms += usize::from(one.histogram.is_some());
                if let Some(point) = &one.value {
                    samples.push(sample(one.metric.0, point)?);
                }
            }
        }
        Some(Data::Matrix(series)) => {
            for one in series {
                answer.n_histograms += one.histograms.len();
                if let Some(point) = one.values.last() {
                    samples.push(sample(one.metric.0, point)?);
                }
            }
        }
        Some(Data::Scalar(point)) => samples.push(sample(Labels::default(), &point)?),
        Some(Data::String(_)) | None => {
            answer.samples = None;
            return Ok(answer);
        }
    }
    answer.samples = Some(samples);
    Ok(answer)
}

fn number(text: &str) -> Result<f64, String> {
    text.trim_start_matches('+').parse().map_err(|_| format!("expected a number, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(body: &str) -> Result<Vec<(String, i64, f64)>, String> {
        let answer = parse_answer(200, body.as_bytes())?;
        let value = |sample: SeriesSample| match sample.value {
            Number::Float(value) => (sample.labels.to_string(), sample.at_ms, value),
            Number::Histogram(_) => unreachable!("not over HTTP"),
        };
        Ok(answer.samples.ok_or("no samples")?.into_iter().map(value).collect())
    }

    #[test]
    fn all_kinds_of_results() {
        let vector = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up","job":"a"},"value":[1.5,"+Inf"]},
            {"metric":{},"histogram":[1,{"count":"1"}]}]},"warnings":["w"]}"#;
        assert_eq!(
            values(vector).unwrap(),
            [("{__name__=\"up\", job=\"a\"}".to_owned(), 1500, f64::INFINITY)]
        );
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[2,"3"]}}"#;
        assert_eq!(values(scalar).unwrap(), [("{}".to_owned(), 2000, 3.0)]);
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{"a":"b"},"values":[[1,"1"],[2,"2"]]}]}}"#;
        assert_eq!(values(matrix).unwrap(), [("{a=\"b\"}".to_owned(), 2000, 2.0)]);
        let text = r#"{"status":"success","data":{"resultType":"string","result":[2,"x"]}}"#;
        assert_eq!(values(text).unwrap_err(), "no samples");
    }

    #[test]
    fn failures_are_told() {
        let error = r#"{"status":"error","errorType":"execution","error":"boom"}"#;
        assert_eq!(values(error).unwrap_err(), "status 200, execution: boom");
        assert!(values("<html>").unwrap_err().contains("expected an answer of the query API"));
        let bad = r#"{"status":"success","data":{"resultType":"scalar","result":[2,"x"]}}"#;
        assert_eq!(values(bad).unwrap_err(), "expected a number, found \"x\"");
    }
}
