//! `tithon tools block` as a user runs it: its results equal those of Prometheus and Thanos for the same blocks.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tithon_testdata::shared;

fn tool(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tithon")).args(["tools", "block"]).args(args).output().unwrap()
}

/// Standard output of a run that must succeed.
fn answer(args: &[&str]) -> String {
    let output = tool(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a run that must fail.
fn complaint(args: &[&str]) -> String {
    let output = tool(args);
    assert!(!output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

fn path(name: &str) -> String {
    shared(&format!("testdata/{name}")).to_str().unwrap().to_owned()
}

fn blocks_in(dir: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.join("meta.json").exists())
        .collect();
    dirs.sort();
    dirs
}

/// Index and segments of two blocks.
fn assert_same_files(ours: &Path, theirs: &Path, what: &str) {
    let mut names = vec!["index".to_owned()];
    let segments = fs::read_dir(theirs.join("chunks")).unwrap();
    names.extend(segments.map(|e| format!("chunks/{}", e.unwrap().file_name().to_str().unwrap())));
    for name in names {
        let read = |dir: &Path| fs::read(dir.join(&name)).unwrap();
        assert!(read(ours) == read(theirs), "{what}: {name} differs");
    }
    let dump = |dir: &Path| answer(&["dump", "--digest", dir.to_str().unwrap()]);
    assert_eq!(dump(ours), dump(theirs), "{what}");
}

#[test]
fn compactions_are_upstreams() {
    let cases: [(&str, &str, &[&str]); 10] = [
        ("horizontal", "out", &[]),
        ("horizontal-all-encodings", "out", &["--threads=1"]),
        ("horizontal-aggr", "out", &["--dedup=none"]),
        ("vertical", "out", &[]),
        ("vertical-xor2", "out", &["--float-encoding=xor2"]),
        ("tombstones", "out", &[]),
        ("penalty", "out", &["--dedup=penalty", "--replica-label=replica"]),
        ("penalty-2h", "out", &["--dedup=penalty", "--replica-label=replica", "--threads=3"]),
        ("one-to-one", "out", &["--dedup=one-to-one", "--replica-label=replica"]),
        ("one-to-one", "out-penalty", &["--dedup=penalty", "--replica-label=replica"]),
    ];
    for (case, expected, flags) in cases {
        let dir = tempfile::tempdir().unwrap();
        let out = format!("--out={}", dir.path().display());
        let input = path(&format!("compaction/{case}/in"));
        let made: Value =
            serde_json::from_str(&answer(&[&["compact", "--output=json", &out, &input], flags].concat()))
                .unwrap();
        let ours = dir.path().join(made["block"]["ulid"].as_str().unwrap());
        let theirs = blocks_in(&shared(&format!("testdata/compaction/{case}/{expected}"))).remove(0);
        assert_same_files(&ours, &theirs, case);
        let ours = ours.to_str().unwrap();
        let verdict = answer(&["verify", ours]);
        assert!(verdict.contains("sound"), "{case}: {verdict}");
        let equal = answer(&["diff", ours, theirs.to_str().unwrap()]);
        assert!(equal.contains(": equal"), "{case}: {equal}");
    }
}

#[test]
fn nothing_left_is_no_block() {
    let dir = tempfile::tempdir().unwrap();
    let out = format!("--out={}", dir.path().display());
    let text = answer(&["compact", &out, &path("compaction/empty-result/in")]);
    assert!(text.contains("no block was written"), "{text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn downsamplings_are_upstreams() {
    for case in ["long", "short", "odd-start", "histograms", "histograms-fast", "penalty"] {
        let of = |level: &str| blocks_in(&shared(&format!("testdata/downsample/{case}/{level}"))).pop();
        let of =
            |level: &str| of(level).unwrap_or_else(|| shared(&format!("testdata/downsample/{case}/{level}")));
        let dir = tempfile::tempdir().unwrap();
        let made = |resolution: &str, input: &Path| -> Vec<PathBuf> {
            let (out, resolution) =
                (format!("--out={}", dir.path().display()), format!("--resolution={resolution}"));
            let text = answer(&["downsample", "--output=json", &resolution, &out, input.to_str().unwrap()]);
            let made: Value = serde_json::from_str(&text).unwrap();
            let id = |block: &Value| dir.path().join(block["ulid"].as_str().unwrap());
            made["blocks"].as_array().unwrap().iter().map(id).collect()
        };
        let both = made("both", &of("raw"));
        assert_same_files(&both[0], &of("5m"), case);
        assert_same_files(&both[1], &of("1h"), case);
        assert_same_files(&made("5m", &of("raw"))[0], &of("5m"), case);
        assert_same_files(&made("1h", &of("5m"))[0], &of("1h"), case);
        assert_same_files(&made("1h", &of("raw"))[0], &of("1h"), case);
        // Two with both, then one each time: no stepping stone stays.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5, "{case}");
    }
}

#[test]
fn mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let out = format!("--out={}", dir.path().display());
    let replicas = path("compaction/penalty/in");
    let text = complaint(&["compact", &out, &replicas]);
    assert!(text.contains("replicas need --dedup and --replica-label"), "{text}");
    let text = complaint(&["compact", &out, "--replica-label=replica", &replicas]);
    assert!(text.contains("--dedup=one-to-one or --dedup=penalty"), "{text}");
    let text =
        complaint(&["compact", &out, &replicas, &replicas, "--dedup=penalty", "--replica-label=replica"]);
    assert!(text.contains("is given twice"), "{text}");
    let empty = dir.path().to_str().unwrap();
    let text = complaint(&["verify", empty]);
    assert!(text.contains("found no block: expected a block directory"), "{text}");
    let text = complaint(&["verify", &format!("{empty}/nowhere")]);
    assert!(text.contains("nowhere"), "{text}");
    let five = blocks_in(&shared("testdata/downsample/long/5m"));
    let five = five.first().cloned().unwrap_or_else(|| shared("testdata/downsample/long/5m"));
    let text = complaint(&["downsample", &out, "--resolution=both", five.to_str().unwrap()]);
    assert!(text.contains("5 minutes are made from a raw block"), "{text}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing may be left behind");
}

#[test]
fn one_bad_block_keeps_no_other_from_being_verified() {
    let dir = tempfile::tempdir().unwrap();
    let good = blocks_in(&shared("testdata/compaction/horizontal/in"));
    for block in &good {
        let to = dir.path().join(block.file_name().unwrap());
        fs::create_dir_all(to.join("chunks")).unwrap();
        for name in ["meta.json", "index", "chunks/000001"] {
            fs::copy(block.join(name), to.join(name)).unwrap();
        }
    }
    let bad = dir.path().join(good[1].file_name().unwrap()).join("chunks/000001");
    let mut bytes = fs::read(&bad).unwrap();
    bytes[1000] ^= 0x10;
    fs::write(&bad, bytes).unwrap();
    let output = tool(&["verify", "--output=json", dir.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let sound: Vec<bool> = found.iter().map(|f| f["sound"].as_bool().unwrap()).collect();
    assert_eq!(sound, [true, false, true]);
    let error = found[1]["error"].as_str().unwrap();
    let id = good[1].file_name().unwrap().to_str().unwrap();
    assert!(error.contains(id) && error.contains("000001") && error.contains("offset"), "{error}");
}

/// Each damaged place in inputs from the field is reported.
#[test]
fn damaged_places_are_named() {
    let verify = |name: &str| {
        let output = tool(&["verify", &path(&format!("field/{name}"))]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, text) = verify("encoding-0");
    assert_eq!(code, Some(1));
    let place = "01HWS4YAG00000000000000035: series {__name__=\"m\", i=\"1\"}";
    assert!(text.contains(place) && text.contains("chunks/000001 at offset 552"), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains(" sound ")).count(), 4, "{text}");
    let (code, text) = verify("damaged-postings");
    assert_eq!((code, text.matches("postings list of {").count()), (Some(1), 7), "{text}");
    let (code, text) = verify("no-chunks-folder");
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn what_differs_is_listed() {
    let whole = path("compaction/horizontal/in");
    let part = blocks_in(Path::new(&whole)).remove(0);
    let output = tool(&["diff", "--output=json", "--most=5", &whole, part.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found[0]["differences"].as_array().unwrap().len(), 5);
    assert!(String::from_utf8_lossy(&output.stderr).contains("differ"));
}

/// Each aggregate of each window, as Thanos reads them.
#[test]
fn downsampled_blocks_are_dumped_by_aggregate() {
    let dir = path("downsample/odd-start/1h");
    let mut expected: Vec<(String, &str, u64, i64)> = Vec::new();
    let aggregates = ["count", "sum", "min", "max", "counter"];
    for series in tithon_testdata::json_lines("testdata/downsample/odd-start/1h.samples.jsonl.zst") {
        let pairs = series["labels"].as_array().unwrap().iter();
        let pairs = pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()));
        let labels = tithon_index::Labels::from_pairs(pairs).to_string();
        for chunk in series["chunks"].as_array().unwrap() {
            for aggregate in aggregates {
                for sample in chunk[aggregate].as_array().into_iter().flatten() {
                    let bits = u64::from_str_radix(sample["bits"].as_str().unwrap(), 16).unwrap();
                    expected.push((labels.clone(), aggregate, bits, sample["t"].as_i64().unwrap()));
                }
            }
        }
    }
    let all = answer(&["dump", &dir]);
    let found: Vec<(String, &str, u64, i64)> = all
        .lines()
        .map(|line| {
            let mut parts = line.rsplitn(4, ' ');
            let [t, value, aggregate, labels] = [(); 4].map(|()| parts.next().unwrap());
            let value: f64 = value.parse().unwrap();
            (labels.to_owned(), aggregate, value.to_bits(), t.parse().unwrap())
        })
        .collect();
    assert!(expected.len() > 500);
    let is_nan = |bits: u64| f64::from_bits(bits).is_nan();
    let same = |a: &(String, &str, u64, i64), b: &(String, &str, u64, i64)| {
        (&a.0, a.1, a.3) == (&b.0, b.1, b.3) && (a.2 == b.2 || is_nan(a.2) && is_nan(b.2))
    };
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(same(found, expected), "{found:?} {expected:?}");
    }
    let of = |name: &str| all.lines().filter(|line| line.rsplit(' ').nth(2) == Some(name)).count();
    let some = answer(&["dump", "--aggregate=min", "--aggregate=counter", &dir]);
    assert_eq!(some.lines().count(), of("min") + of("counter"));
    assert!(complaint(&["dump", "--aggregate=avg", &dir]).contains("count, sum, min, max, counter"));
}

/// A fault that several chunks have is reported once.
#[test]
fn chunks_that_cannot_be_read_are_told_once() {
    let output = tool(&["dump", &path("field/encoding-0/01HWS4YAG00000000000000035")]);
    assert!(output.status.success());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("chunks=1") && told.contains("left out chunks"), "{told}");
}
