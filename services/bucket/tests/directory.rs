//! A FILESYSTEM bucket: a missing directory, symbolic links, leftovers of killed uploads, and durability of what was
//! written.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[path = "directory/durable.rs"]
mod durable;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use tithon_bucket::{Bucket, BucketConfig, Catalogue, Mark, MarkKind, TransferOptions};
use tithon_engine::{BlockId, BlockMeta};

const RAW: &str = "testdata/field/encoding-0/01HWRY2K800000000000000034";

fn raw() -> (PathBuf, BlockMeta) {
    let dir = tithon_testdata::shared(RAW);
    let meta = BlockMeta::parse(&fs::read(dir.join("meta.json")).unwrap()).unwrap();
    (dir, meta)
}

fn open(dir: &Path) -> Bucket {
    Bucket::open(&BucketConfig::filesystem(dir)).unwrap()
}

/// A bucket with one block.
async fn bucket() -> (TempDir, Bucket, BlockId) {
    let dir = tempfile::tempdir().unwrap();
    let (from, meta) = raw();
    let bucket = open(dir.path());
    let made = bucket.upload_block(&from, meta, TransferOptions::default()).await.unwrap();
    (dir, bucket, made.ulid)
}

async fn blocks(bucket: &Bucket) -> Vec<BlockId> {
    let (metas, partial) = look(bucket).await;
    metas.iter().map(|meta| meta.ulid).chain(partial).collect()
}

/// The metas of the complete blocks, and the partial blocks.
async fn look(bucket: &Bucket) -> (Vec<Arc<BlockMeta>>, Vec<BlockId>) {
    let mut catalogue = Catalogue::new(bucket.clone(), &[]);
    let found = catalogue.look().await.unwrap();
    assert!(found.corrupt.is_empty() && found.failed.is_empty(), "{found:?}");
    (catalogue.metas().cloned().collect(), found.partial)
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_empty_until_something_is_written() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("not/there");
    let bucket = open(&dir);
    let (from, meta) = raw();
    assert_eq!(blocks(&bucket).await, []);
    assert!(!bucket.has_meta(meta.ulid).await.unwrap());
    bucket.delete_block(meta.ulid).await.unwrap();
    assert_eq!(bucket.delete_leftovers(i64::MAX).await.unwrap(), 0);
    assert!(!dir.exists());
    let made = bucket.upload_block(&from, meta, TransferOptions::default()).await.unwrap();
    assert_eq!(blocks(&bucket).await, [made.ulid]);
    bucket.check_files(&made).await.unwrap();
}

#[tokio::test]
async fn deleting_a_block_leaves_what_its_links_point_to() {
    let (dir, bucket, id) = bucket().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let treasure = elsewhere.path().join("deep/treasure");
    fs::create_dir(elsewhere.path().join("deep")).unwrap();
    fs::write(&treasure, b"x").unwrap();
    let block = dir.path().join(id.to_string());
    fs::create_dir_all(dir.path().join("kept/deep")).unwrap();
    fs::write(dir.path().join("kept/deep/file"), b"y").unwrap();
    for (link, target) in [
        ("chunks/evil", elsewhere.path()),
        ("evil", &treasure),
        ("chunks/inside", &dir.path().join("kept")),
        ("dangling", Path::new("/nowhere/at/all")),
        ("loop", &block),
    ] {
        symlink(target, block.join(link)).unwrap();
    }
    let mark = Mark {
        kind: MarkKind::Deletion,
        block: id,
        details: String::new(),
        time_s: 1,
        reason: String::new(),
        replaced_by: vec![],
    };
    bucket.put_mark(&mark).await.unwrap();
    bucket.delete_block(id).await.unwrap();
    assert!(fs::symlink_metadata(block).is_err());
    assert_eq!(fs::read(treasure).unwrap(), b"x");
    assert_eq!(fs::read(dir.path().join("kept/deep/file")).unwrap(), b"y");
}

#[tokio::test]
async fn blocks_that_are_links() {
    let (dir, bucket, id) = bucket().await;
    let (other, other_bucket, _) = self::bucket().await;
    // A link out of the bucket is no block, and deleting it does not delete its target.
    let out: BlockId = "01HWS4YAG00000000000000035".parse().unwrap();
    symlink(other.path().join(id.to_string()), dir.path().join(out.to_string())).unwrap();
    assert_eq!(blocks(&bucket).await, [id]);
    bucket.delete_block(out).await.unwrap();
    assert_eq!(blocks(&other_bucket).await, [id]);
    assert!(other_bucket.has_meta(id).await.unwrap());
    assert!(fs::symlink_metadata(dir.path().join(out.to_string())).is_err());
    // A link to another place in the bucket is a block; deleting the block removes only the link.
    let archived = dir.path().join("archive");
    fs::rename(dir.path().join(id.to_string()), &archived).unwrap();
    symlink("archive", dir.path().join(id.to_string())).unwrap();
    bucket.check_files(&look(&bucket).await.0[0]).await.unwrap();
    bucket.delete_block(id).await.unwrap();
    assert!(archived.join("meta.json").exists() && archived.join("chunks/000001").exists());
    assert_eq!(blocks(&bucket).await, []);
}

#[tokio::test]
async fn a_bucket_that_is_a_link_itself() {
    let (dir, _, id) = bucket().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("bucket");
    symlink(dir.path(), &link).unwrap();
    let bucket = open(&link);
    bucket.check_files(&look(&bucket).await.0[0]).await.unwrap();
    bucket.delete_block(id).await.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn files_of_killed_uploads_are_no_objects_and_go_in_the_end() {
    let (dir, bucket, id) = bucket().await;
    let block = dir.path().join(id.to_string());
    let half: BlockId = "01HWS4YAG00000000000000035".parse().unwrap();
    fs::create_dir_all(dir.path().join(half.to_string()).join("chunks")).unwrap();
    let leftovers = [
        block.join("meta.json#1"),
        block.join("chunks/000002#17"),
        dir.path().join(format!("{half}/chunks/000001#1")),
    ];
    leftovers.iter().for_each(|path| fs::write(path, b"half").unwrap());
    fs::write(block.join("notes#a"), b"kept").unwrap();
    let (complete, partial) = look(&bucket).await;
    assert_eq!((complete.len(), partial.as_slice()), (1, [half].as_slice()));
    // Files of an upload in progress count as changes, whatever the time in the block's id.
    let changed = bucket.last_change_ms(half).await.unwrap().unwrap();
    assert!(changed > 1_700_000_000_000 + 86_400_000 * 600, "{changed}");
    assert_eq!(bucket.delete_leftovers(changed - 60_000).await.unwrap(), 0);
    assert_eq!(bucket.delete_leftovers(changed + 60_000).await.unwrap(), 3);
    assert!(leftovers.iter().all(|path| !path.exists()) && block.join("notes#a").exists());
    assert!(!dir.path().join(half.to_string()).exists(), "a folder with nothing in it is left");
    fs::create_dir_all(leftovers[2].parent().unwrap()).unwrap();
    fs::write(&leftovers[2], b"half").unwrap();
    bucket.delete_block(half).await.unwrap();
    assert_eq!(blocks(&bucket).await, [id]);
}
