//! A block that promtool makes from OpenMetrics text is read with the samples that the text gives.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::process::{Server, TITHON, output};

#[test]
fn block_made_by_promtool() {
    if !super::enabled() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (text, expected) = samples();
    let file = dir.path().join("in.om");
    std::fs::write(&file, text).unwrap();
    let blocks = dir.path().join("blocks");
    std::fs::create_dir(&blocks).unwrap();
    let paths = (file.to_str().unwrap(), blocks.to_str().unwrap());
    output("promtool", &["tsdb", "create-blocks-from", "openmetrics", paths.0, paths.1]);

    let mut dumped = BTreeSet::new();
    for entry in std::fs::read_dir(&blocks).unwrap() {
        let path = entry.unwrap().path();
        if path.join("meta.json").exists() {
            let lines = output(TITHON, &["tools", "block", "dump", path.to_str().unwrap()]);
            dumped.extend(lines.lines().map(str::to_string));
        }
    }
    assert_eq!(dumped, expected);

    let server = Server::standalone(&[&format!("--bucket-dir={}", blocks.display())]);
    let answer = server.get("/api/v1/query", &[("query", "sum(made_total)"), ("time", "1700003600")]);
    assert_eq!(answer["data"]["result"][0]["value"][1], "1440", "{answer}");
    println!("prometheus: {} samples of promtool's block read back", expected.len());
}

/// OpenMetrics text, and the expected lines of the dump: three counters over an hour, one of which grows by 3 per
/// minute.
fn samples() -> (String, BTreeSet<String>) {
    let mut text = String::from("# TYPE made counter\n");
    let mut lines = BTreeSet::new();
    for path in ["/", "/a\\\"b", "/ü"] {
        for minute in 0..=60u64 {
            let (t, v) = (1_700_000_000 + minute * 60, minute * 8);
            writeln!(text, "made_total{{path=\"{path}\"}} {v} {t}").unwrap();
            lines.insert(format!("{{__name__=\"made_total\", path=\"{path}\"}} {v} {t}000"));
        }
    }
    text.push_str("# EOF\n");
    (text, lines)
}
