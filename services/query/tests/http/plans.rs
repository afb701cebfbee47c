//! Explained and analysed plans over HTTP, in the JSON of Thanos's API.

use serde_json::{Value, json};
use tithon_query::{Dialect, QueryOptions};

use crate::{ask, serve, sources};

const QUERY: &str =
    "sum by (job) (rate(http_requests_total{code=\"200\"}[5m])) / (1 + 1) > sum(http_requests_total)";

fn get(path: &str, params: Value) -> Value {
    json!({"method": "GET", "path": path, "params": params})
}

fn instant(path: &str, more: &[[&str; 2]]) -> Value {
    let mut params = vec![["query", QUERY], ["time", "1710040000"]];
    params.extend_from_slice(more);
    get(path, json!(params))
}

fn range(path: &str, more: &[[&str; 2]]) -> Value {
    let mut params = vec![["query", QUERY], ["start", "1710030000"], ["end", "1710040000"], ["step", "60"]];
    params.extend_from_slice(more);
    get(path, json!(params))
}

async fn server(dialect: Dialect) -> std::net::SocketAddr {
    let options = QueryOptions { dialect, ..QueryOptions::default() };
    serve(options, sources(&["answers/data/replica-a"])).await
}

/// The names of a tree's nodes, each with its depth in front.
fn names(node: &Value, depth: usize, out: &mut Vec<String>) {
    out.push(format!("{depth} {}", node["name"].as_str().expect("a name")));
    for child in node["children"].as_array().into_iter().flatten() {
        names(child, depth + 1, out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_explained() {
    let address = server(Dialect::Thanos).await;
    for request in [
        instant("/api/v1/query_explain", &[["engine", "thanos"]]),
        range("/api/v1/query_range_explain", &[["engine", "thanos"]]),
    ] {
        let (status, body) = ask(address, &request).await;
        assert_eq!(status, 200, "{body}");
        let mut tree = Vec::new();
        names(&body["data"], 0, &mut tree);
        let expected = [
            "0 [binary] >",
            "1 [binary] /",
            "2 [aggregate] sum by (job)",
            "3 [function] rate",
            "4 [matrixSelector] http_requests_total{code=\"200\"}[5m]",
            "5 [vectorSelector] http_requests_total{code=\"200\"}, selection 0",
            "2 [numberLiteral] 2",
            "1 [aggregate] sum",
            "2 [vectorSelector] http_requests_total, selection 1",
        ];
        assert_eq!(tree, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_explained() {
    let address = server(Dialect::Thanos).await;
    for (request, error) in [
        (instant("/api/v1/query_explain", &[]), "engine type must be 'thanos'"),
        (range("/api/v1/query_range_explain", &[["engine", "prometheus"]]), "engine type must be 'thanos'"),
        (instant("/api/v1/query_explain", &[["engine", "x"]]), "'x' bad engine"),
    ] {
        let (status, body) = ask(address, &request).await;
        assert_eq!(
            (status, body["errorType"].as_str(), body["error"].as_str()),
            (400, Some("bad_data"), Some(error))
        );
    }
    let bad = get("/api/v1/query_explain", json!([["query", "sum("], ["engine", "thanos"]]));
    let (status, body) = ask(address, &bad).await;
    assert_eq!((status, body["errorType"].as_str()), (400, Some("bad_data")));
}

#[tokio::test(flavor = "multi_thread")]
async fn costs_are_told() {
    for dialect in [Dialect::Thanos, Dialect::Prometheus] {
        let address = server(dialect).await;
        let engine = ["engine", "thanos"];
        let (status, body) =
            ask(address, &range("/api/v1/query_range", &[["analyze", "true"], engine])).await;
        assert_eq!(status, 200, "{body}");
        let root = &body["data"]["analysis"];
        assert_eq!(root["name"], "[binary] >");
        assert!(root["executionTime"].as_str().is_some_and(|t| t.ends_with('s')), "{root}");
        let aggregate = &root["children"][0]["children"][0];
        let function = &aggregate["children"][0];
        assert_eq!(
            (&aggregate["name"], &function["name"]),
            (&json!("[aggregate] sum by (job)"), &json!("[function] rate"))
        );
        let total = |node: &Value| node["totalSamples"].as_u64().unwrap_or(0);
        assert!(total(function) > 0 && total(aggregate) == total(function), "{root}");
        assert_eq!(total(root), total(&root["children"][0]) + total(&root["children"][1]));
        assert!(root["peakSamples"].as_u64() > Some(0) && root["peakBytes"].as_u64() > Some(0), "{root}");
        // A literal reads no samples.
        assert!(root["children"][0]["children"][1].get("totalSamples").is_none());

        let (_, plain) = ask(address, &range("/api/v1/query_range", &[engine])).await;
        assert_eq!(plain["data"]["result"], body["data"]["result"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thanos_tells_no_costs_of_its_other_engine() {
    let address = server(Dialect::Thanos).await;
    let (status, body) = ask(address, &instant("/api/v1/query", &[["analyze", "1"]])).await;
    assert_eq!((status, &body["data"]["analysis"]), (200, &json!({})));
    assert_eq!(body["warnings"], json!(["Query not analyzable; change engine to 'thanos'."]));
}
