//! `tithon tools storeapi-check` against our own servers: a store over recorded blocks, and a querier over it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "differential/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests start other servers")]
mod process;

use std::process::{Command, Output};

use process::{Server, TITHON};
use serde_json::Value;
use tithon_testdata::copy_dir;

fn check(address: &str, more: &[&str]) -> Output {
    let address = format!("--address={address}");
    Command::new(TITHON).args(["tools", "storeapi-check", &address]).args(more).output().unwrap()
}

fn assert_kept(address: &str, component: &str) {
    let output = check(address, &["--output=json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdicts = report["verdicts"].as_array().unwrap();
    let broken: Vec<&Value> = verdicts.iter().filter(|verdict| verdict["broken"] != 0).collect();
    assert!(broken.is_empty() && output.status.success(), "{component}: {broken:#?}");
    assert_eq!(report["component"], component);
    assert!(report["requests"].as_u64().unwrap() > 350 && verdicts.len() > 40, "{report}");
}

#[test]
fn store_and_querier_keep_every_rule() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    for replica in ["replica-a", "replica-b"] {
        copy_dir(&tithon_testdata::shared(&format!("answers/data/{replica}")), &bucket);
    }
    let (_store, store) = Server::store(&bucket, &dir.path().join("data"));
    assert_kept(&store, "store");
    let table = check(&store, &[]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("0 broken") && table.contains("without-replica-labels"), "{table}");
    let (_querier, querier) = Server::query_with_grpc(&[&store], &[]);
    assert_kept(&querier, "query");
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    for address in ["127.0.0.1:1", "nowhere"] {
        let output = check(address, &[]);
        assert_eq!(output.status.code(), Some(1));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(address), "{told}");
    }
}
