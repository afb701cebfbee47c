//! `tithon store` and `tithon compact` as processes over real object stores: answers and resulting blocks equal
//! those over a directory.
//!
//! These tests run where `TITHON_OBJECTS` is set, as in CI, which installs the servers; elsewhere each says that it was
//! skipped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "a test has no public items; pub says what a module offers")]

#[path = "../../bucket/tests/objects/fleet.rs"]
#[allow(dead_code, reason = "other tests share it")]
mod fleet;
#[path = "../../bucket/tests/objects/look.rs"]
#[allow(dead_code, reason = "other tests share it")]
mod look;
#[path = "differential/process.rs"]
#[allow(dead_code, reason = "other tests share it")]
mod process;
#[path = "../../bucket/tests/objects/swift.rs"]
mod swift;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tithon_bucket::{Bucket, BucketConfig, MarkKind, TransferOptions};

use crate::fleet::{Fleet, Kind, SECRET};
use crate::look::look;
use crate::process::{Server, TITHON};

/// The golden bucket without the downsampled blocks, so that these are made again.
const MADE: [&str; 2] = ["01HWY69WW03S31SCAFM32EK5KS", "01HWY9QRG0ZB7Z0GY2J37SMPMC"];

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

fn golden() -> PathBuf {
    tithon_testdata::shared("testdata/bucket")
}

/// Uploads the blocks of the golden bucket, with their marks.
async fn fill(bucket: &Bucket, without: &[&str]) {
    let golden = Bucket::open(&BucketConfig::filesystem(golden())).unwrap();
    for meta in look(&golden).await.unwrap().new {
        let id = meta.ulid.to_string();
        if without.contains(&id.as_str()) {
            continue;
        }
        for kind in [MarkKind::Deletion, MarkKind::NoCompact, MarkKind::NoDownsample] {
            if let Some(mark) = golden.mark(meta.ulid, kind).await.unwrap() {
                bucket.put_mark(&mark).await.unwrap();
            }
        }
        let dir = golden.block_dir(meta.ulid).unwrap();
        bucket.upload_block(&dir, (*meta).clone(), TransferOptions::default()).await.unwrap();
    }
}

/// The labels, resolution, level and marks of each complete block, and the SHA-256 of its index and chunks.
async fn contents(bucket: &Bucket) -> Vec<String> {
    let mut lines = Vec::new();
    for meta in look(bucket).await.unwrap().new {
        let dir = tempfile::tempdir().unwrap();
        bucket.download_block(&meta, dir.path(), TransferOptions::default()).await.unwrap();
        let mut hash = Sha256::new();
        hash.update(std::fs::read(dir.path().join("index")).unwrap());
        let chunks = std::fs::read_dir(dir.path().join("chunks")).unwrap();
        let mut chunks: Vec<PathBuf> = chunks.map(|entry| entry.unwrap().path()).collect();
        chunks.sort();
        chunks.iter().for_each(|path| hash.update(std::fs::read(path).unwrap()));
        let mut marks = Vec::new();
        for kind in [MarkKind::Deletion, MarkKind::NoCompact, MarkKind::NoDownsample] {
            marks.extend(bucket.mark(meta.ulid, kind).await.unwrap().map(|mark| mark.kind.file()));
        }
        let thanos = meta.thanos.as_ref().unwrap();
        let (labels, level) = (&thanos.labels, meta.compaction.level);
        let hash = hex::encode(hash.finalize());
        lines.push(format!("{labels:?} {:?} {level} {hash} {marks:?}", thanos.downsample.resolution));
    }
    lines.sort();
    lines
}

fn compact(yaml: &str, data: &Path, streaming: bool) {
    let mut command = Command::new(TITHON);
    command.args(["compact", "--http-address=127.0.0.1:0", "--log.level=warn"]);
    command.args(["--deduplication.replica-label=replica", &format!("--objstore.config={yaml}")]);
    command.arg(format!("--data-dir={}", data.display()));
    if streaming {
        command.arg("--compact.streaming");
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn compact_leaves_what_it_leaves_in_a_directory() {
    if !enabled() {
        return;
    }
    let runtime = runtime();
    let after = |yaml: &str, streaming| {
        let bucket = runtime.block_on(Bucket::connect(&BucketConfig::parse(yaml).unwrap())).unwrap();
        runtime.block_on(fill(&bucket, &MADE));
        compact(yaml, tempfile::tempdir().unwrap().path(), streaming);
        runtime.block_on(contents(&bucket))
    };
    let dir = tempfile::tempdir().unwrap();
    let expected = after(&directory(dir.path()), false);
    assert_eq!(expected.len(), 6, "{expected:#?}");
    for kind in Kind::WRITABLE {
        for streaming in [false, true] {
            let fleet = Fleet::start(kind);
            assert_eq!(after(&fleet.yaml(), streaming), expected, "{kind:?}, streaming: {streaming}");
        }
        eprintln!("objects: compact over {kind:?} leaves the same blocks");
    }
}

/// Runs a tool of the bucket to its end.
fn bucket_tool(name: &str, yaml: &str, more: &[&str]) -> Output {
    let mut command = Command::new(TITHON);
    command.args(["tools", "bucket", name, &format!("--objstore.config={yaml}")]);
    let done = command.args(more).output().unwrap();
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    done
}

/// What the tools that only look say of a bucket.
fn survey(yaml: &str) -> Vec<String> {
    let printed =
        |name: &str, more: &[&str]| String::from_utf8(bucket_tool(name, yaml, more).stdout).unwrap();
    let verified = String::from_utf8(bucket_tool("verify", yaml, &[]).stderr).unwrap();
    // Without times and places in the source.
    let of_line = |line: &str| line.split_once(" level=").map(|(_, rest)| rest.to_owned());
    let findings: Vec<String> =
        verified.lines().filter_map(of_line).filter(|line| line.contains("block")).collect();
    vec![
        printed("ls", &[]),
        printed("ls", &["-o", "wide"]),
        printed("ls", &["-o", "{{.ULID}} {{.Thanos.Labels}} {{.Stats.NumSamples}}", "--exclude-delete"]),
        printed("inspect", &[]),
        printed("inspect", &["--output=csv", "-l", "cluster=\"eu1\"", "--sort-by=#SAMPLES"]),
        printed("analyze", &["--all", "--output=json"]),
        printed("cardinality", &["--all", "--output=json"]),
        findings.join("\n"),
    ]
}

#[test]
fn tools_say_what_they_say_of_a_directory() {
    let runtime = runtime();
    let of = |yaml: &str| {
        let bucket = runtime.block_on(Bucket::connect(&BucketConfig::parse(yaml).unwrap())).unwrap();
        runtime.block_on(fill(&bucket, &[]));
        survey(yaml)
    };
    let dir = tempfile::tempdir().unwrap();
    let expected = of(&directory(dir.path()));
    assert!(expected[..7].iter().all(|text| text.lines().count() >= 2), "{expected:#?}");
    // Copies of the blocks are told of like the blocks themselves.
    assert_eq!(survey(&directory(&golden()))[..5], expected[..5]);
    if !enabled() {
        return;
    }
    for kind in Kind::WRITABLE {
        let fleet = Fleet::start(kind);
        assert_eq!(of(&fleet.yaml()), expected, "{kind:?}");
        eprintln!("objects: tools say of {kind:?} what they say of a directory");
    }
}

/// Exports the blocks of a bucket that are not marked, imports them into another, and compares both; answers with the blocks
/// that were imported.
fn through_parquet(runtime: &tokio::runtime::Runtime, yaml: &str, other: &str, rows: &str) -> Vec<String> {
    let connect =
        |yaml: &str| runtime.block_on(Bucket::connect(&BucketConfig::parse(yaml).unwrap())).unwrap();
    runtime.block_on(fill(&connect(yaml), &["01HWRQ6W00X6DPMYWAJ8WS5VBY"]));
    let [files, tmp] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    bucket_tool("export", yaml, &[rows, &format!("--to={}", files.path().display())]);
    let entries = std::fs::read_dir(files.path()).unwrap().map(|entry| entry.unwrap().path());
    let paths: Vec<String> = entries.map(|path| path.display().to_string()).collect();
    let tmp_dir = format!("--tmp.dir={}", tmp.path().join("import").display());
    let flags: Vec<&str> = paths.iter().map(String::as_str).chain([tmp_dir.as_str()]).collect();
    bucket_tool("import", other, &flags);
    bucket_tool("diff", yaml, &[&format!("--objstore-to.config={other}")]);
    runtime.block_on(contents(&connect(other)))
}

#[test]
fn blocks_go_through_parquet_over_every_store() {
    let runtime = runtime();
    for rows in ["--rows=samples", "--rows=chunks"] {
        let [dir, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let expected = through_parquet(&runtime, &directory(dir.path()), &directory(other.path()), rows);
        assert_eq!(expected.len(), 6, "{expected:#?}");
        if !enabled() {
            continue;
        }
        for kind in Kind::WRITABLE {
            let fleet = Fleet::start(kind);
            let other = fleet.yaml().replace("prefix: a/b", "prefix: c");
            assert_eq!(through_parquet(&runtime, &fleet.yaml(), &other, rows), expected, "{kind:?}");
            eprintln!("objects: blocks go through Parquet over {kind:?}");
        }
    }
}

/// Uploads blocks, rewrites, marks and downsamples them, copies all to `other` and deletes the marked ones; returns the
/// blocks that are left in both.
fn worked_on(runtime: &tokio::runtime::Runtime, yaml: &str, other: &str) -> [Vec<String>; 2] {
    let [from, tmp] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let blocks = [("bucket", MADE_OF), ("compaction/horizontal/in", "01HWXW0A00XMSH8720DDB6Q1XZ")];
    for (folder, block) in blocks {
        let golden = tithon_testdata::shared(&format!("testdata/{folder}")).join(block);
        tithon_testdata::copy_dir(&golden, &from.path().join(block));
    }
    let path = format!("--path={}", from.path().display());
    bucket_tool("upload-blocks", yaml, &[&path, "--label=cluster=\"x\""]);
    let (id, tmp_dir) =
        (format!("--id={MADE_OF}"), format!("--tmp.dir={}", tmp.path().join("rewrite").display()));
    let config = "--rewrite.to-delete-config=[{matchers: up}]";
    bucket_tool("rewrite", yaml, &[&id, &tmp_dir, config, "--no-dry-run", "--delete-blocks"]);
    let data_dir = format!("--data-dir={}", tmp.path().join("downsample").display());
    bucket_tool("downsample", yaml, &["--single-run", "--http-address=127.0.0.1:0", &data_dir]);
    let to = format!("--objstore-to.config={other}");
    bucket_tool("replicate", yaml, &[&to, "--single-run", "--http-address=127.0.0.1:0"]);
    bucket_tool("diff", yaml, &[&to]);
    bucket_tool("retention", yaml, &["--retention.resolution-5m=1d", "--consistency-delay=0s"]);
    bucket_tool("cleanup", yaml, &["--delete-delay=0s", "--consistency-delay=0s"]);
    bucket_tool("verify", yaml, &[]);
    [yaml, other].map(|yaml| {
        let bucket = runtime.block_on(Bucket::connect(&BucketConfig::parse(yaml).unwrap())).unwrap();
        runtime.block_on(contents(&bucket))
    })
}

/// The raw block of 48 hours.
const MADE_OF: &str = "01HWXW0A00N2JP40HM8NDAQDMF";

#[test]
fn tools_leave_what_they_leave_in_a_directory() {
    let runtime = runtime();
    let [dir, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let expected = worked_on(&runtime, &directory(dir.path()), &directory(other.path()));
    // Two raw blocks are left; copied were these, the one that was rewritten, and two blocks of 5 minutes.
    assert_eq!(expected.each_ref().map(Vec::len), [2, 5], "{expected:#?}");
    if !enabled() {
        return;
    }
    for kind in Kind::WRITABLE {
        let fleet = Fleet::start(kind);
        let other = fleet.yaml().replace("prefix: a/b", "prefix: c");
        assert_eq!(worked_on(&runtime, &fleet.yaml(), &other), expected, "{kind:?}");
        eprintln!("objects: tools over {kind:?} leave the same blocks");
    }
}

/// Deletes series of the golden bucket and cuts others by a rule; answers with what is left, but for what is marked.
fn cut(runtime: &tokio::runtime::Runtime, yaml: &str) -> Vec<String> {
    let bucket = runtime.block_on(Bucket::connect(&BucketConfig::parse(yaml).unwrap())).unwrap();
    runtime.block_on(fill(&bucket, &[]));
    bucket_tool("delete-series", yaml, &["--match=up", "--match={__name__=~\"go_.*\", cluster=\"us1\"}"]);
    compact(yaml, tempfile::tempdir().unwrap().path(), false);
    let data = tempfile::tempdir().unwrap();
    let data_dir = format!("--data-dir={}", data.path().display());
    let policy = "--policy=[{match: '{pod=\"app-0\"}', raw: 30d}]";
    bucket_tool("retention", yaml, &[policy, &data_dir, "--consistency-delay=0s"]);
    bucket_tool("delete-series", yaml, &["--list"]);
    let left = runtime.block_on(contents(&bucket));
    left.into_iter().filter(|line| !line.contains("deletion-mark")).collect()
}

#[test]
fn series_that_go_from_a_directory_go_from_every_store() {
    let runtime = runtime();
    let dir = tempfile::tempdir().unwrap();
    let expected = cut(&runtime, &directory(dir.path()));
    assert!(expected.len() >= 4, "{expected:#?}");
    if !enabled() {
        return;
    }
    for kind in Kind::WRITABLE {
        let fleet = Fleet::start(kind);
        assert_eq!(cut(&runtime, &fleet.yaml()), expected, "{kind:?}");
        eprintln!("objects: series go from {kind:?} as from a directory");
    }
}

fn directory(dir: &Path) -> String {
    format!("{{type: FILESYSTEM, config: {{directory: {}}}}}", dir.display())
}

fn store_command(yaml: &str, data: &Path) -> Command {
    let mut command = Command::new(TITHON);
    command.args(["store", "--log.level=warn", "--sync-block-duration=1s"]);
    command.args([format!("--objstore.config={yaml}"), format!("--data-dir={}", data.display())]);
    command
}

/// Every sample of every series, as answered by `tithon query` over `tithon store`.
fn samples(query: &Server) -> String {
    let params = [("query", "{__name__=~\".+\"}[30d]"), ("time", "1716000000")];
    query.text("/api/v1/query", &params)
}

#[test]
fn store_answers_what_it_answers_over_a_directory() {
    if !enabled() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let serve = |yaml: &str, name: &str| {
        let (store, address) = Server::of_store(store_command(yaml, &data.path().join(name)));
        let query = Server::query(&[&address], &["--query.timeout=20s"]);
        (store, query)
    };
    let (_store, query) = serve(&directory(&golden()), "directory");
    let expected = samples(&query);
    assert!(expected.len() > 100_000 && expected.contains("\"status\":\"success\""), "{expected:.500}");
    for kind in Kind::WRITABLE {
        let mut fleet = Fleet::start(kind);
        runtime().block_on(async {
            let config = BucketConfig::parse(&fleet.yaml()).unwrap();
            fill(&Bucket::connect(&config).await.unwrap(), &[]).await;
        });
        let (mut store, query) = serve(&fleet.yaml(), &format!("{kind:?}"));
        assert_eq!(samples(&query), expected, "{kind:?}");
        if kind != Kind::Azure {
            // Azurite loses unwritten data when it is killed.
            fleet.kill();
            let down = samples(&query);
            assert!(down != expected && !down.contains(SECRET), "{down:.500}");
            fleet.launch();
            let deadline = Instant::now() + Duration::from_secs(60);
            while samples(&query) != expected {
                assert!(Instant::now() < deadline, "{kind:?} does not answer again");
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        assert!(store.is_alive());
        eprintln!("objects: store over {kind:?} answers the same");
    }
}

/// A process whose bucket cannot be reached ends with an error that gives the reason and contains no secret.
#[test]
fn a_bucket_that_cannot_be_reached_ends_the_process() {
    if !enabled() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    for kind in Kind::WRITABLE {
        let mut fleet = Fleet::start(kind);
        let end = |yaml: &str| -> Output {
            let mut command = store_command(yaml, data.path());
            command.args(["--http-address=127.0.0.1:0", "--grpc-address=127.0.0.1:0"]);
            let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            while child.try_wait().unwrap().is_none() {
                if Instant::now() >= deadline {
                    child.kill().unwrap();
                    panic!("{kind:?}: still runs after 60 s: {yaml}");
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            child.wait_with_output().unwrap()
        };
        let missing = end(&fleet.yaml_of("missing", SECRET));
        let refused = kind.has_password().then(|| end(&fleet.yaml_of("thanos", "hunter3hunter3")));
        fleet.kill();
        let down = end(&fleet.yaml());
        let refused = refused.map(|output| ("refused", output));
        for (what, output) in [("missing", missing), ("down", down)].into_iter().chain(refused) {
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{kind:?} {what}: {told}");
            assert!(!told.contains(SECRET) && !told.contains("hunter3"), "{kind:?} {what}: {told}");
            assert!(
                told.contains("127.0.0.1") || told.contains(&format!("{kind:?}").to_uppercase()),
                "{told}"
            );
        }
        eprintln!("objects: {kind:?} out of reach ends the process");
    }
}

/// Whether these tests are to run.
fn enabled() -> bool {
    let on = std::env::var_os("TITHON_OBJECTS").is_some();
    if !on {
        eprintln!("skipped: TITHON_OBJECTS is not set");
    }
    on
}
