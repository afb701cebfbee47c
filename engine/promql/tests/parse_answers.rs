//! The parser against recorded answers of Prometheus 3.14: the texts of its errors, and the queries that it accepted.

use serde_json::Value;
use tithon_promql::{NodeId, ParseOptions, parse, parse_metric_selector, prettify, to_json};

const PARSE_ERROR: &str = ": parse error: ";

/// The values of a request's parameter.
fn params<'a>(record: &'a Value, name: &str) -> Vec<&'a str> {
    let all = record["params"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|p| p[0] == name).filter_map(|p| p[1].as_str()).collect()
}

/// Compares the outcome of one parse with the recorded answer; returns whether there was one.
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
            // The recorded error may be about another parameter.
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

/// Compares the result of an endpoint for each query that it accepted.
fn check_printed(path: &str, print: impl Fn(&str) -> Value) -> usize {
    let (mut compared, mut wrong) = (0, Vec::new());
    for record in tithon_testdata::json_lines("answers/http-api.jsonl.zst") {
        if record["path"] != path || record["body"]["status"] != "success" {
            continue;
        }
        let query = params(&record, "query")[0];
        let printed = print(query);
        compared += 1;
        if printed != record["body"]["data"] {
            wrong.push(format!("{query:?}:\n{printed}\nrecorded\n{}", record["body"]["data"]));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    compared
}

#[test]
fn formatted_queries() {
    let format = |query: &str| parse(query, &ParseOptions::ALL).map(|expr| prettify(&expr).into()).unwrap();
    let compared = check_printed("/api/v1/format_query", format);
    assert!(compared > 100, "{compared} compared");
}

#[test]
fn parsed_queries() {
    let json = |query: &str| to_json(&parse(query, &ParseOptions::ALL).unwrap()).unwrap();
    let compared = check_printed("/api/v1/parse_query", json);
    assert!(compared > 150, "{compared} compared");
}

#[test]
fn printed_queries_parse_to_the_same_text() {
    for record in tithon_testdata::json_lines("answers/prometheus-3.14.jsonl.zst") {
        let Some(query) = params(&record, "query").first().copied() else { continue };
        let Ok(expr) = parse(query, &ParseOptions::ALL) else { continue };
        // An infinite literal prints with its sign, which is an operator of its own before a power.
        if expr.to_string().contains("+Inf ^") {
            continue;
        }
        for text in [expr.to_string(), prettify(&expr)] {
            let again =
                parse(&text, &ParseOptions::ALL).unwrap_or_else(|e| panic!("{query:?} as {text:?}: {e}"));
            assert_eq!(again.to_string(), expr.to_string());
        }
    }
}

/// 1,800 random expressions, half of them broken, with the result of Prometheus 3.14's parser for each: the text that it
/// prints and the positions of all nodes, depth first, or its error.
#[test]
fn random_expressions() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for line in include_str!("fixtures/parse.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let input = row["input"].as_str().unwrap();
        let got = match parse(input, &ParseOptions::ALL) {
            Err(error) => serde_json::json!({ "input": input, "error": error.to_string() }),
            Ok(expr) => {
                let pos = |id: &NodeId| [expr[*id].pos.start, expr[*id].pos.end];
                let pos: Vec<_> = expr.preorder().iter().map(pos).collect();
                serde_json::json!({ "input": input, "text": expr.to_string(), "pos": pos })
            }
        };
        compared += 1;
        if got != row {
            wrong.push(format!("{got}\nrecorded\n{row}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(compared, 1_800);
}
