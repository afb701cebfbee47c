//! `tithon query --query.mode=distributed` over queriers of one cluster each: the same answers as a querier over the stores
//! themselves, also while queriers fail.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "differential/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests start other servers")]
mod process;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use process::{Server, TITHON, until};
use serde_json::Value;

/// A time at which both clusters have data, seconds since 1970.
const TIME: i64 = 1_714_525_200;

/// A store that serves the blocks of one cluster of the golden bucket.
fn store(cluster: &str, data: &Path) -> (Server, String) {
    let mut command = Command::new(TITHON);
    command.args(["store", "--log.level=warn", &format!("--data-dir={}", data.join(cluster).display())]);
    let bucket = tithon_testdata::shared("testdata/bucket");
    command
        .arg(format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display()));
    command.arg(format!(
        "--selector.relabel-config=[{{action: keep, source_labels: [cluster], regex: {cluster}}}]"
    ));
    Server::of_store(command)
}

/// Stores of two clusters, a querier over each, one that distributes over these and one over both stores.
struct Lab {
    _data: tempfile::TempDir,
    _stores: Vec<Server>,
    addresses: Vec<String>,
    leaves: Vec<Server>,
    root: Server,
    local: Server,
}

impl Lab {
    fn new() -> Lab {
        let data = tempfile::tempdir().unwrap();
        let replica = ["--query.replica-label=replica"];
        let (mut stores, mut of_stores) = (Vec::new(), Vec::new());
        let (mut leaves, mut addresses) = (Vec::new(), Vec::new());
        for cluster in ["eu1", "us1"] {
            let (server, address) = store(cluster, data.path());
            let (leaf, of_leaf) = Server::query_with_grpc(&[&address], &replica);
            stores.push(server);
            of_stores.push(address);
            leaves.push(leaf);
            addresses.push(of_leaf);
        }
        // A querier below is still asked for some time after it has gone.
        let distributed = [replica[0], "--query.mode=distributed", "--endpoint.info-timeout=30s"];
        let root = Server::query(&list(&addresses), &distributed);
        let local = Server::query(&list(&of_stores), &replica);
        Lab { _data: data, _stores: stores, addresses, leaves, root, local }
    }
}

fn list(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// The values and histograms of an answer by series and time.
fn points(answer: &Value) -> BTreeMap<(String, String), Value> {
    assert_eq!(answer["status"], "success", "{answer}");
    let mut points = BTreeMap::new();
    let mut add = |series: String, point: &Value| {
        points.insert((series, point[0].to_string()), point[1].clone());
    };
    let result = &answer["data"]["result"];
    if answer["data"]["resultType"] == "scalar" {
        add(String::new(), result);
        return points;
    }
    for series in result.as_array().unwrap() {
        let name = series["metric"].to_string();
        for one in ["value", "histogram"] {
            if series[one].is_array() {
                add(name.clone(), &series[one]);
            }
        }
        for many in ["values", "histograms"] {
            series[many].as_array().into_iter().flatten().for_each(|point| add(name.clone(), point));
        }
    }
    points
}

/// Whether two values are the same but for the rounding of sums in another order.
fn are_near(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_near(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| are_near(a, b)))
        }
        (Value::String(a), Value::String(b)) => {
            let number = |text: &String| text.parse::<f64>().unwrap();
            let (a, b) = (number(a), number(b));
            a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
        }
        _ => a == b,
    }
}

fn assert_equal(found: &Value, expected: &Value, query: &str) {
    let (found, expected) = (points(found), points(expected));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{query}");
    for (key, value) in &expected {
        assert!(are_near(&found[key], value), "{query}: {key:?}: {} and {value}", found[key]);
    }
}

const QUERIES: &[&str] = &[
    "up",
    "sum(up)",
    "count by (job) (http_requests_total)",
    "sum by (code) (rate(http_requests_total[5m]))",
    "avg(go_goroutines)",
    "avg by (pod) (go_goroutines)",
    "max by (cluster) (go_goroutines)",
    "quantile(0.9, go_goroutines)",
    "topk(3, go_goroutines)",
    "histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    "histogram_quantile(0.9, sum(rate(http_request_duration_seconds[5m])))",
    "sum(http_request_duration_seconds)",
    "go_goroutines{cluster=\"eu1\"} or go_goroutines{cluster=\"us1\"}",
    "sum(go_goroutines{cluster=\"eu1\"}) / sum(go_goroutines{cluster=\"us1\"})",
    "go_goroutines * on (pod, cluster) up",
    "sum by (pod) (go_goroutines) / on (pod) count by (pod) (up)",
    "absent(up)",
    "absent(up{job=\"none\"})",
    "scalar(sum(up))",
    "max_over_time(sum(go_goroutines)[30m:3m])",
    "go_goroutines @ 1714525000 offset 5m",
    "label_replace(up, \"cluster\", \"x-$1\", \"cluster\", \"(.*)\") and on (pod) up",
    "sort_desc(go_goroutines)",
    "vector(1)",
    "http_requests_total[1m]",
];

#[test]
fn a_distributed_querier_answers_as_one_over_all_stores() {
    let lab = Lab::new();
    let (from, to) = ((TIME - 3600).to_string(), (TIME + 3600).to_string());
    for query in QUERIES {
        let instant = [("query", *query), ("time", &TIME.to_string())];
        let answers = [&lab.root, &lab.local].map(|server| server.get("/api/v1/query", &instant));
        assert_equal(&answers[0], &answers[1], query);
        if query.ends_with(']') {
            continue;
        }
        let range = [("query", *query), ("start", &from), ("end", &to), ("step", "60")];
        let answers = [&lab.root, &lab.local].map(|server| server.get("/api/v1/query_range", &range));
        assert_equal(&answers[0], &answers[1], query);
    }
    // The engine `prometheus` evaluates here; times are cut to seconds otherwise.
    let time = format!("{TIME}.5");
    let at = |engine: &str| {
        let params = [("query", "sum(up)"), ("time", time.as_str()), ("engine", engine)];
        lab.root.get("/api/v1/query", &params)["data"]["result"][0]["value"][0].clone()
    };
    assert_eq!((at(""), at("prometheus")), (TIME.into(), (TIME as f64 + 0.5).into()));
    explains(&lab);
    fails(lab);
}

fn explains(lab: &Lab) {
    let params = [("query", "sum(up)"), ("time", &TIME.to_string())];
    let plan = lab.root.get("/api/v1/query_explain", &params);
    let root = &plan["data"];
    assert_eq!(root["name"], "[aggregate] sum", "{plan}");
    let parts = root["children"][0]["children"].as_array().unwrap();
    let mut names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
    let part = |address: &String| format!("[remoteExec] {address}: sum by (cluster) (up) ({TIME}, {TIME})");
    let mut expected: Vec<String> = lab.addresses.iter().map(part).collect();
    names.sort_unstable();
    expected.sort();
    assert_eq!(names, expected);
    let flags = lab.root.get("/api/v1/status/flags", &[]);
    assert_eq!(
        (&flags["data"]["query.mode"], &flags["data"]["query.promql-engine"]),
        (&"distributed".into(), &"thanos".into())
    );
    let metrics = lab.root.text("/metrics", &[]);
    assert!(metrics.contains(r#"grpc_service="thanos.Query""#), "calls to queriers are counted");
}

/// A querier below is killed, and before its absence is noticed it costs a warning or the query.
fn fails(mut lab: Lab) {
    let gone = lab.addresses[1].clone();
    drop(lab.leaves.pop());
    let ask = |partial: &str| {
        let params =
            [("query", "sum by (cluster) (up)"), ("time", &TIME.to_string()), ("partial_response", partial)];
        lab.root.get("/api/v1/query", &params)
    };
    let begun = Instant::now();
    let partial = ask("true");
    let warning = partial["warnings"][0].as_str().unwrap_or_default();
    assert!(
        warning.starts_with(&format!("remote query error ({gone}): rpc error: code = Unavailable")),
        "{partial}"
    );
    let result = partial["data"]["result"].as_array().unwrap();
    assert_eq!((result.len(), &result[0]["metric"]["cluster"]), (1, &"eu1".into()), "{partial}");
    let strict = ask("false");
    let error = strict["error"].as_str().unwrap_or_default();
    assert!(error.starts_with(&format!("remote query error ({gone}): ")), "{strict}");
    assert_eq!(strict["errorType"], "execution");
    assert!(begun.elapsed() < Duration::from_secs(20), "a querier that is gone is not waited for");
    // The other one alone is asked once the loss is noticed.
    until("the loss of a querier", || ask("false")["status"] == "success");
}
