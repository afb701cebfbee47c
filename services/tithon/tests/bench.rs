//! `tithon tools bench` at small sizes with this program as the only subject: every kind of case runs, answers agree,
//! bad input is reported, and no process or file is left behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn bench(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tithon"));
    command.args(["tools", "bench"]).args(args).stdin(Stdio::null());
    command
}

/// Runs a measurement with two subjects that are the same program; returns the lines of results after the first.
fn measure(dir: &Path, args: &[&str]) -> Vec<Value> {
    let data = format!("--data-dir={}", dir.display());
    let own = ["--subject=tithon", "--subject=again=tithon", "--output=json", "--rounds=1", data.as_str()];
    let output = bench(&[args, &own].concat()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines[0]["versions"][1]["version"].as_str().is_some_and(|v| v.starts_with("tithon")),
        "{}",
        lines[0]
    );
    for line in &lines[1..] {
        assert!(line["failure"].is_null() && line["value"].as_f64() > Some(0.0), "{line}");
        assert!(line["peak_bytes"].as_f64() > Some(1e6), "{line}");
    }
    lines[1..].to_vec()
}

/// The names of the cases, and that each has the same answer from both subjects.
fn cases_with_equal_answers(lines: &[Value]) -> Vec<&str> {
    for pair in lines.chunks(2) {
        assert_eq!(pair[1]["same_answer"], Value::Bool(true), "{}", pair[1]);
    }
    lines.iter().step_by(2).map(|line| line["bench"].as_str().unwrap().trim_end_matches("/tithon")).collect()
}

#[test]
fn stores_are_asked_everything() {
    let dir = tempfile::tempdir().unwrap();
    let lines = measure(dir.path(), &["store", "--scale=0.002"]);
    let cases = cases_with_equal_answers(&lines);
    assert_eq!(cases.len(), 12);
    assert_eq!(cases[0], "store/1M-series-1-chunk");
    for line in &lines {
        let is_empty = line["bench"].as_str().unwrap().starts_with("store/0-of-1M/");
        assert!(is_empty || line["answer_bytes"].as_f64() > Some(100.0), "{line}");
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["store-2000-800-1-seed-1"], "only data is left, for the next time");
}

#[test]
fn starts_are_timed() {
    let dir = tempfile::tempdir().unwrap();
    let lines = measure(dir.path(), &["start", "--scale=0.02", "--case=200-"]);
    assert_eq!(lines.len(), 4, "cold and warm of two subjects");
    assert!(lines.iter().all(|line| line["resident_bytes"].as_f64() > Some(1e6)), "{lines:?}");
}

#[test]
fn compactors_run_once_and_make_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let lines = measure(dir.path(), &["compact", "--scale=0.002"]);
    let expected = ["compact/horizontal", "compact/vertical-penalty", "compact/vertical-one-to-one"];
    assert_eq!(cases_with_equal_answers(&lines), expected);
    let lines = measure(dir.path(), &["downsample", "--scale=0.005"]);
    let expected = ["downsample/raw-to-5m", "downsample/5m-to-1h", "downsample/both"];
    assert_eq!(cases_with_equal_answers(&lines), expected);
}

#[test]
fn queriers_answer_all_expressions() {
    let dir = tempfile::tempdir().unwrap();
    let lines = measure(dir.path(), &["query", "--scale=0.02", "--concurrency=2"]);
    assert_eq!(cases_with_equal_answers(&lines).len(), 26 + 3 + 8 + 2);
    let queries = dir.path().join("queries");
    std::fs::write(&queries, "# mine\ncount(up)\n\nup\n").unwrap();
    let queries = format!("--queries={}", queries.display());
    let args =
        ["query", "--scale=0.02", "--instant", "--post", "--gzip", "--fresh", "--calls=100", "--qps=2000"];
    let lines = measure(dir.path(), &[&args[..], &[queries.as_str()]].concat());
    assert_eq!(cases_with_equal_answers(&lines), ["query/line-1", "query/line-2"]);
    assert!(lines[0]["p99_s"].as_f64() >= lines[0]["value"].as_f64(), "{}", lines[0]);
}

fn check_refused(args: &[&str], expected: &str) {
    let output = bench(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(!output.status.success() && text.contains(expected), "{args:?}: {text}");
}

#[test]
fn what_cannot_be_measured_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", dir.path().display());
    check_refused(&["store", &data, "--subject=x=/nonexistent"], "--subject=x: /nonexistent: No such file");
    check_refused(&["store", &data, "--subject=true"], "neither tithon, thanos nor prometheus");
    check_refused(&["store", &data, "--scale=0"], "--scale=0: expected more than 0");
    check_refused(&["store", &data, "--qps=-1"], "--qps=-1: expected more than 0");
    check_refused(&["query", &data, "--queries=/nonexistent"], "/nonexistent: No such file");
    let out = dir.path().join("out").display().to_string();
    check_refused(&["gen", "--range=100d", &out], "more than 200 blocks");
    check_refused(&["gen", "--range=0s", &out], "expected 1ms to 1000y");
    let gen_args = ["gen", "--series=20", "--range=10m", out.as_str()];
    let first: Output = bench(&gen_args).output().unwrap();
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(bench(&gen_args).output().unwrap().status.success(), "the same data is found");
    check_refused(&[&gen_args[..], &["--seed=2"]].concat(), "seed 1, not 20 series");
}

/// A subject that prints a version of Thanos and then does not start: the other subjects are measured all the same.
#[test]
fn a_subject_that_does_not_start_leaves_the_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("broken");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && echo 'thanos, version 0 (x)' && exit 0\necho 'no disk' >&2\nexit 3\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (data, subject) =
        (format!("--data-dir={}", dir.path().display()), format!("--subject={}", program.display()));
    let args = ["store", "--scale=0.002", "--case=values-400k", "--rounds=1", "--subject=tithon"];
    let output = bench(&[&args[..], &[&data, &subject]].concat()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("store/values-400k, broken: does not start: no disk"), "{text}");
    assert!(text.contains("missing"), "{text}");
}

/// Killing the tool ends what it has started.
#[test]
fn subjects_end_with_the_tool() {
    let dir = tempfile::tempdir().unwrap();
    let data = format!("--data-dir={}", dir.path().display());
    let args =
        ["store", "--scale=0.002", "--case=selective", "--rounds=1000", "--calls=100000", data.as_str()];
    let mut tool = bench(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let running = || {
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        let marker = dir.path().display().to_string();
        // The tool itself has the folder in its arguments too; its subject has a file in it.
        lines.filter(|line| String::from_utf8_lossy(line).contains(&format!("{marker}/run-"))).count()
    };
    let wait = |wanted: usize| {
        let began = Instant::now();
        while running() != wanted {
            assert!(began.elapsed() < Duration::from_secs(30), "{} subjects run, not {wanted}", running());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait(1);
    tool.kill().unwrap();
    tool.wait().unwrap();
    wait(0);
}
