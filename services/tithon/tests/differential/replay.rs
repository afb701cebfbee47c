//! The recorded answers of Prometheus 3.14 and Thanos, replayed over HTTP: Prometheus's
//! against `tithon standalone`, Thanos's against `tithon query` over `tithon store`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tithon_testdata::{copy_dir, shared};

use super::process::Server;

const FEATURES: &str = "--enable-feature=promql-experimental-functions,promql-extended-range-selectors,\
                        promql-binop-fill-modifiers";

/// A bucket with the blocks that the Prometheus sets were recorded over.
fn prometheus_blocks(dir: &Path) {
    for entry in std::fs::read_dir(shared("answers/data/replica-a")).unwrap() {
        let entry = entry.unwrap();
        copy_dir(&entry.path(), &dir.join(entry.file_name()));
    }
    let real = shared("testdata/blocks/real-2022");
    let meta: Value = serde_json::from_slice(&std::fs::read(real.join("meta.json")).unwrap()).unwrap();
    copy_dir(&real, &dir.join(meta["ulid"].as_str().unwrap()));
}

/// A bucket with all recorded data, over which the Thanos set was recorded.
fn thanos_blocks(dir: &Path) {
    for set in std::fs::read_dir(shared("answers/data")).unwrap() {
        for entry in std::fs::read_dir(set.unwrap().path()).unwrap() {
            let entry = entry.unwrap();
            copy_dir(&entry.path(), &dir.join(entry.file_name()));
        }
    }
}

/// Replays a file; returns how many were exact and how many there are.
fn replay(server: &Server, file: &str, more: &[&str]) -> (u64, u64) {
    let result = Command::new(shared("answers/replay"))
        .args(["--url", &server.url, "--jobs", "2"])
        .args(more)
        .arg(shared(&format!("answers/{file}")))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    let last =
        text.lines().rev().find(|l| l.starts_with("passed")).unwrap_or_else(|| panic!("{file}: {text}"));
    println!("replay {file} {}: {last}", more.join(" "));
    let numbers: Vec<u64> =
        last.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

/// Asserts that at least as many answers are exact as before.
fn check(server: &Server, file: &str, more: &[&str], at_least: u64) {
    let (exact, total) = replay(server, file, more);
    assert!(exact >= at_least, "{file}: {exact} of {total} exact, {at_least} were so before");
}

#[test]
fn prometheus_answers() {
    if !super::enabled() {
        return;
    }
    let bucket = tempfile::tempdir().unwrap();
    prometheus_blocks(bucket.path());
    let dir = format!("--bucket-dir={}", bucket.path().display());
    let common = [dir.as_str(), FEATURES, "--query.replica-label=replica", "--query.replica-label=cluster"];
    let server = Server::standalone(&common);
    check(&server, "prometheus-3.14.jsonl.zst", &[], 7_498);
    check(&server, "http-api.jsonl.zst", &[], 2_348);
    drop(server);
    let mut args = common.to_vec();
    args.push("--enable-feature=promql-delayed-name-removal");
    let server = Server::standalone(&args);
    check(&server, "prometheus-3.14-delayed-name-removal.jsonl.zst", &[], 600);
}

#[test]
fn thanos_answers() {
    if !super::enabled() {
        return;
    }
    let bucket = tempfile::tempdir().unwrap();
    thanos_blocks(bucket.path());
    let data = tempfile::tempdir().unwrap();
    let (_store, address) = Server::store(bucket.path(), data.path());
    let server = Server::query(&[&address], &["--query.replica-label=replica"]);
    check(&server, "thanos-query.jsonl.zst", &[], 2_154);
}
