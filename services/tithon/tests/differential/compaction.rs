//! The demo's bucket compacted and downsampled by the process that serves it: the answers stay the same.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::Server;

const QUERIES: [&str; 4] = [
    "sum by (job) (up)",
    "sum by (job) (rate(http_requests_total[10m]))",
    "count({__name__=~\".+\"})",
    "max by (job) (max_over_time(up[1h]))",
];

fn answers(server: &Server, metas: &[Value]) -> Vec<Value> {
    let of = |key: &'static str| metas.iter().filter_map(move |meta| meta[key].as_i64());
    let (start, end) = (of("minTime").min().unwrap() / 1000, of("maxTime").max().unwrap() / 1000);
    let (start, end) = ((start + 3600).to_string(), (end - 3600).to_string());
    let ask = |query: &&'static str| {
        let params: [(&str, &str); 5] =
            [("query", query), ("start", &start), ("end", &end), ("step", "997"), ("timeout", "2m")];
        let answer = server.get("/api/v1/query_range", &params);
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"].clone()
    };
    QUERIES.iter().map(ask).collect()
}

/// A separate compactor cuts the demo's bucket into shards; compares the answers before and after the cut blocks are
/// deleted.
#[test]
fn a_demo_cut_into_shards_answers_as_before() {
    if !super::enabled() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", dir.path().display());
    let common = [
        "--demo",
        "--demo.hours=24",
        "--demo.end=2024-05-01T00:20:00Z",
        "--query.max-samples=500000000",
        "--no-compact",
        &data,
    ];
    let server = Server::standalone(&common);
    let bucket = dir.path().join("bucket");
    let before = metas(&bucket);
    let expected = answers(&server, &before);
    drop(server);
    let config =
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display());
    let scratch = format!("--data-dir={}", dir.path().join("scratch").display());
    for delay in ["--delete-delay=48h", "--delete-delay=0s"] {
        if delay.ends_with("=0s") {
            // Times in marks are whole seconds, and have to be older than the delay.
            std::thread::sleep(Duration::from_millis(2100));
        }
        let flags = ["--compact.split-shards=3", "--consistency-delay=0s", "--http-address=127.0.0.1:0"];
        let args = [&["compact", "--log.level=warn", &config, &scratch, delay], &flags[..]].concat();
        super::process::output(super::process::TITHON, &args);
        let after = metas(&bucket);
        let shards = |meta: &&Value| meta["thanos"]["extensions"]["tithon_shard"]["count"] == 3;
        assert!(after.iter().filter(shards).count() >= 6, "{}", after.len());
        assert_eq!(after.len() > before.len(), delay.ends_with("48h"));
        let server = Server::standalone(&common);
        for (query, (got, want)) in QUERIES.iter().zip(answers(&server, &before).iter().zip(&expected)) {
            assert_eq!(got, want, "{query} {delay}");
        }
    }
}

fn metas(bucket: &std::path::Path) -> Vec<Value> {
    let entries = std::fs::read_dir(bucket).unwrap().map(|entry| entry.unwrap().path().join("meta.json"));
    entries.filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok()).collect()
}

#[test]
fn a_compacted_demo_answers_as_before() {
    if !super::enabled() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", dir.path().display());
    let common = [
        "--demo",
        "--demo.hours=48",
        "--demo.end=2024-05-01T00:20:00Z",
        "--query.max-samples=500000000",
        &data,
    ];
    let server = Server::standalone(&[&common[..], &["--no-compact"]].concat());
    let bucket = dir.path().join("bucket");
    let before = metas(&bucket);
    assert!(before.iter().all(|meta| meta["compaction"]["level"] == 1));
    let expected = answers(&server, &before);
    drop(server);

    let server = Server::standalone(&common);
    let deadline = Instant::now() + Duration::from_secs(400);
    while !server.text("/metrics", &[]).contains("\nthanos_compact_iterations_total 1\n") {
        assert!(Instant::now() < deadline, "no iteration in 400 s");
        std::thread::sleep(Duration::from_millis(200));
    }
    let after = metas(&bucket);
    let resolutions: BTreeSet<i64> =
        after.iter().filter_map(|meta| meta["thanos"]["downsample"]["resolution"].as_i64()).collect();
    assert_eq!(resolutions.into_iter().collect::<Vec<_>>(), [0, 300_000, 3_600_000]);
    assert!(after.iter().any(|meta| meta["compaction"]["level"].as_i64() > Some(2)));
    for (query, (got, want)) in QUERIES.iter().zip(answers(&server, &before).iter().zip(&expected)) {
        assert_eq!(got, want, "{query}");
    }
    let listed = server.get("/api/v1/blocks", &[("view", "loaded")]);
    assert!(!listed["data"]["blocks"].as_array().unwrap().is_empty());
}
