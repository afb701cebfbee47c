//! The contract of a bucket, over each kind of server: blocks are uploaded in parts and come back, ranges are exact,
//! marks persist, deletions leave nothing, and a broken upload does not exist.

use std::io::Write;
use std::path::Path;

use tithon_bucket::{Bucket, BucketConfig, Mark, MarkKind, TransferOptions};
use tithon_engine::{BlockFiles, BlockMeta};

use crate::fleet::{Fleet, Kind};
use crate::look::look;
use crate::records::check_records;

/// Writes the files of a block: an index of three upload parts and a small segment, with bytes that identify their
/// position.
fn large_block(dir: &Path) -> BlockMeta {
    let meta = std::fs::read(tithon_testdata::shared("testdata/bucket/01HWRY2K800MHKWZ8TGXR5JV88/meta.json"))
        .unwrap();
    let bytes: Vec<u8> = (0..5_000_000u32).flat_map(u32::to_le_bytes).collect();
    std::fs::create_dir_all(dir.join("chunks")).unwrap();
    std::fs::write(dir.join("index"), &bytes).unwrap();
    std::fs::write(dir.join("chunks/000001"), &bytes[..100]).unwrap();
    BlockMeta::parse(&meta).unwrap()
}

#[test]
fn contract() {
    if !crate::enabled() {
        return;
    }
    for kind in Kind::WRITABLE {
        let fleet = Fleet::start(kind);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = BucketConfig::parse(&fleet.yaml()).unwrap();
            let bucket = Bucket::connect(&config).await.unwrap();
            check(&bucket).await;
            // Conditional writes: those of GCS are checked in `records.rs`, SWIFT has none.
            if matches!(kind, Kind::S3 | Kind::Azure) {
                check_records(&bucket).await;
            }
        });
        eprintln!("objects: contract of {kind:?} kept");
    }
}

/// Providers with S3's protocol send requests that an S3 server accepts, with valid signatures.
#[test]
fn relatives_of_s3() {
    if !crate::enabled() {
        return;
    }
    let fleet = Fleet::start(Kind::S3);
    let (url, key) = (format!("http://127.0.0.1:{}", fleet.port), crate::fleet::SECRET);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for yaml in [
        format!("type: COS\nconfig: {{endpoint: '{url}/thanos', secret_id: tithon, secret_key: {key}}}"),
        format!(
            "type: ALIYUNOSS\nconfig: {{endpoint: '{url}', bucket: thanos, access_key_id: tithon, access_key_secret: {key}}}"
        ),
        format!(
            "type: OBS\nconfig: {{endpoint: '{url}', bucket: thanos, access_key: tithon, secret_key: {key}}}"
        ),
        format!(
            "type: BOS\nconfig: {{endpoint: '{url}', bucket: thanos, access_key: tithon, secret_key: {key}}}"
        ),
    ] {
        runtime.block_on(async {
            let config = BucketConfig::parse(&yaml).unwrap();
            check(&Bucket::connect(&config).await.unwrap()).await;
        });
    }
    eprintln!("objects: relatives of S3 understood");
}

/// A block that another program wrote to GCS is found, read and deleted.
#[test]
fn gcs_is_read() {
    if !crate::enabled() {
        return;
    }
    let fleet = Fleet::start(Kind::Gcs);
    let id = "01HWRQ6W00X6DPMYWAJ8WS5VBY";
    let golden = tithon_testdata::shared("testdata/bucket").join(id);
    let files = ["meta.json", "index", "chunks/000001", "deletion-mark.json"];
    for file in files {
        fleet.put_gcs(&format!("{id}/{file}"), &std::fs::read(golden.join(file)).unwrap());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bucket = Bucket::connect(&BucketConfig::parse(&fleet.yaml()).unwrap()).await.unwrap();
        let found = look(&bucket).await.unwrap();
        assert_eq!(found.new.len(), 1, "{found:?}");
        let meta = &found.new[0];
        assert!(bucket.deletion_mark(meta.ulid).await.unwrap().is_some());
        bucket.open_block(std::sync::Arc::clone(meta), None).await.unwrap();
        let back = tempfile::tempdir().unwrap();
        bucket.download_block(meta, back.path(), TransferOptions::default()).await.unwrap();
        for file in files {
            let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
            assert!(read(&golden) == read(back.path()), "{file} differs");
        }
        bucket.delete_block(meta.ulid).await.unwrap();
        assert!(look(&bucket).await.unwrap().new.is_empty());
        let missing =
            Bucket::connect(&BucketConfig::parse(&fleet.yaml_of("missing", "")).unwrap()).await.unwrap();
        assert!(look(&missing).await.is_err(), "a bucket that is missing looks empty");
    });
    eprintln!("objects: GCS is read");
}

async fn check(bucket: &Bucket) {
    let found = look(bucket).await.unwrap();
    assert!(found.new.is_empty() && found.partial.is_empty(), "{found:?}");

    let dir = tempfile::tempdir().unwrap();
    let meta = large_block(dir.path());
    let block = meta.ulid;
    let options = TransferOptions { files_concurrency: 2, hash: true, unlabelled: false };
    let files = bucket.upload_files(dir.path(), &meta, options).await.unwrap();
    let found = look(bucket).await.unwrap();
    assert_eq!((found.new.len(), found.partial), (0, vec![block]), "without meta.json it is half a block");
    let written = bucket.seal_block(meta, files).await.unwrap();
    let found = look(bucket).await.unwrap();
    assert_eq!((found.new.as_slice(), found.partial.len()), (&[std::sync::Arc::new(written.clone())][..], 0));
    bucket.check_files(&written).await.unwrap();
    assert_eq!(bucket.index_bytes(block).await.unwrap(), 20_000_000);
    assert!(bucket.last_change_ms(block).await.unwrap().is_some_and(|ms| ms > 1_700_000_000_000));

    let back = tempfile::tempdir().unwrap();
    bucket.download_block(&written, back.path(), TransferOptions::default()).await.unwrap();
    for file in ["index", "chunks/000001"] {
        let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
        assert!(read(dir.path()) == read(back.path()), "{file} differs");
    }

    let mark = Mark {
        kind: MarkKind::NoCompact,
        block,
        details: "d".to_owned(),
        time_s: 1_700_000_000,
        reason: "manual".to_owned(),
        replaced_by: Vec::new(),
    };
    assert_eq!(bucket.mark(block, MarkKind::NoCompact).await.unwrap(), None);
    assert!(bucket.put_mark(&mark).await.unwrap());
    assert!(!bucket.put_mark(&mark).await.unwrap(), "a mark that is there stays");
    assert_eq!(bucket.mark(block, MarkKind::NoCompact).await.unwrap(), Some(mark));

    broken_upload(bucket, &written).await;
    bucket.delete_block(block).await.unwrap();
    bucket.delete_block(block).await.unwrap();
    let found = look(bucket).await.unwrap();
    assert!(found.new.is_empty() && found.partial.is_empty(), "{found:?}");
}

/// A file whose upload was given up after some parts does not exist.
async fn broken_upload(bucket: &Bucket, meta: &BlockMeta) {
    let other = "01HWS4YAG00N2JP40HM8NDAQDM".parse().unwrap();
    assert_ne!(other, meta.ulid);
    let mut files = bucket.block_files(other, false, tokio::runtime::Handle::current());
    let write = move || {
        let mut sink = files.create("index").unwrap();
        sink.write_all(&vec![7; 20 << 20]).unwrap();
        drop(sink);
    };
    tokio::task::spawn_blocking(write).await.unwrap();
    let found = look(bucket).await.unwrap();
    assert_eq!((found.partial.len(), found.new.len()), (0, 1), "{found:?}");
}
