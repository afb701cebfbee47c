//! Looks of a catalogue read what changed and nothing else, in a directory and in object storage.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use prometheus_client::registry::Registry;
use tithon_bucket::{Bucket, BucketConfig, Catalogue, Look, MarkKind};
use tithon_engine::BlockId;
use tithon_testdata::copy_dir;

const BLOCK: &str = "01HRKP0D00SZ6QE7ZSYT6RDQTH";

fn bucket_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&tithon_testdata::shared("answers/data/replica-a"), dir.path());
    dir
}

/// A bucket in the directory, and the same files as object storage.
fn buckets(dir: &Path) -> [Bucket; 2] {
    let store = LocalFileSystem::new_with_prefix(dir).unwrap();
    [Bucket::open(&BucketConfig::filesystem(dir)).unwrap(), Bucket::from_store(Arc::new(store), "")]
}

/// Numbers of requests so far: lists, and reads of whole objects.
fn requests(bucket: &Bucket) -> (u64, u64) {
    let mut registry = Registry::default();
    bucket.register_metrics(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let count = |operation: &str| {
        let name = "thanos_objstore_bucket_operations_total{";
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(operation)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    (count("operation=\"iter\""), count("operation=\"get\""))
}

fn is_calm(look: &Look) -> bool {
    let Look { replaced, partial, corrupt, failed } = look;
    replaced.is_empty() && partial.is_empty() && corrupt.is_empty() && failed.is_empty()
}

#[tokio::test]
async fn a_look_at_what_did_not_change_is_one_listing() {
    let dir = bucket_dir();
    for bucket in buckets(dir.path()) {
        let mut catalogue = Catalogue::new(bucket.clone(), &MarkKind::ALL);
        assert!(is_calm(&catalogue.look().await.unwrap()));
        assert_eq!((catalogue.blocks().len(), requests(&bucket)), (6, (1, 6)));
        for looks in 2..5 {
            assert!(is_calm(&catalogue.look().await.unwrap()));
            assert_eq!((catalogue.blocks().len(), requests(&bucket)), (6, (looks, 6)));
        }
    }
}

#[tokio::test]
async fn a_look_at_some_blocks_leaves_the_others_alone() {
    let dir = bucket_dir();
    for bucket in buckets(dir.path()) {
        let mut catalogue = Catalogue::new(bucket.clone(), &MarkKind::ALL);
        catalogue.look().await.unwrap();
        let ids: Vec<BlockId> = catalogue.blocks().keys().copied().collect();
        let before = requests(&bucket);
        let none = BlockId::from_parts(1, 1);
        assert!(is_calm(&catalogue.look_at(&[ids[0], none].into()).await.unwrap()));
        assert_eq!((catalogue.blocks().len(), requests(&bucket).1), (6, before.1));
        // Two blocks change, and a look is taken at one of them.
        let file = |i: usize, name: &str| dir.path().join(ids[i].to_string()).join(name);
        let content = |i: usize| format!("{{\"id\":\"{}\",\"version\":1,\"deletion_time\":5}}", ids[i]);
        [0, 1].iter().for_each(|i| fs::write(file(*i, "deletion-mark.json"), content(*i)).unwrap());
        assert!(is_calm(&catalogue.look_at(&[ids[0]].into()).await.unwrap()));
        let marked =
            |catalogue: &Catalogue, i| catalogue.blocks()[&ids[i]].deletion_mark().unwrap().is_some();
        assert_eq!([0, 1].map(|i| marked(&catalogue, i)), [true, false]);
        // The meta.json is deleted, then the whole block.
        let meta = fs::read(file(0, "meta.json")).unwrap();
        fs::remove_file(file(0, "meta.json")).unwrap();
        assert_eq!(catalogue.look_at(&[ids[0]].into()).await.unwrap().partial, [ids[0]]);
        assert_eq!(catalogue.blocks().len(), 5);
        fs::write(file(0, "meta.json"), meta).unwrap();
        fs::rename(dir.path().join(ids[2].to_string()), dir.path().join("aside")).unwrap();
        assert!(is_calm(&catalogue.look_at(&[ids[0], ids[2]].into()).await.unwrap()));
        assert!(catalogue.blocks().contains_key(&ids[0]) && !catalogue.blocks().contains_key(&ids[2]));
        fs::rename(dir.path().join("aside"), dir.path().join(ids[2].to_string())).unwrap();
        catalogue.look().await.unwrap();
        assert_eq!((catalogue.blocks().len(), marked(&catalogue, 1)), (6, true));
        [0, 1].iter().for_each(|i| fs::remove_file(file(*i, "deletion-mark.json")).unwrap());
    }
}

#[tokio::test]
async fn what_changed_is_read_and_nothing_else() {
    for i in 0..2 {
        let dir = bucket_dir();
        let bucket = buckets(dir.path())[i].clone();
        let (id, file) = (BLOCK.parse::<BlockId>().unwrap(), |name: &str| dir.path().join(BLOCK).join(name));
        let mut catalogue = Catalogue::new(bucket.clone(), &MarkKind::ALL);
        catalogue.look().await.unwrap();
        let mark = |catalogue: &Catalogue, kind| catalogue.blocks()[&id].mark(kind).unwrap();
        // A mark is written half, then completed in place, then has another version, then is deleted.
        let content = format!("{{\"id\":\"{BLOCK}\",\"version\":1,\"deletion_time\":1700000000}}");
        fs::write(file("deletion-mark.json"), &content[..20]).unwrap();
        assert!(is_calm(&catalogue.look().await.unwrap()));
        assert_eq!(mark(&catalogue, MarkKind::Deletion), None);
        fs::write(file("deletion-mark.json"), &content).unwrap();
        for _ in 0..2 {
            assert!(is_calm(&catalogue.look().await.unwrap()));
            assert_eq!(mark(&catalogue, MarkKind::Deletion).unwrap().time_s, 1_700_000_000);
            assert_eq!(requests(&bucket).1, 8);
        }
        fs::write(file("no-compact-mark.json"), content.replace("1,", "2,")).unwrap();
        catalogue.look().await.unwrap();
        assert!(catalogue.blocks()[&id].mark(MarkKind::NoCompact).is_err());
        fs::remove_file(file("no-compact-mark.json")).unwrap();
        fs::remove_file(file("deletion-mark.json")).unwrap();
        catalogue.look().await.unwrap();
        assert!(MarkKind::ALL.iter().all(|kind| mark(&catalogue, *kind).is_none()));
        assert_eq!(requests(&bucket).1, 9);
        // A meta.json is replaced, damaged, deleted and restored.
        let meta = fs::read(file("meta.json")).unwrap();
        fs::write(file("beside"), [&meta[..], b"\n"].concat()).unwrap();
        fs::rename(file("beside"), file("meta.json")).unwrap();
        let look = catalogue.look().await.unwrap();
        assert_eq!(look.replaced.into_iter().collect::<Vec<_>>(), [id]);
        fs::write(file("meta.json"), &meta[..100]).unwrap();
        for _ in 0..2 {
            let look = catalogue.look().await.unwrap();
            assert!(look.corrupt.len() == 1 && look.corrupt[0].block == id, "{look:?}");
            assert_eq!(catalogue.blocks().len(), 5);
        }
        fs::remove_file(file("meta.json")).unwrap();
        assert_eq!(catalogue.look().await.unwrap().partial, [id]);
        fs::write(file("meta.json"), &meta).unwrap();
        assert!(is_calm(&catalogue.look().await.unwrap()));
        assert_eq!((catalogue.blocks().len(), requests(&bucket).1), (6, 13));
        // The folder is replaced by a copy.
        fs::rename(dir.path().join(BLOCK), dir.path().join("aside")).unwrap();
        copy_dir(&dir.path().join("aside"), &dir.path().join(BLOCK));
        assert_eq!(catalogue.look().await.unwrap().replaced.into_iter().collect::<Vec<_>>(), [id]);
        fs::remove_dir_all(dir.path().join(BLOCK)).unwrap();
        assert!(is_calm(&catalogue.look().await.unwrap()));
        assert_eq!(catalogue.blocks().len(), 5);
    }
}

#[tokio::test]
async fn files_written_in_place_show_in_folders_that_did_not_change() {
    let dir = bucket_dir();
    let bucket = buckets(dir.path())[0].clone();
    let file = |name: &str| dir.path().join(BLOCK).join(name);
    let content = |time| format!("{{\"id\":\"{BLOCK}\",\"version\":1,\"deletion_time\":{time}}}");
    fs::write(file("deletion-mark.json"), content(5)).unwrap();
    // Long enough for the folders to count as settled.
    tokio::time::sleep(Duration::from_millis(4_100)).await;
    let mut catalogue = Catalogue::new(bucket.clone(), &MarkKind::ALL);
    catalogue.look().await.unwrap();
    fs::write(file("deletion-mark.json"), content(1_700_000_000)).unwrap();
    let meta = fs::read_to_string(file("meta.json")).unwrap();
    fs::write(file("meta.json"), format!("{meta} ")).unwrap();
    let id = BLOCK.parse().unwrap();
    assert!(catalogue.look().await.unwrap().replaced.contains(&id));
    assert_eq!(catalogue.blocks()[&id].deletion_mark().unwrap().unwrap().deletion_time, 1_700_000_000);
    assert_eq!(requests(&bucket).1, 6 + 1 + 2);
    fs::remove_file(file("deletion-mark.json")).unwrap();
    catalogue.look().await.unwrap();
    assert_eq!(catalogue.blocks()[&id].deletion_mark().unwrap(), None);
}

#[tokio::test]
async fn the_next_start_reads_only_what_changed() {
    for i in 0..2 {
        let (dir, kept) = (bucket_dir(), tempfile::tempdir().unwrap());
        let start = async || {
            let bucket = buckets(dir.path())[i].clone().with_headers(kept.path().to_owned()).unwrap();
            let mut catalogue = Catalogue::new(bucket.clone(), &MarkKind::ALL).load().await;
            assert!(is_calm(&catalogue.look().await.unwrap()));
            (catalogue, requests(&bucket).1)
        };
        let file = |name: &str| dir.path().join(BLOCK).join(name);
        let mark =
            format!("{{\"id\":\"{BLOCK}\",\"version\":1,\"no_compact_time\":5,\"details\":\"a\\nb\"}}");
        fs::write(file("no-compact-mark.json"), mark).unwrap();
        let (first, reads) = start().await;
        assert_eq!((first.blocks().len(), reads), (6, 7));
        let (second, reads) = start().await;
        assert_eq!(reads, 0);
        for (a, b) in first.blocks().values().zip(second.blocks().values()) {
            assert!(a.meta() == b.meta() && a.objects() == b.objects());
            assert_eq!(a.mark(MarkKind::NoCompact).unwrap(), b.mark(MarkKind::NoCompact).unwrap());
        }
        fs::remove_file(file("no-compact-mark.json")).unwrap();
        let meta = fs::read(file("meta.json")).unwrap();
        fs::write(file("meta.json"), [&meta[..], b"\n"].concat()).unwrap();
        let bucket = buckets(dir.path())[i].clone().with_headers(kept.path().to_owned()).unwrap();
        let mut third = Catalogue::new(bucket.clone(), &MarkKind::ALL).load().await;
        assert_eq!(third.look().await.unwrap().replaced.len(), 1);
        assert_eq!(requests(&bucket).1, 1);
        assert_eq!(start().await.1, 0);
        fs::remove_dir_all(dir.path().join(BLOCK)).unwrap();
        assert_eq!(start().await.0.blocks().len(), 5);
    }
}

#[tokio::test]
async fn a_snapshot_that_is_damaged_or_foreign_is_made_anew() {
    let (dir, kept) = (bucket_dir(), tempfile::tempdir().unwrap());
    let start = async |bucket: usize, kinds: &[MarkKind]| {
        let bucket = buckets(dir.path())[bucket].clone().with_headers(kept.path().to_owned()).unwrap();
        let mut catalogue = Catalogue::new(bucket.clone(), kinds).load().await;
        assert!(is_calm(&catalogue.look().await.unwrap()) && catalogue.blocks().len() == 6);
        requests(&bucket).1
    };
    assert_eq!(start(0, &MarkKind::ALL).await, 6);
    assert_eq!(start(1, &MarkKind::ALL).await, 6);
    assert_eq!(start(1, &[]).await, 6);
    assert_eq!(start(1, &[]).await, 0);
    let path = kept.path().join("catalogue.jsonl");
    let good = fs::read(&path).unwrap();
    for len in (0..good.len()).step_by(good.len() / 60) {
        fs::write(&path, &good[..len]).unwrap();
        assert_eq!(start(1, &[]).await, 6, "cut to {len} bytes");
        let mut bad = good.clone();
        bad[len] ^= 1;
        fs::write(&path, bad).unwrap();
        assert_eq!(start(1, &[]).await, 6, "a bit of byte {len}");
    }
    assert_eq!(start(1, &[]).await, 0);
}
