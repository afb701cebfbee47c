//! Push-down: a querier lets stores evaluate parts of queries, and its answers are those of one that evaluates all itself, to the
//! byte, also while stores fail.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "differential/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests start other servers")]
mod process;

use std::path::Path;
use std::process::Command;

use process::{Server, TITHON, until};
use serde_json::Value;

/// A time at which both clusters have data, seconds since 1970.
const TIME: i64 = 1_714_525_200;

/// A store that serves the blocks of some clusters of the golden bucket.
fn store(clusters: &str, data: &Path, more: &[&str]) -> (Server, String) {
    let mut command = Command::new(TITHON);
    command.args(["store", "--log.level=warn", &format!("--data-dir={}", data.display())]).args(more);
    let bucket = tithon_testdata::shared("testdata/bucket");
    command
        .arg(format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display()));
    command.arg(format!(
        "--selector.relabel-config=[{{action: keep, source_labels: [cluster], regex: {clusters}}}]"
    ));
    Server::of_store(command)
}

/// Two queriers over the same stores, of which only the first lets these evaluate.
struct Pair {
    pushing: Server,
    plain: Server,
}

const REPLICA: &str = "--query.replica-label=replica";
const FEATURES: &str = "--enable-feature=promql-experimental-functions";

impl Pair {
    fn over(stores: &[&str], more: &[&str]) -> Pair {
        let mut args = vec![REPLICA, FEATURES];
        args.extend(more);
        let pushing = Server::query(stores, &args);
        args.push("--query.pushdown=false");
        Pair { pushing, plain: Server::query(stores, &args) }
    }

    /// Asks both; fails if the answers differ in any byte. Returns the answer.
    fn same(&self, path: &str, params: &[(&str, &str)]) -> String {
        let answers = [&self.pushing, &self.plain].map(|server| server.text(path, params));
        assert_eq!(answers[0], answers[1], "{params:?}");
        let [answer, _] = answers;
        answer
    }

    /// The parts that stores were asked for, and those that they did not evaluate.
    fn parts(&self) -> (u64, u64) {
        let count = |name: &str| counter(&self.pushing, name);
        (count("tithon_query_parts_total"), count("tithon_query_parts_failed_total"))
    }
}

fn counter(server: &Server, name: &str) -> u64 {
    let metrics = server.text("/metrics", &[]);
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    metrics.lines().find_map(value).unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// Queries of which a store that has all data evaluates the whole.
const WHOLE: &[&str] = &[
    "sum(up)",
    "count by (job) (http_requests_total)",
    "sum by (code) (rate(http_requests_total[5m]))",
    "avg by (pod, cluster) (go_goroutines)",
    "stddev(go_goroutines)",
    "quantile(0.9, go_goroutines)",
    "quantile(2, go_goroutines)",
    "topk(3, go_goroutines)",
    "sort_desc(sum by (pod) (go_goroutines))",
    "limitk(2, go_goroutines)",
    "histogram_quantile(0.9, sum by (le) (rate(http_request_duration_seconds_bucket[5m])))",
    "histogram_quantile(0.9, rate(http_request_duration_seconds_bucket[5m]))",
    "histogram_quantile(0.9, sum(rate(http_request_duration_seconds[5m])))",
    "sum(http_request_duration_seconds)",
    "sum(go_goroutines) / count(up)",
    "sum by (pod) (go_goroutines) * on (pod) group_left () max by (pod) (up)",
    "absent(up{job=\"none\"})",
    "absent_over_time(up{job=\"none\"}[5m])",
    "scalar(sum(up))",
    "sum(up) > 1000",
    "max_over_time(sum(go_goroutines)[30m:3m])",
    "sum(go_goroutines @ 1714525000 offset 5m)",
    "sum(rate(go_goroutines[5m] offset -1m))",
    "count_values(\"v\", up)",
    "sum(rate(up[5m])) + sum(up @ end())",
    "group without (pod) ({__name__=~\"up|go_goroutines\"})",
    // Wrong queries have the same errors.
    "count by (pod) (up) + on () count by (pod) (go_goroutines)",
];

/// Queries of which a store evaluates nothing, or a part.
const OTHERS: &[&str] = &[
    "up",
    "rate(http_requests_total[5m])",
    "go_goroutines / on () group_left () sum(up)",
    "go_goroutines / on () group_left () sum(go_goroutines)",
    "http_requests_total[1m]",
    "vector(1)",
    // The selections of both operands are one.
    "sum(up) - sum(up{cluster!=\"us1\"})",
    "sum(up",
];

/// Asks for a query at one time, and over times of milliseconds; with and without deduplication, and of several resolutions.
fn ask(pair: &Pair, query: &str) {
    let (time, start, end) =
        (format!("{TIME}.123"), format!("{}.007", TIME - 3600), format!("{}.5", TIME + 3600));
    for more in
        [&[][..], &[("dedup", "false")], &[("max_source_resolution", "1h")], &[("lookback_delta", "90500ms")]]
    {
        let instant = [&[("query", query), ("time", &time)][..], more].concat();
        pair.same("/api/v1/query", &instant);
        if !query.ends_with(']') {
            let range = [("query", query), ("start", &start), ("end", &end), ("step", "92.75")];
            pair.same("/api/v1/query_range", &[&range[..], more].concat());
        }
    }
}

#[test]
fn answers_of_one_store() {
    let data = tempfile::tempdir().unwrap();
    let (_store, address) = store("eu1|us1", data.path(), &[]);
    let pair = Pair::over(&[&address], &[]);
    for query in WHOLE {
        let before = pair.parts().0;
        ask(&pair, query);
        assert_eq!(pair.parts().0 - before, 8, "{query}");
    }
    OTHERS.iter().for_each(|query| ask(&pair, query));
    // Only the query that has no answer was evaluated again.
    let errors = 8;
    assert_eq!(pair.parts().1, errors);
    explains(&pair, &address);
    counts(&pair);
    let exact = Pair::over(&[&address], &["--deduplication.func=exact", "--query.auto-downsampling"]);
    WHOLE.iter().for_each(|query| ask(&exact, query));
    let enforced =
        ["--query.enforce-tenancy", "--query.tenant-label-name=cluster", "--query.default-tenant-id=eu1"];
    let tenant = Pair::over(&[&address], &enforced);
    for query in ["count(up)", "sum by (cluster) (go_goroutines)"] {
        ask(&tenant, query);
    }
    assert_ne!(tenant.parts().0, 0);
}

fn explains(pair: &Pair, address: &str) {
    let params = [("query", "sum(up)"), ("time", &*TIME.to_string()), ("engine", "thanos")];
    let plan = pair.pushing.get("/api/v1/query_explain", &params);
    assert_eq!(plan["data"]["name"], format!("[storeExec] {address}: sum(up)"), "{plan}");
    let analyze = [&params[..], &[("analyze", "true")]].concat();
    let analysis = pair.pushing.get("/api/v1/query", &analyze);
    let name = &analysis["data"]["analysis"]["name"];
    assert_eq!(*name, format!("[storeExec] {address}: sum(up)"), "{analysis}");
}

/// Counts of samples are those of an evaluation here.
fn counts(pair: &Pair) {
    for query in ["sum(rate(http_requests_total[5m]))", "go_goroutines / on () group_left () sum(up)"] {
        let (start, end) = ((TIME - 3600).to_string(), TIME.to_string());
        let params = [("query", query), ("start", &start), ("end", &end), ("step", "60"), ("stats", "all")];
        let of = |server: &Server| {
            let answer: Value = server.get("/api/v1/query_range", &params);
            answer["data"]["stats"]["samples"].clone()
        };
        let (pushing, plain) = (of(&pair.pushing), of(&pair.plain));
        assert!(plain.is_object(), "{plain}");
        assert_eq!(pushing["totalQueryableSamples"], plain["totalQueryableSamples"], "{query}");
    }
}

#[test]
fn answers_of_two_stores() {
    let data = tempfile::tempdir().unwrap();
    let (_eu, eu) = store("eu1", &data.path().join("eu"), &[]);
    let (_us, us) = store("us1", &data.path().join("us"), &[]);
    let pair = Pair::over(&[&eu, &us], &[]);
    for query in WHOLE.iter().chain(OTHERS) {
        ask(&pair, query);
    }
    let both = pair.parts().0;
    for query in [
        "sum(up{cluster=\"eu1\"})",
        "sum(go_goroutines{cluster=\"eu1\"}) / sum(go_goroutines{cluster=\"us1\"})",
        "sum by (pod) (rate(http_requests_total{cluster=\"us1\"}[5m])) or sum by (pod) (up)",
    ] {
        let before = pair.parts().0;
        ask(&pair, query);
        assert_ne!(pair.parts().0, before, "{query}");
    }
    assert_eq!(pair.parts().1, 0);
    // Each of the others selects data of both stores.
    assert_eq!(both, 0);
}

/// Another source that has some of the same data, as a sidecar would, keeps queries from being cut.
#[test]
fn answers_of_overlapping_stores() {
    let data = tempfile::tempdir().unwrap();
    let (_all, all) = store("eu1|us1", &data.path().join("all"), &[]);
    let (_other, other) = store("eu1", &data.path().join("eu"), &["--store.pushdown=false"]);
    let pair = Pair::over(&[&all, &other], &[]);
    for query in ["sum(up)", "sum by (pod) (go_goroutines{cluster=\"eu1\"})"] {
        ask(&pair, query);
    }
    assert_eq!(pair.parts(), (0, 0));
    ask(&pair, "sum(go_goroutines{cluster=\"us1\"})");
    assert_eq!(pair.parts(), (8, 0));
}

/// What a store cannot evaluate is evaluated by the querier.
#[test]
fn stores_without_memory() {
    let data = tempfile::tempdir().unwrap();
    let (server, address) = store("eu1|us1", data.path(), &["--store.pushdown.memory-limit=1KiB"]);
    let pair = Pair::over(&[&address], &[]);
    ask(&pair, "sum(go_goroutines)");
    assert_eq!(pair.parts(), (8, 8));
    assert_eq!(counter(&server, "tithon_store_parts_failed_total"), 8);
}

/// Limits of either process mean the same, and so do their errors.
#[test]
fn limits() {
    let data = tempfile::tempdir().unwrap();
    let (_limited, limited) = store("eu1|us1", &data.path().join("a"), &["--store.limits.request-series=1"]);
    let (_free, free) = store("eu1|us1", &data.path().join("b"), &[]);
    for (address, args, pushed) in [
        (&limited, &["--query.partial-response=false"][..], true),
        (&limited, &[], true),
        (&free, &["--query.max-samples=40"], true),
        (&free, &["--store.limits.request-series=1"], false),
    ] {
        let pair = Pair::over(&[address], args);
        ask(&pair, "sum(go_goroutines)");
        ask(&pair, "sum by (pod) (rate(http_requests_total[5m])) > 0");
        let (parts, failed) = pair.parts();
        assert_eq!(parts > 0, pushed, "{args:?}");
        assert!(failed > 0 || !pushed, "{args:?}");
    }
}

/// A store that goes away costs what it costs without push-down.
#[test]
fn stores_that_are_gone() {
    let data = tempfile::tempdir().unwrap();
    let (server, address) = store("eu1|us1", data.path(), &[]);
    let pair = Pair::over(&[&address], &["--endpoint.info-timeout=30s"]);
    let params = |partial: &'static str| {
        [
            ("query", "sum by (job) (rate(http_requests_total[5m]))"),
            ("time", "1714525200"),
            ("partial_response", partial),
        ]
    };
    let whole = pair.same("/api/v1/query", &params("false"));
    // In the middle of queries: each is answered, or fails as it would without push-down.
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let ask = |_| pair.pushing.text("/api/v1/query", &params("false"));
            (0..50).map(ask).collect::<Vec<String>>()
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(server);
        for answer in asking.join().unwrap() {
            assert!(answer == whole || answer.contains(r#""status":"error""#), "{answer}");
        }
    });
    let errors = [&pair.pushing, &pair.plain].map(|server| server.get("/api/v1/query", &params("false")));
    assert_eq!(errors[0]["errorType"], errors[1]["errorType"]);
    assert_eq!(errors[0]["status"], "error", "{errors:?}");
    let partial = pair.pushing.get("/api/v1/query", &params("true"));
    assert_eq!(partial["status"], "success", "{partial}");
    assert!(partial["warnings"].is_array(), "{partial}");
    until("the loss of the store", || {
        let answer = pair.pushing.get("/api/v1/query", &params("false"));
        answer["status"] == "success" && answer["data"]["result"] == Value::Array(Vec::new())
    });
}
