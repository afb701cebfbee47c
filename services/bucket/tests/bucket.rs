//! Buckets with golden blocks: mapped and ranged reads give the same series, and damage stays within its block.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;
use tithon_bucket::{Bucket, BucketBlock, BucketConfig, Catalogue, MarkKind};
use tithon_chunks::TimeRange;
use tithon_engine::{BlockFile, BlockMeta, FileRange, SelectRequest, SelectedSeries, Step};
use tithon_index::{MatchOp, Matcher};
use tithon_testdata::copy_dir;

fn bucket_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&tithon_testdata::shared("answers/data/replica-a"), dir.path());
    dir
}

fn mapped(dir: &Path) -> Bucket {
    Bucket::open(&BucketConfig::filesystem(dir)).unwrap()
}

fn by_ranges(dir: &Path) -> Bucket {
    mapped(dir).by_ranges()
}

fn from_memory(objects: Arc<InMemory>) -> Bucket {
    Bucket::from_store(objects, "deep/down")
}

async fn metas(bucket: &Bucket) -> Vec<Arc<BlockMeta>> {
    let mut catalogue = Catalogue::new(bucket.clone(), &[]);
    let look = catalogue.look().await.unwrap();
    assert!(look.partial.is_empty() && look.corrupt.is_empty() && look.failed.is_empty(), "{look:?}");
    catalogue.metas().cloned().collect()
}

async fn series(block: &BucketBlock) -> Vec<SelectedSeries> {
    let matchers = vec![Matcher::new(MatchOp::Regex, "job", "a.*|lab").unwrap()];
    let mut select = block.select(SelectRequest::new(matchers, TimeRange::ALL));
    let (mut out, mut fetched) = (Vec::new(), Vec::new());
    loop {
        match select.step(std::mem::take(&mut fetched)).unwrap() {
            Step::Fetch(ranges) => fetched = block.fetch(&ranges).await.unwrap(),
            Step::Batch(batch) => out.extend(batch.series),
            Step::Done => return out,
        }
    }
}

#[tokio::test]
async fn mapped_and_remote_blocks_read_the_same() {
    let dir = bucket_dir();
    let (mapped, remote) = (mapped(dir.path()), by_ranges(dir.path()));
    let found = metas(&mapped).await;
    assert_eq!(found.len(), 6);
    let mut n_series = 0;
    for meta in found {
        let a = mapped.open_block(Arc::clone(&meta), None).await.unwrap();
        let b = remote.open_block(meta, None).await.unwrap();
        assert!(a.mapped().is_some() && b.mapped().is_none());
        let (a, b) = (series(&a).await, series(&b).await);
        assert_eq!(a, b);
        n_series += a.len();
    }
    assert!(n_series > 1_000, "{n_series}");
}

/// The value of a metric of the bucket, summed over its labels.
fn metric(bucket: &Bucket, name: &str) -> f64 {
    let mut registry = Registry::default();
    bucket.register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Reads of mapped files are counted apart from requests, and so is what requests read between the ranges wanted.
#[tokio::test]
async fn a_mapped_read_is_no_request() {
    const REQUESTS: &str = "thanos_objstore_bucket_operations_total{bucket";
    const BYTES: &str = "thanos_objstore_bucket_operation_fetched_bytes_total";
    let dir = bucket_dir();
    let (mapped, remote) = (mapped(dir.path()), by_ranges(dir.path()));
    let meta = Arc::clone(&metas(&mapped).await[2]);
    for (bucket, is_mapped) in [(&mapped, true), (&remote, false)] {
        let block = bucket.open_block(Arc::clone(&meta), None).await.unwrap();
        let counted = || [REQUESTS, BYTES].map(|name| metric(bucket, name));
        let before = counted();
        let ranges = [4..20, 40..60].map(|range| FileRange {
            file: BlockFile::Index,
            start: range.start,
            len: range.end - range.start,
        });
        assert_eq!(block.gap_bytes(&ranges), if is_mapped { 0 } else { 20 });
        let read = block.fetch(&ranges).await.unwrap();
        assert_eq!(read.iter().map(Bytes::len).collect::<Vec<_>>(), [16, 20]);
        let after = counted();
        let more = [after[0] - before[0], after[1] - before[1]];
        assert_eq!(more, if is_mapped { [0.0, 0.0] } else { [1.0, 56.0] });
        let apart = ["mapped_reads_total", "mapped_read_bytes_total", "gap_bytes_total"];
        let apart = apart.map(|name| metric(bucket, &format!("tithon_objstore_{name}")));
        if is_mapped {
            assert_eq!(apart, [2.0, 36.0, 0.0]);
        } else {
            assert_eq!(apart[..2], [0.0, 0.0]);
            assert!(apart[2] >= 20.0, "{apart:?}");
        }
    }
}

#[tokio::test]
async fn partial_corrupt_and_foreign_entries_are_told_apart() {
    let dir = bucket_dir();
    let ids: Vec<_> = metas(&mapped(dir.path())).await.iter().map(|meta| meta.ulid).collect();
    let block = |i: usize| dir.path().join(ids[i].to_string());
    std::fs::remove_file(block(0).join("meta.json")).unwrap();
    std::fs::write(block(1).join("meta.json"), b"{\"ulid\":").unwrap();
    std::fs::copy(block(3).join("meta.json"), block(2).join("meta.json")).unwrap();
    std::fs::create_dir(dir.path().join("debug")).unwrap();
    std::fs::write(dir.path().join("thanos.shipper.json"), b"{}").unwrap();
    let mark = format!("{{\"id\":\"{}\",\"version\":1,\"deletion_time\":1700000000}}", ids[4]);
    std::fs::write(block(4).join("deletion-mark.json"), mark).unwrap();
    std::fs::write(block(5).join("deletion-mark.json"), b"{").unwrap();
    for bucket in [mapped(dir.path()), by_ranges(dir.path())] {
        let mut catalogue = Catalogue::new(bucket.clone(), &[MarkKind::Deletion]);
        let found = catalogue.look().await.unwrap();
        assert_eq!(found.partial, [ids[0]]);
        assert_eq!(catalogue.blocks().keys().copied().collect::<Vec<_>>(), &ids[3..]);
        let marks: Vec<_> = catalogue.blocks().values().map(|b| b.deletion_mark().unwrap()).collect();
        assert_eq!(marks.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
        let mut corrupt: Vec<_> = found.corrupt.iter().map(|f| (f.block, f.error.to_string())).collect();
        corrupt.sort();
        assert_eq!(corrupt.len(), 2);
        assert!(corrupt[0].1.starts_with(&format!("{}/meta.json: ", ids[1])), "{corrupt:?}");
        assert!(corrupt[1].1.contains(&format!("found ulid {}", ids[3])), "{corrupt:?}");
        assert_eq!(bucket.deletion_mark(ids[4]).await.unwrap().unwrap().deletion_time, 1_700_000_000);
        assert_eq!(bucket.deletion_mark(ids[5]).await.unwrap(), None);
        assert_eq!(bucket.deletion_mark(ids[3]).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_damaged_index_is_an_error_that_names_block_and_file() {
    let dir = bucket_dir();
    let meta = &metas(&mapped(dir.path())).await[0];
    let index = dir.path().join(meta.ulid.to_string()).join("index");
    let bytes = std::fs::read(&index).unwrap();
    for len in [0, 4, 51, 60, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&index, &bytes[..len]).unwrap();
        for bucket in [mapped(dir.path()), by_ranges(dir.path())] {
            let error = bucket.open_block(Arc::clone(meta), None).await.unwrap_err().to_string();
            assert!(error.contains(&meta.ulid.to_string()) && error.contains("index"), "{len}: {error}");
        }
    }
}

#[tokio::test]
async fn any_store_below_a_prefix() {
    let dir = bucket_dir();
    let meta = &metas(&mapped(dir.path())).await[2];
    let objects = Arc::new(InMemory::new());
    for file in ["meta.json", "index", "chunks/000001"] {
        let bytes = std::fs::read(dir.path().join(meta.ulid.to_string()).join(file)).unwrap();
        let path = format!("deep/down/{}/{file}", meta.ulid);
        objects.put(&path.as_str().into(), bytes.into()).await.unwrap();
    }
    let bucket = from_memory(Arc::clone(&objects));
    let mut catalogue = Catalogue::new(bucket.clone(), &[]);
    catalogue.look().await.unwrap();
    let known = &catalogue.blocks()[&meta.ulid];
    assert!(catalogue.blocks().len() == 1 && known.meta() == meta);
    let objects = known.objects().map(|objects| &**objects);
    let ours = bucket.open_block(Arc::clone(meta), objects).await.unwrap();
    let theirs = mapped(dir.path()).open_block(Arc::clone(meta), None).await.unwrap();
    assert_eq!(series(&ours).await, series(&theirs).await);
}

#[test]
fn a_directory_that_is_none_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Bucket::open(&BucketConfig::filesystem(file.path())).unwrap_err().to_string();
    assert!(error.starts_with(&format!("bucket directory {}", file.path().display())), "{error}");
}

/// A block is copied object by object, large ones in parts; existing objects are not copied again.
#[tokio::test]
async fn a_block_is_copied_to_another_bucket() {
    let (from, to) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
    let id = "01HWS4YAG00000000000000035";
    let put = async |store: &InMemory, name: &str, bytes: Vec<u8>| {
        let path = object_store::path::Path::from(format!("deep/down/{id}/{name}"));
        store.put(&path, bytes.into()).await.unwrap();
    };
    let segment: Vec<u8> = (0..20_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (name, bytes) in [
        ("meta.json", b"{}".to_vec()),
        ("index", b"index".to_vec()),
        ("chunks/000001", segment),
        ("no-compact-mark.json", b"{}".to_vec()),
    ] {
        put(&from, name, bytes).await;
    }
    let all = async |store: &InMemory| {
        let mut all = std::collections::BTreeMap::new();
        for object in
            futures::TryStreamExt::try_collect::<Vec<_>>(object_store::ObjectStore::list(store, None))
                .await
                .unwrap()
        {
            let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
            all.insert(object.location.filename().unwrap().to_owned(), bytes);
        }
        all
    };
    // Leftovers of a copy that was broken off: one whole object and a truncated one.
    put(&to, "index", b"index".to_vec()).await;
    put(&to, "chunks/000001", b"half".to_vec()).await;
    let (source, target) = (from_memory(Arc::clone(&from)), from_memory(Arc::clone(&to)));
    let block = id.parse().unwrap();
    assert!(!source.has_same_meta(block, &target).await.unwrap());
    let copied = source.copy_block(block, &target, 2).await.unwrap().unwrap();
    assert_eq!((copied.objects, copied.bytes), (2, 20_000_002));
    let mut expected = all(&from).await;
    expected.remove("no-compact-mark.json");
    assert!(all(&to).await == expected);
    assert!(source.has_same_meta(block, &target).await.unwrap());
    assert_eq!(source.copy_block(block, &target, 2).await.unwrap(), None);
    let other = "01HWS4YAG00000000000000036".parse().unwrap();
    let error = source.copy_block(other, &target, 2).await.unwrap_err().to_string();
    assert!(error.contains("01HWS4YAG00000000000000036/meta.json"), "{error}");
}
