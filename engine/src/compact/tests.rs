//! Compactions against what Prometheus and Thanos made of the same blocks, to the byte.

use std::path::PathBuf;

use serde_json::Value;
use tithon_chunks::{Encoding, Timestamp};
use tithon_testdata::{json_lines, shared};

use super::*;

fn chunk_of(value: &Value) -> EncodedChunk {
    EncodedChunk {
        encoding: Encoding::from_byte(value["encoding"].as_u64().unwrap() as u8),
        min_time: Timestamp(value["mint"].as_i64().unwrap()),
        max_time: Timestamp(value["maxt"].as_i64().unwrap()),
        data: bytes_of(value["hex"].as_str().unwrap()).into(),
    }
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

#[test]
fn chunk_merges_are_as_recorded() {
    let lines = json_lines("testdata/vectors/chunk-merge.jsonl.zst");
    for line in &lines {
        let name = format!("{} {}", line["name"], line["func"]);
        let overlap = if line["func"] == "penalty" { Overlap::Penalty } else { Overlap::Chain };
        let none = Vec::new();
        let list = |v: &Value| v.as_array().unwrap_or(&none).iter().map(chunk_of).collect::<Vec<_>>();
        let lists = line["input"].as_array().unwrap_or(&none).iter().map(list).collect();
        let merged = chunks::merge(lists, CompactOptions { overlap, ..CompactOptions::default() }).unwrap();
        assert_eq!(merged, list(&line["output"]), "{name}");
    }
    assert_eq!(lines.len(), 320);
}

fn blocks_in(dir: &str) -> Vec<Block> {
    let mut dirs: Vec<PathBuf> =
        std::fs::read_dir(shared(dir)).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    dirs.sort();
    dirs.into_iter().map(|dir| Block::open(dir).unwrap()).collect()
}

/// Compacts `in` and compares every file with the block in `out`; of meta.json what an upload adds is taken over.
fn check(case: &str, out: &str, options: CompactOptions) {
    let blocks = blocks_in(&format!("testdata/compaction/{case}/in"));
    let theirs = blocks_in(&format!("testdata/compaction/{case}/{out}")).remove(0);
    let thanos = theirs.meta().thanos.clone().map(|t| ThanosMeta { segment_files: vec![], ..t });
    let parent = tempfile::tempdir().unwrap();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let made =
            pool.install(|| compact(&blocks, parent.path(), theirs.id(), thanos.clone(), options)).unwrap();
        assert!(made.is_some(), "{case}");
        let ours = Block::open(parent.path().join(theirs.id().to_string())).unwrap();
        assert_eq!(ours.segments().len(), theirs.segments().len(), "{case}");
        for (i, (a, b)) in ours.segments().iter().zip(theirs.segments()).enumerate() {
            if a != b {
                let at = a.iter().zip(b.iter()).position(|(a, b)| a != b);
                panic!("{case}: segment {i} differs at {at:?}: {} and {} bytes", a.len(), b.len());
            }
        }
        assert!(ours.index() == theirs.index(), "{case}: index differs");
        let text = |m: &BlockMeta| String::from_utf8(m.to_json()).unwrap();
        assert_eq!(text(ours.meta()), text(theirs.meta()), "{case}");
        assert_eq!(ours.dir().join("tombstones").exists(), theirs.dir().join("tombstones").exists());
    }
}

#[test]
fn horizontal() {
    check("horizontal", "out", CompactOptions::default());
    check("horizontal-all-encodings", "out", CompactOptions::default());
    check("horizontal-aggr", "out", CompactOptions::default());
}

#[test]
fn vertical() {
    check("vertical", "out", CompactOptions::default());
    check("one-to-one", "out", CompactOptions::default());
    let xor2 = CompactOptions { float_encoding: FloatEncoding::Xor2, ..CompactOptions::default() };
    check("vertical-xor2", "out", xor2);
}

#[test]
fn penalty() {
    let options = CompactOptions { overlap: Overlap::Penalty, ..CompactOptions::default() };
    check("penalty", "out", options);
    check("penalty-2h", "out", options);
    check("one-to-one", "out-penalty", options);
}

#[test]
fn tombstones() {
    check("tombstones", "out", CompactOptions::default());
    check("tombstones-single", "out", CompactOptions::default());
    let blocks = blocks_in("testdata/compaction/empty-result/in");
    let parent = tempfile::tempdir().unwrap();
    let id = BlockId::from_parts(1, 1);
    assert_eq!(compact(&blocks, parent.path(), id, None, CompactOptions::default()).unwrap(), None);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}
