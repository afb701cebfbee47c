//! `tithon tools bucket` over a FILESYSTEM bucket of recorded blocks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn cardinality(bucket: &Path, more: &[&str]) -> Output {
    let config =
        format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_tithon"));
    command.args(["tools", "bucket", "cardinality", &config]).args(more).output().unwrap()
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
