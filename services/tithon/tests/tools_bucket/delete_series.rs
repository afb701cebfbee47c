//! `delete-series`, and `tithon compact`, which carries it out: what is left is what `rewrite` leaves of the same blocks.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::killed::{again_and_again, all_visible_blocks_are_sound};
use crate::{command, json, lines, names, refused, told, tool, yaml};

/// The raw block of 48 hours, and those of 5 minutes and of an hour that were made of it.
const RAW: &str = "01HWXW0A00N2JP40HM8NDAQDMF";
const MADE: [&str; 2] = ["01HWY69WW03S31SCAFM32EK5KS", "01HWY9QRG0ZB7Z0GY2J37SMPMC"];

fn bucket() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for block in [RAW, MADE[0], MADE[1]] {
        let golden = tithon_testdata::shared("testdata/bucket").join(block);
        tithon_testdata::copy_dir(&golden, &dir.path().join(block));
    }
    dir
}

fn compact(bucket: &Path, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tithon"));
    command.args(["compact", "--http-address=127.0.0.1:0", "--log.level=warn", "--delete-delay=0s"]);
    command.arg(format!("--objstore.config={}", yaml(bucket)));
    command.arg(format!("--data-dir={}", data.display()));
    command
}

fn run(mut command: Command) {
    let output: Output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Of each complete block its resolution and all of its samples as text.
fn samples(bucket: &Path) -> Vec<(i64, String)> {
    let blocks = names(bucket).into_iter().map(|name| bucket.join(name));
    let mut all: Vec<(i64, String)> = blocks
        .filter(|dir| dir.join("meta.json").exists() && !dir.join("deletion-mark.json").exists())
        .map(|dir| {
            let resolution = json(&dir.join("meta.json"))["thanos"]["downsample"]["resolution"].as_i64();
            let mut dump = Command::new(env!("CARGO_BIN_EXE_tithon"));
            let output = dump.args(["tools", "block", "dump"]).arg(&dir).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            (resolution.unwrap(), String::from_utf8(output.stdout).unwrap())
        })
        .collect();
    all.sort();
    all
}

fn listed(bucket: &Path) -> Value {
    let output = tool("delete-series", bucket, &["--list", "--output=json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

const FROM: &str = "--min-time=2024-05-01T16:00:00Z";
const UNTIL: &str = "--max-time=2024-05-02T01:00:00Z";

/// What `rewrite` leaves of the three blocks with the same deletion.
fn rewritten() -> Vec<(i64, String)> {
    let (dir, tmp) = (bucket(), tempfile::tempdir().unwrap());
    let config = "[{matchers: '{__name__=~\"up|go_goroutines\", pod!=\"app-0\"}', \
                  intervals: [{mint: 1714579200000, maxt: 1714611600000}]}]";
    let config = format!("--rewrite.to-delete-config={config}");
    let tmp_dir = format!("--tmp.dir={}", tmp.path().display());
    let ids = [RAW, MADE[0], MADE[1]].map(|block| format!("--id={block}"));
    let more = [&ids[0], &ids[1], &ids[2], &config, &tmp_dir, "--no-dry-run", "--delete-blocks"];
    told("rewrite", dir.path(), &more.map(|flag| flag as &str));
    samples(dir.path())
}

/// A series without the label has an empty one: such are not among these blocks' `up` and `go_goroutines`.
const MATCH: &str = "--match={__name__=~\"up|go_goroutines\", pod!=\"app-0\"}";

#[test]
fn what_is_asked_for_goes_from_all_resolutions() {
    let (dir, data) = (bucket(), tempfile::tempdir().unwrap());
    let path = dir.path();
    let before = samples(path);
    let plan = |more: &[&str]| -> Value {
        let output = tool("delete-series", path, &[&[MATCH, FROM, UNTIL, "--output=json"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let dry = plan(&["--dry-run"]);
    assert!(dry["request"].is_null() && !path.join("deletions").exists(), "{dry}");
    let blocks = dry["blocks"].as_array().unwrap();
    assert_eq!(blocks[0]["block"], RAW, "{dry}");
    assert!(blocks[0]["series"].as_u64().unwrap() > 0 && blocks[0]["bytes"].as_u64().unwrap() > 0, "{dry}");
    let made = plan(&["--author=me", "--details=asked for"]);
    let id = made["request"].as_str().unwrap();
    assert_eq!(made["blocks"], dry["blocks"]);
    let list = listed(path);
    assert_eq!(
        (&list[0]["request"], &list[0]["author"], &list[0]["details"]),
        (&id.into(), &"me".into(), &"asked for".into())
    );
    assert!(list[0]["done_ms"].is_null() && list[0]["blocks_left"] == 3, "{list}");
    // Blocks are what they are to everybody else.
    assert_eq!(lines("ls", path, &[]).len(), 3);
    assert!(samples(path) == before);
    for _ in 0..3 {
        run(compact(path, data.path()));
    }
    assert!(samples(path) == rewritten());
    let list = listed(path);
    assert!(list[0]["done_ms"].as_i64().unwrap() > 0 && list[0]["blocks_left"] == 0, "{list}");
    assert!(!path.join("deletions").join(format!("{id}.json")).exists());
    let table = lines("delete-series", path, &["--list"]).join("\n");
    assert!(table.contains(id) && table.contains("done ") && table.contains("asked for"), "{table}");
}

#[test]
fn a_request_can_be_cancelled() {
    let (dir, data) = (bucket(), tempfile::tempdir().unwrap());
    let path = dir.path();
    let before = samples(path);
    let output = tool("delete-series", path, &["--match=up", "--output=json"]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cancel = format!("--cancel={}", made["request"].as_str().unwrap());
    told("delete-series", path, &[&cancel]);
    assert!(refused("delete-series", path, &[&cancel]).contains("no such request is in force"));
    run(compact(path, data.path()));
    assert!(samples(path) == before);
}

#[test]
fn mistakes_are_told() {
    let dir = bucket();
    for (flags, says) in [
        (&[][..], "--match"),
        (&["--match={"], "--match={"),
        (&["--match={job=~\".*\"}"], "all there are"),
        (&["--match=up", "--min-time=2024-05-02T00:00:00Z", "--max-time=2024-05-01T00:00:00Z"], "--min-time"),
        (&["--match=up", "--id=01HWS4YAG00000000000000035"], "no such block"),
        (&["--match=up", "--list"], "--list"),
    ] {
        let error = refused("delete-series", dir.path(), flags);
        assert!(error.contains(says), "{flags:?}: {error}");
    }
    let none = lines("delete-series", dir.path(), &["--match=no_such_metric"]).join("\n");
    assert!(none.contains("no block has such samples"), "{none}");
    assert!(!dir.path().join("deletions").exists());
}

/// However often the compactor is killed on its way, nothing else goes, and all that was asked for is gone in the end.
#[test]
fn a_compactor_that_is_killed_again_and_again_ends() {
    let (dir, data) = (bucket(), tempfile::tempdir().unwrap());
    let path = dir.path();
    told("delete-series", path, &[MATCH, FROM, UNTIL]);
    again_and_again(|| compact(path, data.path()), || all_visible_blocks_are_sound(path));
    for _ in 0..3 {
        run(compact(path, data.path()));
    }
    assert!(samples(path) == rewritten());
    assert!(listed(path)[0]["done_ms"].as_i64().unwrap() > 0);
}

/// A request is there as a whole or not at all; the same one more than once deletes the same.
#[test]
fn a_request_that_is_killed_again_and_again_is_made() {
    let (dir, data) = (bucket(), tempfile::tempdir().unwrap());
    let path = dir.path();
    let requests = || -> usize { listed(path).as_array().unwrap().len() };
    again_and_again(
        || command("delete-series", path, &[MATCH, FROM, UNTIL]),
        || {
            let files = names(path).contains(&"deletions".to_owned());
            let whole = if files { names(&path.join("deletions")) } else { Vec::new() };
            let whole = whole.into_iter().filter(|name| name.ends_with(".json"));
            assert_eq!(requests(), whole.count(), "all that is there can be read");
        },
    );
    assert!(requests() >= 1);
    for _ in 0..3 {
        run(compact(path, data.path()));
    }
    assert!(samples(path) == rewritten());
}
