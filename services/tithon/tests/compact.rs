//! `tithon compact` as a process: on the golden bucket it leaves what Thanos leaves, also when it is killed again and
//! again on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tithon_testdata::copy_dir;

/// The golden bucket without the downsampled blocks, so that these are made again.
fn bucket(dir: &Path) {
    copy_dir(&tithon_testdata::shared("testdata/bucket"), dir);
    for made in ["01HWY69WW03S31SCAFM32EK5KS", "01HWY9QRG0ZB7Z0GY2J37SMPMC"] {
        std::fs::remove_dir_all(dir.join(made)).unwrap();
    }
}

fn tithon(dir: &Path, args: &[&str]) -> Command {
    tithon_of(dir, &format!("--data-dir={}", dir.join("data").display()), args)
}

/// The command, with a data directory of its own.
fn tithon_of(dir: &Path, data: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tithon"));
    let config = format!("{{type: FILESYSTEM, config: {{directory: {}}}}}", dir.join("bucket").display());
    command.args(["compact", "--http-address=127.0.0.1:0", "--log.level=warn"]);
    command.args([&format!("--objstore.config={config}"), data]);
    command.args(args).stderr(Stdio::piped());
    command
}

/// The labels, resolution, level and marks of each complete block, and the SHA-256 of its index and chunks, cut to 16
/// digits.
fn lines(bucket: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(bucket).unwrap() {
        let dir = entry.unwrap().path();
        let Ok(meta) = std::fs::read(dir.join("meta.json")) else { continue };
        let meta: Value = serde_json::from_slice(&meta).unwrap();
        let names = |dir: &Path| {
            let entries = std::fs::read_dir(dir).unwrap();
            let mut names: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            // The staged file of a killed upload is not an object.
            names.retain(|name| !name.contains('#'));
            names.sort();
            names
        };
        let mut hash = Sha256::new();
        hash.update(std::fs::read(dir.join("index")).unwrap());
        for name in names(&dir.join("chunks")) {
            hash.update(std::fs::read(dir.join("chunks").join(name)).unwrap());
        }
        let hex = hex::encode(hash.finalize());
        let marks: Vec<String> =
            names(&dir).into_iter().filter(|name| name.ends_with("-mark.json")).collect();
        let cluster = meta["thanos"]["labels"]["cluster"].as_str().unwrap();
        let resolution = &meta["thanos"]["downsample"]["resolution"];
        let level = &meta["compaction"]["level"];
        lines.push(format!("{cluster} {resolution} {level} {} [{}]", &hex[..16], marks.join(",")));
    }
    lines.sort();
    lines
}

/// The blocks that Thanos 0.43-dev leaves of the same bucket with `--deduplication.replica-label=replica`.
const EXPECTED: [&str; 6] = [
    "eu1 0 1 4136aedb0266ba42 [deletion-mark.json]",
    "eu1 0 1 da40e213ab92735f [deletion-mark.json]",
    "eu1 0 2 fdb4f39f4cf77772 []",
    "us1 0 1 0e1c271513ef7924 [no-compact-mark.json,no-downsample-mark.json]",
    "us1 0 1 77d748561ec50cce []",
    "us1 300000 1 bebcf34d65da665e []",
];

/// A block with a chunk of unknown encoding is marked, the others are merged, and its bytes reach no result.
#[test]
fn a_chunk_of_unknown_encoding_stays_where_it_is() {
    let bad = "01HWS4YAG00000000000000035";
    for args in [&["--compact.streaming"][..], &[]] {
        let dir = tempfile::tempdir().unwrap();
        let bucket = dir.path().join("bucket");
        copy_dir(&tithon_testdata::shared("testdata/field/encoding-0"), &bucket);
        let output = tithon(dir.path(), args).output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        assert!(log.contains(bad) && log.contains("encoding 0 (unknown)"), "{log}");
        let marks = |block: &str| {
            let mark = |name: &str| bucket.join(block).join(name).exists();
            (mark("no-compact-mark.json"), mark("deletion-mark.json"))
        };
        assert_eq!(marks(bad), (true, false), "{log}");
        for block in ["01HWRY2K800000000000000034", "01HWSBT1R00000000000000036"] {
            assert!(!marks(block).0, "{block}: {log}");
        }
        for entry in std::fs::read_dir(&bucket).unwrap() {
            let meta: Value =
                serde_json::from_slice(&std::fs::read(entry.unwrap().path().join("meta.json")).unwrap())
                    .unwrap();
            let sources = meta["compaction"]["sources"].as_array().unwrap();
            let is_made = meta["compaction"]["level"] != 1;
            assert!(!is_made || sources.iter().all(|source| *source != bad), "{meta}");
        }
    }
}

const REPLICA: &str = "--deduplication.replica-label=replica";

#[test]
fn the_golden_bucket_ends_as_thanos_leaves_it() {
    for args in [&[REPLICA][..], &[REPLICA, "--compact.streaming"], &[REPLICA, "--hash-func=SHA256"]] {
        let dir = tempfile::tempdir().unwrap();
        bucket(&dir.path().join("bucket"));
        let output = tithon(dir.path(), args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(lines(&dir.path().join("bucket")), EXPECTED, "{args:?}");
    }
}

#[test]
fn killed_again_and_again_it_ends_the_same() {
    let dir = tempfile::tempdir().unwrap();
    bucket(&dir.path().join("bucket"));
    // The kills come from before the first request to after the last one, at uneven times.
    for round in 0..30u64 {
        let streaming = format!("--compact.streaming={}", round % 2 == 0);
        let mut child = tithon(dir.path(), &[REPLICA, &streaming]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(10 + round * round * 37 % 230));
        // The process may have ended already.
        let _ = child.kill();
        child.wait().unwrap();
    }
    let output = tithon(dir.path(), &[REPLICA]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines(&dir.path().join("bucket")), EXPECTED);
}

/// Three processes share the bucket and are killed again and again; what one that was killed had in hand is taken over.
#[test]
fn three_compactors_under_leases_are_killed_and_end_as_one() {
    let dir = tempfile::tempdir().unwrap();
    bucket(&dir.path().join("bucket"));
    let flags = [REPLICA, "--compact.lease", "--compact.lease-duration=1s"];
    let start = |number: usize| {
        let data = format!("--data-dir={}", dir.path().join(format!("data-{number}")).display());
        tithon_of(dir.path(), &data, &flags).spawn().unwrap()
    };
    let mut children: Vec<_> = (0..3).map(start).collect();
    for round in 0..45_u64 {
        std::thread::sleep(Duration::from_millis(10 + round * round * 37 % 130));
        let number = round as usize % 3;
        let _ = children[number].kill();
        children[number].wait().unwrap();
        children[number] = start(number);
    }
    for child in &mut children {
        child.wait().unwrap();
    }
    // The last processes left leases to each other, or to those that were killed.
    std::thread::sleep(Duration::from_millis(1_100));
    let output = tithon(dir.path(), &flags).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines(&dir.path().join("bucket")), EXPECTED);
    check_whole(&dir.path().join("bucket"));
}

/// Runs a command with a volume of so many KiB at `at`, filled from `with` before and copied to `to` afterwards. `None`
/// where volumes cannot be mounted.
fn on_small_volume(kib: u64, [at, with, to]: [&Path; 3], command: &Command) -> Option<std::process::Output> {
    let script = r#"set -e
        mount -t tmpfs -o "size=$1k" tmpfs "$2" || exit 99
        at=$2 with=$3 to=$4
        shift 4
        cp -r "$with/." "$at"
        code=0
        "$@" || code=$?
        cp -r "$at/." "$to"
        exit $code"#;
    for flags in [&["--mount"][..], &["--mount", "--map-root-user"]] {
        let mut run = Command::new("unshare");
        run.args(flags).args(["sh", "-c", script, "sh"]).arg(kib.to_string()).args([at, with, to]);
        let output = run.arg(command.get_program()).args(command.get_args()).output();
        match output {
            Ok(output) if output.status.code() == Some(99) => {}
            Ok(output) if String::from_utf8_lossy(&output.stderr).starts_with("unshare:") => {}
            Ok(output) => return Some(output),
            Err(error) => println!("unshare: {error}"),
        }
    }
    println!("skipped: no volume can be mounted here");
    None
}

/// Pages of 4 KiB that the files of a folder take.
fn pages(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { pages(&path) } else { path.metadata().unwrap().len().div_ceil(4096) })
        .sum()
}

/// Every block that has a meta.json has all files that it lists.
fn check_whole(bucket: &Path) {
    for entry in std::fs::read_dir(bucket).unwrap() {
        let dir = entry.unwrap().path();
        let Ok(meta) = std::fs::read(dir.join("meta.json")) else { continue };
        let meta: Value = serde_json::from_slice(&meta).unwrap();
        for file in meta["thanos"]["files"].as_array().into_iter().flatten() {
            let Some(size) = file["size_bytes"].as_u64().filter(|size| *size > 0) else { continue };
            let path = dir.join(file["rel_path"].as_str().unwrap());
            assert_eq!(std::fs::metadata(&path).unwrap().len(), size, "{}", path.display());
        }
    }
}

/// Runs on a bucket that has room for so many KiB only, and then on one with room.
fn full_bucket(kib: u64, args: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let places = ["bucket", "with", "after"].map(|name| dir.path().join(name));
    places.iter().for_each(|dir| std::fs::create_dir_all(dir).unwrap());
    let [at, with, after] = places.each_ref().map(AsRef::as_ref);
    bucket(with);
    let Some(output) = on_small_volume(kib, [at, with, after], &tithon(dir.path(), args)) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    std::fs::remove_dir_all(at).unwrap();
    std::fs::rename(after, at).unwrap();
    // No block is half there, and with room the next run ends as the first one should have.
    check_whole(at);
    let output = tithon(dir.path(), args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines(at), EXPECTED);
}

/// Over a directory nothing is copied: scratch space holds notes only.
#[test]
fn a_small_scratch_volume_is_enough_over_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let places = ["data", "with", "after"].map(|name| dir.path().join(name));
    places.iter().for_each(|dir| std::fs::create_dir_all(dir).unwrap());
    bucket(&dir.path().join("bucket"));
    let [at, with, after] = places.each_ref().map(AsRef::as_ref);
    let Some(output) = on_small_volume(64, [at, with, after], &tithon(dir.path(), &[REPLICA])) else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines(&dir.path().join("bucket")), EXPECTED);
}

#[test]
fn a_full_bucket_volume_is_told_and_got_over() {
    let dir = tempfile::tempdir().unwrap();
    bucket(dir.path());
    // The volume has room for the bucket and a few more pages.
    let used = pages(dir.path()) * 4 + 24;
    for streaming in ["--compact.streaming=false", "--compact.streaming=true"] {
        full_bucket(used, &[REPLICA, streaming]);
    }
}

#[test]
fn a_bucket_cut_into_shards_holds_the_same() {
    let dirs: Vec<tempfile::TempDir> = ["--compact.split-shards=0", "--compact.split-shards=3"]
        .into_iter()
        .map(|shards| {
            let dir = tempfile::tempdir().unwrap();
            bucket(&dir.path().join("bucket"));
            // Twice, so that the second run deletes what the first one has marked, a second before at least.
            for _ in 0..2 {
                let output = tithon(dir.path(), &[REPLICA, shards, "--delete-delay=0s"]).output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                std::thread::sleep(Duration::from_millis(1100));
            }
            dir
        })
        .collect();
    let buckets: Vec<String> =
        dirs.iter().map(|dir| dir.path().join("bucket").display().to_string()).collect();
    assert_eq!(lines(buckets[1].as_ref()).len(), lines(buckets[0].as_ref()).len() + 2);
    let mut shards: Vec<Value> = Vec::new();
    for dir in shard_dirs(buckets[1].as_ref()) {
        let meta: Value =
            serde_json::from_slice(&std::fs::read(Path::new(&dir).join("meta.json")).unwrap()).unwrap();
        let shard = &meta["thanos"]["extensions"]["tithon_shard"];
        assert_eq!((&shard["count"], &shard["block"]), (&Value::from(3), &meta["ulid"]));
        shards.push(shard["index"].clone());
    }
    shards.sort_by_key(Value::as_i64);
    assert_eq!(shards, [0, 1, 2]);
    let diff = ["tools", "block", "diff", &buckets[0], &buckets[1]];
    let output = Command::new(env!("CARGO_BIN_EXE_tithon")).args(diff).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    // Merged offline, they are one block again.
    let out = dirs[1].path().join("whole");
    let args = ["tools", "block", "compact", "--out", out.to_str().unwrap()];
    let shards: Vec<String> = shard_dirs(buckets[1].as_ref());
    let output = Command::new(env!("CARGO_BIN_EXE_tithon")).args(args).args(shards).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let whole = lines(&out);
    assert!(whole[0].contains("fdb4f39f4cf77772"), "not the index and chunks of {EXPECTED:?}: {whole:?}");
}

fn shard_dirs(bucket: &Path) -> Vec<String> {
    let dirs = std::fs::read_dir(bucket).unwrap().map(|entry| entry.unwrap().path());
    let is_shard = |dir: &std::path::PathBuf| {
        std::fs::read_to_string(dir.join("meta.json")).is_ok_and(|meta| meta.contains("tithon_shard"))
    };
    dirs.filter(is_shard).map(|dir| dir.display().to_string()).collect()
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("bucket")).unwrap();
    for (args, says) in [
        (&["--deduplication.func=penalty"][..], "needs --deduplication.replica-label"),
        (&["--retention.resolution-raw=39h"], "must be 40h at least"),
        (&["--min-time=2024-01-02T00:00:00Z", "--max-time=2024-01-01T00:00:00Z"], "must not be after"),
        (&["--selector.relabel-config=[{action: replace}]"], "is not supported, use keep, drop or hashmod"),
        (&["--compact.concurrency=0"], "expected a number above 0"),
        (&["--debug.max-compaction-level=5"], "from 0 to 4"),
        (&["--compact.split-shards=1025"], "expected a number from 0 to 1024"),
    ] {
        let output = tithon(dir.path(), args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(says), "{args:?}: {error}");
    }
}
