//! `tithon tools bucket` over a FILESYSTEM bucket of recorded blocks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "a test has no public items; pub says what a module offers")]

#[path = "tools_bucket/delete_series.rs"]
mod delete_series;
#[path = "tools_bucket/jobs.rs"]
mod jobs;
#[path = "tools_bucket/killed.rs"]
mod killed;
#[path = "tools_bucket/parquet.rs"]
mod parquet;
#[path = "tools_bucket/replicate.rs"]
mod replicate;
#[path = "tools_bucket/retention.rs"]
mod retention;
#[path = "tools_bucket/rewrite.rs"]
mod rewrite;
#[path = "tools_bucket/survey.rs"]
mod survey;
#[path = "tools_bucket/upload_blocks.rs"]
mod upload_blocks;
#[path = "tools_bucket/verify.rs"]
mod verify;
#[path = "tools_bucket/web.rs"]
mod web;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The YAML of a FILESYSTEM bucket.
fn yaml(bucket: &Path) -> String {
    format!("{{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display())
}

fn command(name: &str, bucket: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tithon"));
    command.env("TZ", "America/New_York");
    command.args(["tools", "bucket", name, &format!("--objstore.config={}", yaml(bucket))]).args(more);
    command
}

fn tool(name: &str, bucket: &Path, more: &[&str]) -> Output {
    command(name, bucket, more).output().unwrap()
}

/// Standard error of a tool that succeeds.
fn told(name: &str, bucket: &Path, more: &[&str]) -> String {
    let output = tool(name, bucket, more);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{more:?}: {told}");
    told
}

/// A copy of the golden bucket.
fn golden_copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tithon_testdata::copy_dir(&tithon_testdata::shared("testdata/bucket"), dir.path());
    dir
}

/// The names in a folder, ascending.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn cardinality(bucket: &Path, more: &[&str]) -> Output {
    tool("cardinality", bucket, more)
}

/// The lines that a tool prints.
fn lines(name: &str, bucket: &Path, more: &[&str]) -> Vec<String> {
    let output = tool(name, bucket, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn refused(name: &str, bucket: &Path, more: &[&str]) -> String {
    let output = tool(name, bucket, more);
    assert!(!output.status.success(), "{more:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The output of Thanos 0.43 for the same bucket.
#[test]
fn blocks_are_listed() {
    let bucket = tithon_testdata::shared("testdata/bucket");
    let ids = lines("ls", &bucket, &[]);
    assert!(ids.len() == 7 && ids.is_sorted(), "{ids:?}");
    let wide = lines("ls", &bucket, &["-o", "wide"]);
    assert_eq!(
        wide[0],
        "01HWRQ6W00X6DPMYWAJ8WS5VBY -- 2024-04-30T18:00:01-04:00 - 2024-04-30T19:59:01-04:00 \
         Diff: 1h59m0s, Compaction: 1, Downsample: 0, Source: sidecar"
    );
    let template = "{{.ULID}} {{.Thanos.Labels}} {{.Stats.NumSeries}} {{.Thanos.SegmentFiles}}";
    assert_eq!(
        lines("ls", &bucket, &["-o", template])[0],
        "01HWRQ6W00X6DPMYWAJ8WS5VBY map[cluster:eu1 replica:a] 44 [000001]"
    );
    let json = lines("ls", &bucket, &["-o", "json"]).join("\n");
    let metas: Vec<Value> =
        serde_json::Deserializer::from_str(&json).into_iter().collect::<Result<_, _>>().unwrap();
    let of_json: Vec<&str> = metas.iter().map(|meta| meta["ulid"].as_str().unwrap()).collect();
    assert_eq!(of_json, ids);
    let early = lines("ls", &bucket, &["--max-time=2024-04-30T23:59:00Z"]);
    assert_eq!(early, ids[..1]);
    assert!(refused("ls", &bucket, &["-o", "yaml"]).contains("expected wide, json, or a template"));
}

#[test]
fn blocks_are_inspected() {
    let bucket = tithon_testdata::shared("testdata/bucket");
    let table = lines("inspect", &bucket, &["-l", "cluster=\"us1\"", "--sort-by=UNTIL-DOWN"]);
    assert_eq!(table.len(), 2 + 5 - 1, "{table:#?}");
    assert!(
        table[0].starts_with("|            ULID            |           FROM            |"),
        "{}",
        table[0]
    );
    assert!(table[0].ends_with("|   LABELS    | RESOLUTION |  SOURCE   |"), "{}", table[0]);
    assert!(table[2].contains("| -             | 44      | 2,112    | 44      |"), "{}", table[2]);
    let csv = lines("inspect", &bucket, &["--output=csv"]);
    assert_eq!(
        csv[1],
        "01HWRQ6W00X6DPMYWAJ8WS5VBY,2024-04-30T18:00:01-04:00,2024-04-30T19:59:01-04:00,1h59m0.001s,\
         38h0m59.999s,44,\"4,920\",46,1,false,\"cluster=eu1,replica=a\",0s,sidecar"
    );
    assert!(refused("inspect", &bucket, &["-l", "cluster=us1"]).contains("expected NAME="));
    assert!(refused("inspect", &bucket, &["--sort-by=SIZE"]).contains("UNTIL-DOWN"));
}

#[test]
fn blocks_are_marked_and_unmarked() {
    let dir = tempfile::tempdir().unwrap();
    let id = "01HWRQ6W00X6DPMYWAJ8WS5VBY";
    tithon_testdata::copy_dir(&tithon_testdata::shared("testdata/bucket").join(id), &dir.path().join(id));
    let id_flag = format!("--id={id}");
    let mark = |more: &[&str]| lines("mark", dir.path(), &[&[id_flag.as_str()], more].concat());
    mark(&["--marker=no-compact-mark.json", "--details=it is large"]);
    let path = dir.path().join(id).join("no-compact-mark.json");
    let written: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(
        (written["id"].as_str(), written["details"].as_str(), written["reason"].as_str()),
        (Some(id), Some("it is large"), Some("manual"))
    );
    assert!(written["version"] == 1 && written["no_compact_time"].as_i64().unwrap() > 1_700_000_000);
    mark(&["--marker=no-compact-mark.json", "--remove"]);
    assert!(!path.exists());
    mark(&["--marker=deletion-mark.json", "--details=x"]);
    assert!(lines("ls", dir.path(), &["--exclude-delete"]).is_empty());
    assert_eq!(lines("ls", dir.path(), &[]), [id]);
    for (more, want) in [
        (vec![&*id_flag, "--marker=deletion-mark.json"], "--details is needed"),
        (
            vec!["--id=01HWS4YAG00000000000000035", "--marker=deletion-mark.json", "--details=x"],
            "no such block",
        ),
        (vec![&*id_flag, "--marker=mark.json", "--details=x"], "no-downsample-mark.json"),
    ] {
        assert!(refused("mark", dir.path(), &more).contains(want), "{more:?}");
    }
}

#[test]
fn cardinality_of_a_bucket() {
    let bucket = tithon_testdata::shared("answers/data/replica-a");
    let json = |more: &[&str]| -> Value {
        let output = cardinality(&bucket, &[&["--output=json"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let newest = json(&[]);
    assert_eq!(newest["blocks"].as_array().unwrap().len(), 1);
    assert_eq!(
        newest["values_by_name"].as_array().unwrap().len(),
        20.min(newest["names"].as_u64().unwrap() as usize)
    );
    let all = json(&["--all", "--limit=2"]);
    let n_blocks = std::fs::read_dir(&bucket).unwrap().count();
    assert_eq!(all["blocks"].as_array().unwrap().len(), n_blocks);
    assert_eq!(all["series_by_metric"].as_array().unwrap().len(), 2);
    let id = newest["blocks"][0].as_str().unwrap();
    assert_eq!(json(&[&format!("--id={id}")]), newest);
    let meta: Value =
        serde_json::from_slice(&std::fs::read(bucket.join(id).join("meta.json")).unwrap()).unwrap();
    assert_eq!(newest["series"], meta["stats"]["numSeries"]);

    let table = String::from_utf8(cardinality(&bucket, &[]).stdout).unwrap();
    assert!(table.contains("label names") && table.contains("__name__="), "{table}");
    let output = cardinality(&bucket, &["--id=01HWS4YAG00000000000000035"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("01HWS4YAG00000000000000035"));
}
