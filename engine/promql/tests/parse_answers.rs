//! The parser against recorded answers of Prometheus 3.14: what it refused, with which text, and what it accepted.

use serde_json::Value;
use tithon_promql::{ParseOptions, parse, parse_metric_selector};

const PARSE_ERROR: &str = ": parse error: ";

/// The values of a request's parameter.
fn params<'a>(record: &'a Value, name: &str) -> Vec<&'a str> {
    let all = record["params"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|p| p[0] == name).filter_map(|p| p[1].as_str()).collect()
}

/// Compares the outcome of one parse with the recorded answer; says whether there was something to compare.
fn agrees(record: &Value, outcome: Result<(), String>) -> Result<bool, String> {
    let error = record["body"]["error"].as_str().unwrap_or_default();
    match outcome {
        Err(text) if error.ends_with(&text) => Ok(true),
        Err(text) => Err(format!("refused with {text:?}, recorded {error:?}")),
        Ok(()) if error.contains(PARSE_ERROR) => Err(format!("accepted, recorded {error:?}")),
        Ok(()) => Ok(record["body"]["status"] == "success"),
    }
}

fn check(file: &str) -> (usize, usize) {
    let (mut compared, mut refused, mut wrong) = (0, 0, Vec::new());
    for record in tithon_testdata::json_lines(file) {
        let mut outcomes = Vec::new();
        if let Some(query) = params(&record, "query").first() {
            outcomes.push((*query, parse(query, &ParseOptions::ALL).map(drop)));
        }
        for selector in params(&record, "match[]") {
            outcomes.push((selector, parse_metric_selector(selector, &ParseOptions::ALL).map(drop)));
        }
        for (input, outcome) in outcomes {
            // Other parameters may be what was refused first.
            let error = record["body"]["error"].as_str().unwrap_or_default();
            if !error.is_empty() && !error.contains(PARSE_ERROR) {
                continue;
            }
            refused += usize::from(outcome.is_err());
            match agrees(&record, outcome.map_err(|e| e.to_string())) {
                Ok(counts) => compared += usize::from(counts),
                Err(why) => wrong.push(format!("{input:?}: {why}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    (compared, refused)
}

#[test]
fn http_answers() {
    let (compared, refused) = check("answers/http-api.jsonl.zst");
    assert!(compared > 1_500, "{compared} compared");
    assert!(refused > 500, "{refused} refused");
}

#[test]
fn query_answers() {
    let (compared, _) = check("answers/prometheus-3.14.jsonl.zst");
    assert!(compared > 7_000, "{compared} compared");
}
