//! Cached headers and filters on local disk: created once, created again when damaged, deleted with their blocks.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tithon_bucket::{Bucket, BucketBlock, BucketConfig};
use tithon_engine::{BlockId, BlockMeta};
use tithon_index::{MatchOp, Matcher};
use tithon_testdata::shared;

/// A bucket with one golden block, and the block's meta.
fn bucket_of(dir: &Path, set: &str) -> (Bucket, Arc<BlockMeta>) {
    let from = shared(&format!("testdata/blocks/{set}"));
    let meta = BlockMeta::parse(&std::fs::read(from.join("meta.json")).unwrap()).unwrap();
    let to = dir.join(meta.ulid.to_string());
    std::fs::create_dir_all(to.join("chunks")).unwrap();
    for file in ["meta.json", "index"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    (Bucket::open(&BucketConfig::filesystem(dir)).unwrap().by_ranges(), Arc::new(meta))
}

fn equal(name: &str, value: &str) -> Vec<Matcher> {
    vec![Matcher::new(MatchOp::Equal, name, value).unwrap()]
}

fn check(block: &BucketBlock) {
    assert_eq!(block.header().label_names().unwrap().len(), 14);
    assert!(block.header().resident_bytes() < 1024, "{} bytes", block.header().resident_bytes());
    assert!(block.may_match(&equal("__name__", "up")));
    assert!(block.may_match(&[]));
    let absent = (0..1000).filter(|i| block.may_match(&equal("trace_id", &format!("{i:x}")))).count();
    assert!(absent < 20, "{absent} of 1000 pairs that are not there");
}

#[tokio::test]
async fn damaged_files_are_made_again_and_those_of_other_blocks_deleted() {
    let (blocks, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (bucket, meta) = bucket_of(blocks.path(), "wide");
    assert!(bucket.open_block(Arc::clone(&meta), None).await.unwrap().may_match(&equal("trace_id", "7")));
    let bucket = bucket.with_headers(kept.path().join("d")).unwrap();
    check(&bucket.open_block(Arc::clone(&meta), None).await.unwrap());
    let dir = kept.path().join("d").join(meta.ulid.to_string());
    for name in ["index-header.sparse", "label-filter"] {
        let good = std::fs::read(dir.join(name)).unwrap();
        for bad in [&[][..], &good[..good.len() - 1], &good[1..], &[0; 4096]] {
            // The mapped file must not be changed, so another one takes its place.
            std::fs::remove_file(dir.join(name)).unwrap();
            std::fs::write(dir.join(name), bad).unwrap();
            check(&bucket.open_block(Arc::clone(&meta), None).await.unwrap());
            assert!(std::fs::read(dir.join(name)).unwrap() == good, "{name} is as it was");
        }
    }
    bucket.forget_other_headers(BTreeSet::from([meta.ulid])).await;
    assert!(dir.exists());
    bucket.forget_other_headers(BTreeSet::from([BlockId::from_parts(1, 1)])).await;
    assert!(!dir.exists());
}

#[tokio::test]
async fn an_index_of_version_1_has_a_filter_and_no_kept_header() {
    let (blocks, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (bucket, meta) = bucket_of(blocks.path(), "index-format-v1");
    let bucket = bucket.with_headers(kept.path().to_owned()).unwrap();
    let block = bucket.open_block(Arc::clone(&meta), None).await.unwrap();
    assert_eq!(block.header().version(), 1);
    assert!(!block.may_match(&equal("no_such_name", "7")));
    let dir = kept.path().join(meta.ulid.to_string());
    assert!(dir.join("label-filter").exists() && !dir.join("index-header.sparse").exists());
}
