//! The golden bucket, compacted: blocks, marks and bytes are those that Thanos leaves. The digests were taken from what
//! Thanos 0.43-dev made of the same bucket with the same flags.

use std::collections::BTreeMap;
use std::path::Path as LocalPath;
use std::sync::Arc;

use object_store::memory::InMemory;
use tithon_engine::dedup::Algorithm;

use crate::bed;

async fn load(store: &InMemory, dir: &LocalPath, prefix: &str) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let key = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            Box::pin(load(store, &path, &format!("{key}/"))).await;
        } else if let Some((block, name)) = key.split_once('/')
            && let Ok(block) = block.parse()
        {
            bed::put(store, block, name, std::fs::read(&path).unwrap()).await;
        }
    }
}

/// Of each block: cluster, resolution, level, marks, and SHA-256 of index and chunks, cut to 16 digits.
fn lines(objects: &BTreeMap<String, bytes::Bytes>) -> Vec<String> {
    use sha2::{Digest, Sha256};
    let line = |(id, summary): &(tithon_engine::BlockId, bed::Summary)| {
        let content = objects.iter().filter(|(key, _)| key.starts_with(&format!("{id}/chunks/")));
        let mut hash = Sha256::new();
        hash.update(&objects[&format!("{id}/index")]);
        content.for_each(|(_, bytes)| hash.update(bytes));
        let hex = hex::encode(hash.finalize());
        let marks = summary.marks.join(",");
        format!(
            "{} {} {} {} [{marks}]",
            summary.labels["cluster"],
            summary.resolution,
            summary.level,
            &hex[..16]
        )
    };
    let mut lines: Vec<String> = bed::summaries(objects).iter().map(line).collect();
    lines.sort();
    lines
}

async fn check(replica_labels: &[&str], overlap: Algorithm, expected: &[&str]) {
    for streaming in [false, true] {
        check_one(replica_labels, overlap, expected, streaming).await;
    }
}

async fn check_one(replica_labels: &[&str], overlap: Algorithm, expected: &[&str], streaming: bool) {
    let store = Arc::new(InMemory::new());
    load(&store, &tithon_testdata::shared("testdata/bucket"), "").await;
    let dir = tempfile::tempdir().unwrap();
    let options = tithon_compact::CompactorOptions {
        replica_labels: replica_labels.iter().map(|label| label.to_string()).collect(),
        vertical: !replica_labels.is_empty(),
        overlap,
        streaming,
        ..bed::options(dir.path())
    };
    let report = bed::compactor(Arc::clone(&store) as _, options).iterate().await.unwrap();
    assert_eq!((report.deleted, report.faults.len()), (1, 0), "{report:?}");
    assert_eq!(lines(&bed::objects(&store).await), expected, "streaming: {streaming}");
    let scratch = dir.path().join("compact");
    assert!(!streaming || !scratch.exists(), "streaming needs no scratch space");
}

const UNTOUCHED: [&str; 4] = [
    "us1 0 1 0e1c271513ef7924 [no-compact-mark.json,no-downsample-mark.json]",
    "us1 0 1 77d748561ec50cce []",
    "us1 300000 1 bebcf34d65da665e []",
    "us1 3600000 1 938172d23c5ec147 []",
];

#[tokio::test(flavor = "multi_thread")]
async fn without_replica_labels_nothing_is_merged() {
    let eu1 = ["eu1 0 1 4136aedb0266ba42 []", "eu1 0 1 da40e213ab92735f []"];
    check(&[], Algorithm::Chain, &[&eu1[..], &UNTOUCHED].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_become_one_block() {
    let sources =
        ["eu1 0 1 4136aedb0266ba42 [deletion-mark.json]", "eu1 0 1 da40e213ab92735f [deletion-mark.json]"];
    let chain = [&sources[..], &["eu1 0 2 fdb4f39f4cf77772 []"], &UNTOUCHED].concat();
    check(&["replica"], Algorithm::Chain, &chain).await;
    let penalty = [&sources[..], &["eu1 0 2 c8abbb021d95bbf1 []"], &UNTOUCHED].concat();
    check(&["replica"], Algorithm::Penalty, &penalty).await;
}
