//! The demo's blocks opened by Debian's Prometheus: promtool agrees with our counts and samples, and a Prometheus
//! server over the same blocks gives the same answers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use tithon_testdata::copy_dir;

use super::process::{Server, TITHON, output};

/// At a fixed end no target restarts in the hours of the queries: Prometheus 2.42 extrapolates a counter that begins
/// inside its window differently from 3.x.
const DEMO_END: &str = "2024-05-01T00:20:00Z";

#[test]
fn demo_blocks_in_prometheus() {
    if !super::enabled() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("tithon-data");
    let filled = Server::standalone(&[
        "--demo",
        "--no-compact",
        "--demo.hours=6",
        &format!("--demo.end={DEMO_END}"),
        &format!("--data-dir={}", data.display()),
    ]);
    let jobs = filled.get("/api/v1/query", &[("query", "count by (job) (up)"), ("time", DEMO_END)]);
    assert!(jobs["data"]["result"].as_array().unwrap().len() >= 3, "{jobs}");
    drop(filled);

    let blocks = dir.path().join("replica-a");
    let metas = copy_replica_a(&data.join("bucket"), &blocks);
    assert!(metas.len() >= 3);
    check_list(&blocks, &metas);
    check_block(dir.path(), &blocks, &metas[1]);
    check_queries(dir.path(), &blocks, &metas);
}

/// Copies the blocks of the replica that scrapes everything; returns their metas, oldest first.
fn copy_replica_a(bucket: &Path, to: &Path) -> Vec<Value> {
    let mut metas = Vec::new();
    for entry in std::fs::read_dir(bucket).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read(path.join("meta.json")) else { continue };
        let meta: Value = serde_json::from_slice(&text).unwrap();
        if meta["thanos"]["labels"]["replica"] == "a" {
            copy_dir(&path, &to.join(path.file_name().unwrap()));
            metas.push(meta);
        }
    }
    metas.sort_by_key(|m| m["minTime"].as_i64());
    metas
}

/// Checks `promtool tsdb list` against meta.json and `tools block inspect`.
fn check_list(blocks: &Path, metas: &[Value]) {
    let list = output("promtool", &["tsdb", "list", blocks.to_str().unwrap()]);
    for meta in metas {
        let id = meta["ulid"].as_str().unwrap();
        let row = list.lines().find(|l| l.starts_with(id)).unwrap_or_else(|| panic!("{id} is not in {list}"));
        let words: Vec<&str> = row.split_whitespace().collect();
        let stats = &meta["stats"];
        let ours = ["numSamples", "numChunks", "numSeries"].map(|key| stats[key].to_string());
        assert_eq!(words[words.len() - 4..words.len() - 1], ours, "{row}");
        let dir = blocks.join(id);
        let inspected =
            output(TITHON, &["tools", "block", "inspect", "--output=json", dir.to_str().unwrap()]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        for (key, ours) in ["samples", "chunks", "series"].iter().zip(ours) {
            assert_eq!(inspected[*key].to_string(), ours, "{key} of {id}");
        }
    }
}

/// Checks `promtool tsdb analyze` and `dump` of one block.
fn check_block(dir: &Path, blocks: &Path, meta: &Value) {
    let id = meta["ulid"].as_str().unwrap();
    let analysis = output("promtool", &["tsdb", "analyze", blocks.to_str().unwrap(), id]);
    let series = format!("\nSeries: {}\n", meta["stats"]["numSeries"]);
    assert!(analysis.contains(&series), "{series} is not in {analysis:.600}");

    let alone = dir.join("alone");
    copy_dir(&blocks.join(id), &alone.join(id));
    // promtool needs a data directory.
    std::fs::create_dir(alone.join("wal")).unwrap();
    let matcher = "--match={job=\"db\"}";
    let theirs = output("promtool", &["tsdb", "dump", matcher, alone.to_str().unwrap()]);
    let ours = output(TITHON, &["tools", "block", "dump", alone.join(id).to_str().unwrap()]);
    let theirs: BTreeSet<&str> = theirs.lines().collect();
    let ours: BTreeSet<&str> = ours.lines().filter(|line| line.contains("job=\"db\"")).collect();
    assert!(theirs.len() > 100_000, "{} lines", theirs.len());
    assert!(
        theirs == ours,
        "dumps differ: {:?}",
        theirs.symmetric_difference(&ours).take(5).collect::<Vec<_>>()
    );
    println!("prometheus: dump of {id} equal in {} samples", ours.len());
}

/// Sends the same queries to both servers over the same blocks.
fn check_queries(dir: &Path, blocks: &Path, metas: &[Value]) {
    let theirs_dir: PathBuf = dir.join("theirs");
    copy_dir(blocks, &theirs_dir);
    let theirs = Server::prometheus(&theirs_dir);
    let ours = Server::standalone(&[
        &format!("--bucket-dir={}", blocks.display()),
        "--query.replica-label=replica",
        "--query.replica-label=cluster",
    ]);
    // The times differ from all scrape times, so that open and closed window borders (changed in 3.0) do not matter.
    let end = metas[metas.len() - 1]["maxTime"].as_i64().unwrap() / 15_000 * 15 - 3_600;
    let time = format!("{end}.123");
    let range =
        [("start", format!("{}.123", end - 7_200)), ("end", time.clone()), ("step", "300".to_string())];
    let mut equal = 0;
    for query in QUERIES {
        let instant = [("query", *query), ("time", time.as_str())];
        compare(query, &ours.get("/api/v1/query", &instant), &theirs.get("/api/v1/query", &instant));
        let mut params = vec![("query", *query)];
        params.extend(range.iter().map(|(k, v)| (*k, v.as_str())));
        compare(
            query,
            &ours.get("/api/v1/query_range", &params),
            &theirs.get("/api/v1/query_range", &params),
        );
        equal += 2;
    }
    println!("prometheus: {equal} queries answered alike");
}

fn compare(query: &str, ours: &Value, theirs: &Value) {
    assert_eq!(theirs["status"], "success", "{query}: {theirs}");
    assert_eq!(ours["data"]["resultType"], theirs["data"]["resultType"], "{query}: {ours:.300}");
    let sorted = |answer: &Value| -> Vec<String> {
        let list = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let mut texts: Vec<String> = list.iter().map(Value::to_string).collect();
        texts.sort();
        texts
    };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    assert!(!theirs.is_empty(), "{query}: Prometheus finds nothing, so nothing is compared");
    let differ = ours.iter().zip(&theirs).find(|(a, b)| a != b);
    assert!(
        ours == theirs,
        "{query}: {} and {} results; first difference: {differ:?}",
        ours.len(),
        theirs.len()
    );
}

/// Queries on which Prometheus 2.42 and 3.x agree to the bit: no compensated sums over fractions, no extrapolation
/// near zero.
const QUERIES: &[&str] = &[
    "up",
    "up == 1",
    "up{job=\"api\"}",
    "up{job!=\"api\"}",
    "up{job=~\"api|db\"}",
    "up{instance!~\"node.*\"}",
    "count(up)",
    "count by (job) (up)",
    "sum by (job) (up)",
    "sum without (instance) (up)",
    "min by (job) (process_resident_memory_bytes)",
    "max by (job) (process_resident_memory_bytes)",
    "group by (job) (up)",
    "count(count by (instance) (up))",
    "count_values(\"up\", up)",
    "topk(3, pg_database_size_bytes)",
    "bottomk(3, pg_database_size_bytes)",
    "quantile(0.5, node_memory_MemFree_bytes)",
    "sum(http_requests_total)",
    "sum by (code) (http_requests_total)",
    "sum by (handler, method) (http_requests_total)",
    "http_requests_total{code=\"500\"} offset 10m",
    "http_requests_total{code=\"500\"} offset -5m",
    "sum(http_requests_total{code=\"200\"} offset 30m)",
    "http_requests_total{handler=\"/\"} / 2",
    "http_requests_total{handler=\"/\"} % 7",
    "-http_requests_total{handler=\"/\",code=\"200\"}",
    "http_requests_total{code=\"404\"} > 1000",
    "http_requests_total{code=\"404\"} > bool 1000",
    "http_requests_total{code=\"404\",method=\"GET\"} / ignoring(code, method) http_requests_total{code=\"200\",method=\"GET\"}",
    "node_filesystem_avail_bytes / node_filesystem_size_bytes",
    "node_filesystem_avail_bytes / on(instance, mountpoint) node_filesystem_size_bytes",
    "node_disk_read_bytes_total * on(instance) group_left(nodename) node_uname_info",
    "up and on(instance) node_load1",
    "up unless on(instance) node_load1",
    "up{job=\"db\"} or up{job=\"api\"}",
    "node_load1 > node_load5",
    "sum(node_memory_MemTotal_bytes) - sum(node_memory_MemFree_bytes)",
    "changes(http_requests_in_flight[10m])",
    "resets(http_requests_total{code=\"200\"}[1h])",
    "count_over_time(up[10m])",
    "last_over_time(node_load1[10m])",
    "max_over_time(node_load1[10m])",
    "min_over_time(node_load1[10m])",
    "sum_over_time(up[10m])",
    "present_over_time(up[10m])",
    "quantile_over_time(0.9, http_requests_in_flight[10m])",
    "idelta(http_requests_in_flight[10m])",
    "irate(http_requests_total{code=\"200\"}[5m])",
    "delta(http_requests_in_flight[10m])",
    "increase(http_requests_total{code=\"200\",method=\"GET\"}[10m])",
    "rate(http_requests_total{code=\"200\",method=\"GET\"}[10m])",
    "abs(-node_load1)",
    "ceil(node_load1)",
    "floor(node_load1)",
    "round(node_load1, 0.5)",
    "clamp(node_load1, 1, 2)",
    "clamp_min(node_load1, 2)",
    "clamp_max(node_load1, 2)",
    "sqrt(node_memory_MemFree_bytes)",
    "sgn(node_load1 - 2)",
    "sort(node_load1)",
    "sort_desc(node_load1)",
    "absent(nosuch{a=\"b\"})",
    "absent_over_time(nosuch[5m])",
    "scalar(count(up))",
    "vector(1)",
    "time() > bool 0",
    "1 + 2 * 3 ^ 2",
    "timestamp(up)",
    "minute(timestamp(up))",
    "hour()",
    "day_of_week()",
    "days_in_month()",
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "label_join(up, \"both\", \"-\", \"job\", \"instance\")",
    "max_over_time(node_load1[30m:5m])",
    "count_over_time((node_load1 > 2)[30m:1m])",
    "histogram_quantile(0.5, http_request_duration_seconds_bucket{handler=\"/\"})",
    "histogram_quantile(0.9, sum by (le) (http_request_duration_seconds_bucket))",
];
