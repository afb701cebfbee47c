//! Files of served blocks that are cut while queries read them: the processes keep running, other blocks are answered,
//! and no result is made from the lost bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "differential/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests start other servers")]
mod process;

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use process::Server;
use tithon_testdata::copy_dir;

const CUT: &str = "01HRKP0D00SZ6QE7ZSYT6RDQTH";
/// A file of that block, and the length to which it is cut.
const CASES: [(&str, u64); 4] =
    [("index", 0), ("index", 4096), ("chunks/000001", 4096), ("chunks/000001", 300_000)];

/// Counts samples of all blocks: the number shows which blocks answered.
fn count(server: &Server, partial: &str) -> Result<(u64, String), String> {
    let query = "sum(count_over_time(http_requests_total[12h])) + sum(count_over_time(http_request_duration_seconds_bucket[12h]))";
    let params =
        [("query", query), ("time", "1710072000"), ("partial_response", partial), ("dedup", "false")];
    let answer = server.get("/api/v1/query", &params);
    let Some(value) = answer["data"]["result"][0]["value"][1].as_str() else {
        return Err(answer.to_string());
    };
    Ok((value.parse().unwrap(), answer["warnings"].to_string()))
}

fn bucket(dir: &Path, without: Option<&str>) {
    copy_dir(&tithon_testdata::shared("answers/data/replica-a"), dir);
    if let Some(block) = without {
        std::fs::remove_dir_all(dir.join(block)).unwrap();
    }
}

/// Cuts files under servers that `start` makes over a bucket, the last of which answers queries.
fn check(start: impl Fn(&Path) -> Vec<Server>) {
    let dir = tempfile::tempdir().unwrap();
    let numbers = [None, Some(CUT)].map(|without| {
        let bucket_dir = dir.path().join(format!("sound-{}", without.is_some()));
        bucket(&bucket_dir, without);
        count(start(&bucket_dir).last().unwrap(), "false").unwrap().0
    });
    let [all, others] = numbers;
    assert!(others < all && others > 0);
    for (i, (file, len)) in CASES.into_iter().enumerate() {
        let bucket_dir = dir.path().join(i.to_string());
        bucket(&bucket_dir, None);
        let mut servers = start(&bucket_dir);
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let ask = || {
                let mut n = 0;
                while !over.load(Ordering::Relaxed) {
                    let (found, warnings) = count(servers.last().unwrap(), "true").unwrap();
                    let is_whole = found == all && warnings == "null";
                    let is_partial = (others..=all).contains(&found) && warnings.contains(CUT);
                    assert!(is_whole || is_partial, "{file} {len}: {found} of {all}, {warnings}");
                    n += 1;
                }
                n
            };
            let asking = [scope.spawn(ask), scope.spawn(ask)];
            thread::sleep(Duration::from_millis(400));
            let cut = OpenOptions::new().write(true).open(bucket_dir.join(CUT).join(file)).unwrap();
            cut.set_len(len).unwrap();
            thread::sleep(Duration::from_millis(800));
            over.store(true, Ordering::Relaxed);
            let asked: usize = asking.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert!(asked > 2, "{asked}");
        });
        let (found, warnings) = count(servers.last().unwrap(), "true").unwrap();
        assert!(found == others && warnings.contains("truncated while mapped"), "{found} {warnings}");
        let error = count(servers.last().unwrap(), "false").unwrap_err();
        assert!(error.contains(CUT) && error.contains(file), "{error}");
        assert!(servers.iter_mut().all(Server::is_alive), "{file} {len}");
    }
}

#[test]
fn standalone_lives_and_counts_right() {
    check(|bucket| vec![Server::standalone(&[&format!("--bucket-dir={}", bucket.display())])]);
}

#[test]
fn store_lives_and_sends_nothing_that_is_gone() {
    check(|bucket| {
        let (store, address) = Server::store(bucket, &bucket.with_extension("data"));
        let query = Server::query(&[&address], &[]);
        vec![store, query]
    });
}
