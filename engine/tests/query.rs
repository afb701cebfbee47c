//! The samples that a querier reads from several blocks, compared with those of Prometheus's querier.
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tithon_chunks::{Sample, SampleValue, Samples, TimeRange, Timestamp, canonical_bytes};
use tithon_engine::dedup::{ReplicaRule, deduplicate};
use tithon_engine::{Block, SelectRequest, merge};
use tithon_index::Labels;
use tithon_testdata::{json_lines, shared};

fn digest(samples: &Samples) -> String {
    let (mut hash, mut bytes) = (Sha256::new(), Vec::new());
    for (&t, &value) in samples.floats.timestamps.iter().zip(&samples.floats.values) {
        let sample = Sample { t: Timestamp(t), st: Timestamp(0), value: SampleValue::Float(value) };
        bytes.clear();
        canonical_bytes(&sample, &mut bytes);
        hash.update(&bytes);
    }
    hex::encode(hash.finalize())
}

/// Compares merged blocks with deletions applied and overlaps resolved: digests of float series, and numbers of samples
/// of all series.
fn check(dirs: Vec<PathBuf>, queried: &str) -> usize {
    let blocks: Vec<Block> = dirs.into_iter().map(|dir| Block::open(dir).unwrap()).collect();
    let all = || SelectRequest::new(vec![], TimeRange::ALL);
    let streams = blocks.iter().map(|b| b.select(all()).flat_map(|batch| batch.unwrap().series).collect());
    let lines: Vec<Value> = json_lines(queried);
    let series: Vec<_> = merge(streams).collect();
    assert_eq!(series.len(), lines.len(), "{queried}");
    let mut compared = 0;
    for (ours, line) in series.into_iter().zip(&lines) {
        let pairs: Vec<(String, String)> = serde_json::from_value(line["labels"].clone()).unwrap();
        assert_eq!(ours.labels, Labels::from_pairs(pairs));
        let mut samples = Samples::default();
        deduplicate(&ours.chunks, "", ReplicaRule::Chain, TimeRange::ALL, &mut samples).unwrap();
        let n = samples.floats.len() + samples.histograms.timestamps.len();
        assert_eq!(n as u64, line["samples"].as_u64().unwrap(), "{}", ours.labels);
        // Where copies of a sample differ, upstream keeps the one that its heap of blocks yields first.
        let ties = ours.labels.get("case") == Some(b"values-differ");
        if samples.histograms.timestamps.is_empty() && !ties {
            assert_eq!(digest(&samples), line["digest"], "{}", ours.labels);
            compared += 1;
        }
    }
    compared
}

#[test]
fn deletions_are_applied() {
    let dir = shared("testdata/blocks/tombstones");
    assert!(check(vec![dir], "testdata/blocks/tombstones.queried.jsonl.zst") >= 30);
}

#[test]
fn overlapping_blocks_are_one() {
    let entries = std::fs::read_dir(shared("testdata/blocks/out-of-order")).unwrap();
    let mut dirs: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    dirs.sort();
    assert_eq!(dirs.len(), 5);
    assert!(check(dirs, "testdata/blocks/out-of-order.queried.jsonl.zst") > 5);
}
