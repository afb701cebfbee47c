//! `tithon sidecar` killed at every request of its uploads: readers never see a part of a block, and at the end each block is there once,
//! byte by byte.
//!
//! Over a directory it is killed when so many files are there. The S3 part runs where `versitygw` is installed and says so elsewhere.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "a test has no public items; pub says what a module offers")]

#[path = "../../bucket/tests/objects/fleet.rs"]
#[allow(dead_code, reason = "other tests share it")]
mod fleet;
#[path = "differential/process.rs"]
#[allow(dead_code, reason = "other tests start other servers")]
mod process;
#[path = "shipping/proxy.rs"]
mod proxy;
#[path = "../../bucket/tests/objects/swift.rs"]
#[allow(dead_code, reason = "the S3 server needs none of it")]
mod swift;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fleet::{Fleet, Kind};
use crate::process::{Server, TITHON, free_port, until};
use crate::proxy::{Moment, Proxy};

/// Golden blocks of level 1.
const BLOCKS: [&str; 2] = ["01HWXW0A00XMSH8720DDB6Q1XZ", "01HWY2W18098J7YH2B3C1JMZWS"];
/// The bytes of a segment that S3 is sent in parts.
const LONG: usize = 20 << 20;

/// A data directory with blocks, one of them long.
fn data_dir(dir: &Path, long: usize) -> PathBuf {
    let tsdb = dir.join("tsdb");
    std::fs::create_dir_all(tsdb.join("wal")).unwrap();
    for block in BLOCKS {
        let golden = tithon_testdata::shared(&format!("testdata/compaction/horizontal/in/{block}"));
        tithon_testdata::copy_dir(&golden, &tsdb.join(block));
    }
    // Files of a block are carried as they are.
    let noise = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    let bytes: Vec<u8> = (0..long).map(noise).collect();
    std::fs::write(tsdb.join(BLOCKS[1]).join("chunks/000002"), bytes).unwrap();
    tsdb
}

fn files(dir: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => found.append(&mut files(&path)),
            false => _ = found.insert(path),
        }
    }
    found
}

/// How many blocks readers see, all of which must be whole.
fn visible(bucket: &Path, tsdb: &Path) -> usize {
    let is_visible = |block: &&&str| bucket.join(block).join("meta.json").exists();
    let seen: Vec<_> = BLOCKS.iter().filter(is_visible).collect();
    for block in &seen {
        let segments = files(&tsdb.join(block).join("chunks"));
        for from in segments.into_iter().chain([tsdb.join(block).join("index")]) {
            let name = from.strip_prefix(tsdb).unwrap();
            assert!(std::fs::read(&from).unwrap() == std::fs::read(bucket.join(name)).unwrap(), "{name:?}");
        }
    }
    seen.len()
}

/// A sidecar, which may be killed.
fn sidecar(prometheus: &Server, tsdb: &Path, objects: &str) -> Child {
    let mut command = Command::new(TITHON);
    command.args(["sidecar", "--log.level=error", "--http-address=127.0.0.1:0"]);
    command.arg(format!("--grpc-address=127.0.0.1:{}", free_port()));
    command.arg(format!("--prometheus.url={}", prometheus.url));
    command.arg(format!("--tsdb.path={}", tsdb.display()));
    command.arg(format!("--objstore.config={objects}"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn prometheus(dir: &Path) -> Option<Server> {
    if Command::new("prometheus").arg("--version").output().is_err() {
        assert!(std::env::var_os("TITHON_SERVERS").is_none(), "prometheus is not installed");
        eprintln!("skipped: prometheus is not installed");
        return None;
    }
    let config = "global: {scrape_interval: 1h, external_labels: {replica: a}}\n";
    Some(Server::prometheus_with(Command::new("prometheus"), dir, config, &[]))
}

/// Lets a sidecar end its work in peace; then each block is there once and nothing else.
fn finish(prometheus: &Server, tsdb: &Path, bucket: &Path, objects: &str) {
    let mut child = sidecar(prometheus, tsdb, objects);
    let noted = tsdb.join("thanos.shipper.json");
    let is_noted =
        || std::fs::read_to_string(&noted).is_ok_and(|text| BLOCKS.iter().all(|b| text.contains(b)));
    until("all uploads", || visible(bucket, tsdb) == BLOCKS.len() && is_noted());
    child.kill().unwrap();
    child.wait().unwrap();
    let names = ["index", "chunks/000001", "chunks/000002", "meta.json"];
    let of_block = |block: &str| names.map(|name| bucket.join(block).join(name));
    let mut expected: BTreeSet<PathBuf> = BLOCKS.into_iter().flat_map(of_block).collect();
    expected.remove(&bucket.join(BLOCKS[0]).join("chunks/000002"));
    // Nothing is left of the uploads that were broken off.
    assert_eq!(files(bucket).into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn killed_over_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let Some(prometheus) = prometheus(dir.path()) else { return };
    for n_files in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let (tsdb, bucket) = (data_dir(dir.path(), 2 << 20), dir.path().join("bucket"));
        std::fs::create_dir(&bucket).unwrap();
        let objects = format!("{{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display());
        let mut child = sidecar(&prometheus, &tsdb, &objects);
        let begun = Instant::now();
        while files(&bucket).len() < n_files && visible(&bucket, &tsdb) < BLOCKS.len() {
            assert!(begun.elapsed() < Duration::from_secs(120), "no upload");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let is_last = visible(&bucket, &tsdb) == BLOCKS.len();
        finish(&prometheus, &tsdb, &bucket, &objects);
        if is_last {
            eprintln!("shipping: killed at {n_files} files of a directory");
            return;
        }
    }
}

#[test]
fn killed_at_every_request_to_s3() {
    if Command::new("versitygw").arg("--version").output().is_err() {
        assert!(std::env::var_os("TITHON_OBJECTS").is_none(), "versitygw is not installed");
        eprintln!("skipped: versitygw is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(prometheus) = prometheus(dir.path()) else { return };
    let fleet = Fleet::start(Kind::S3);
    for moment in [Moment::BeforeRequest, Moment::BeforeAnswer] {
        let n_requests = kill_at_each_request(&prometheus, &fleet, moment);
        assert!(n_requests >= 8, "{n_requests}");
        eprintln!("shipping: killed at each of {n_requests} requests, {moment:?}");
    }
}

/// Uploads into a new prefix for each number of a request at which the sidecar is killed. Gives how many there are.
fn kill_at_each_request(prometheus: &Server, fleet: &Fleet, moment: Moment) -> usize {
    for n in 1.. {
        let dir = tempfile::tempdir().unwrap();
        let (tsdb, prefix) = (data_dir(dir.path(), LONG), format!("{moment:?}-{n}"));
        let bucket = fleet.dir.path().join("thanos").join(&prefix);
        let direct = fleet.yaml().replace("prefix: a/b", &format!("prefix: {prefix}"));
        let proxy = Proxy::start(fleet.port, n, moment);
        let through = direct.replace(&format!("127.0.0.1:{}", fleet.port), &proxy.address);
        let mut child = sidecar(prometheus, &tsdb, &through);
        proxy.kills(child.id());
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if proxy.is_armed() && visible(&bucket, &tsdb) == BLOCKS.len() {
                child.kill().unwrap();
                child.wait().unwrap();
                return n - 1;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "neither killed nor done");
            std::thread::sleep(Duration::from_millis(5));
        }
        visible(&bucket, &tsdb);
        finish(prometheus, &tsdb, &bucket, &direct);
    }
    unreachable!("there are numbers enough")
}
