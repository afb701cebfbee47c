//! `upload-blocks`: what Thanos 0.43 uploads of the same folder, also when the tool is killed.

use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::killed::{again_and_again, all_visible_blocks_are_sound};
use crate::{command, json, names, refused, told};

const BLOCKS: [&str; 3] =
    ["01HWXW0A00XMSH8720DDB6Q1XZ", "01HWY2W18098J7YH2B3C1JMZWS", "01HWY9QRG06NG2C67KQVJBGSNB"];

/// The data directory of a Prometheus with three blocks.
fn prometheus() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let golden = tithon_testdata::shared("testdata/compaction/horizontal/in");
    for block in BLOCKS {
        tithon_testdata::copy_dir(&golden.join(block), &dir.path().join(block));
    }
    dir
}

fn upload(bucket: &Path, from: &Path, more: &[&str]) -> String {
    let path = format!("--path={}", from.display());
    told("upload-blocks", bucket, &[&[path.as_str(), "--label=cluster=\"x\""], more].concat())
}

#[test]
fn blocks_get_their_labels_and_are_uploaded_once() {
    let (from, bucket) = (prometheus(), tempfile::tempdir().unwrap());
    upload(bucket.path(), from.path(), &[]);
    assert_eq!(names(bucket.path()), BLOCKS);
    let dir = bucket.path().join(BLOCKS[0]);
    assert_eq!(names(&dir), ["chunks", "index", "meta.json"]);
    let mut meta = json(&dir.join("meta.json"));
    assert!(meta["thanos"]["upload_time"].as_str().unwrap().starts_with("20"));
    meta["thanos"]["upload_time"] = json!("");
    // The meta.json that Thanos's upload-blocks writes.
    let expected = json!({
        "ulid": BLOCKS[0],
        "minTime": 1_714_521_600_000_i64,
        "maxTime": 1_714_528_800_000_i64,
        "stats": {
            "numSamples": 8639, "numFloatSamples": 6387, "numHistogramSamples": 2252, "numSeries": 83, "numChunks": 194
        },
        "compaction": { "level": 1, "sources": [BLOCKS[0]] },
        "version": 1,
        "thanos": {
            "labels": { "cluster": "x" },
            "downsample": { "resolution": 0 },
            "source": "bucket.upload",
            "segment_files": ["000001"],
            "files": [
                { "rel_path": "chunks/000001", "size_bytes": 99_092 },
                { "rel_path": "index", "size_bytes": 9_201 },
                { "rel_path": "meta.json" }
            ],
            "index_stats": {},
            "upload_time": ""
        }
    });
    assert_eq!(meta, expected);
    let record = std::fs::read_to_string(from.path().join("thanos.shipper.json")).unwrap();
    let lines: Vec<String> = BLOCKS.iter().map(|block| format!("\t\t\"{block}\"")).collect();
    assert_eq!(record, format!("{{\n\t\"version\": 1,\n\t\"uploaded\": [\n{}\n\t]\n}}", lines.join(",\n")));
    // A block is uploaded once, even if it is later removed from the bucket.
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(upload(bucket.path(), from.path(), &[]).contains("uploaded=0"));
    std::fs::write(from.path().join("thanos.shipper.json"), "{").unwrap();
    assert!(upload(bucket.path(), from.path(), &[]).contains("uploaded=1"));
}

#[test]
fn merged_blocks_go_where_they_overlap_nothing() {
    let (from, bucket) = (prometheus(), tempfile::tempdir().unwrap());
    let merged = from.path().join(BLOCKS[1]).join("meta.json");
    let mut meta = json(&merged);
    meta["compaction"]["level"] = json!(2);
    std::fs::write(&merged, meta.to_string()).unwrap();
    upload(bucket.path(), from.path(), &[]);
    assert_eq!(names(bucket.path()), [BLOCKS[0], BLOCKS[2]]);
    upload(bucket.path(), from.path(), &["--shipper.upload-compacted"]);
    assert_eq!(names(bucket.path()), BLOCKS);
    // The next one covers the time of the block before it.
    std::fs::remove_dir_all(bucket.path().join(BLOCKS[1])).unwrap();
    std::fs::remove_file(from.path().join("thanos.shipper.json")).unwrap();
    meta["minTime"] = json!(meta["minTime"].as_i64().unwrap() - 1);
    std::fs::write(&merged, meta.to_string()).unwrap();
    let path = format!("--path={}", from.path().display());
    let flags = [&*path, "--label=cluster=\"x\"", "--shipper.upload-compacted"];
    let error = refused("upload-blocks", bucket.path(), &flags);
    assert!(error.contains(&format!("it overlaps block {}", BLOCKS[0])), "{error}");
    assert_eq!(names(bucket.path()), [BLOCKS[0], BLOCKS[2]]);
}

#[test]
fn what_cannot_be_uploaded_is_told() {
    let (from, bucket) = (prometheus(), tempfile::tempdir().unwrap());
    let path = format!("--path={}", from.path().display());
    for (flags, says) in [
        (&[path.as_str()][..], "--label"),
        (&[&path, "--label=cluster=x"], "expected NAME="),
        (&["--path=/none", "--label=a=\"b\""], "--path=/none"),
    ] {
        assert!(refused("upload-blocks", bucket.path(), flags).contains(says), "{flags:?}");
    }
    std::fs::write(from.path().join(BLOCKS[1]).join("index"), "none").unwrap();
    let error = refused("upload-blocks", bucket.path(), &[&path, "--label=a=\"b\""]);
    assert!(error.contains(BLOCKS[1]) && error.contains("index"), "{error}");
    assert_eq!(names(bucket.path()), [BLOCKS[0]]);
}

#[test]
fn killed_again_and_again_it_uploads_everything() {
    let (from, bucket) = (prometheus(), tempfile::tempdir().unwrap());
    let path = format!("--path={}", from.path().display());
    again_and_again(
        || command("upload-blocks", bucket.path(), &[&path, "--label=cluster=\"x\""]),
        || all_visible_blocks_are_sound(bucket.path()),
    );
    assert_eq!(names(bucket.path()), BLOCKS);
    all_visible_blocks_are_sound(bucket.path());
}
