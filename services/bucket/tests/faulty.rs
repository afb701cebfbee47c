//! The bucket over a faulty store: slow, busy, with short answers, broken bodies and late listings. Nothing is lost,
//! and what retries cannot repair is the right error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "objects/look.rs"]
#[allow(dead_code, reason = "other tests share it")]
mod look;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tithon_bucket::{Bucket, BucketBlock, Retry, TransferOptions};
use tithon_chunks::ErrorKind;
use tithon_engine::{BlockFile, BlockMeta, FileRange};
use tokio::sync::Barrier;

use crate::look::look;

/// The faults of a store; each occurs at every n-th request of its kind, 0 means never.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// Requests that are refused as if the server were busy.
    busy_every: u64,
    /// Answers that end early without an error.
    short_every: u64,
    /// Answers that break off with an error.
    broken_every: u64,
    /// Number of the last written objects that listings leave out.
    lag: usize,
    latency: Duration,
    /// Reads of segments wait until this many have arrived; 0 means they do not wait.
    together: usize,
}

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    plan: Plan,
    requests: AtomicU64,
    answers: AtomicU64,
    late: Mutex<VecDeque<Path>>,
    barrier: Barrier,
}

impl Faulty {
    fn new(plan: Plan) -> Arc<Faulty> {
        let (requests, answers) = (AtomicU64::new(0), AtomicU64::new(0));
        let barrier = Barrier::new(plan.together);
        Arc::new(Faulty { inner: InMemory::new(), plan, requests, answers, late: Mutex::default(), barrier })
    }

    async fn begin(&self) -> Result<()> {
        tokio::time::sleep(self.plan.latency).await;
        let n = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if self.plan.busy_every > 0 && n.is_multiple_of(self.plan.busy_every) {
            return Err(Error::Generic { store: "faulty", source: "503 SlowDown".into() });
        }
        Ok(())
    }

    fn wrote(&self, path: &Path) {
        let mut late = self.late.lock().unwrap();
        late.push_back(path.clone());
        while late.len() > self.plan.lag {
            late.pop_front();
        }
    }

    fn is_late(&self, path: &Path) -> bool {
        self.late.lock().unwrap().contains(path)
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.begin().await?;
        self.wrote(path);
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.begin().await?;
        self.wrote(path);
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.begin().await?;
        if path.as_ref().contains("/chunks/") && self.plan.together > 0 {
            self.barrier.wait().await;
        }
        let is_head = options.head;
        let mut result = self.inner.get_opts(path, options).await?;
        if is_head {
            return Ok(result);
        }
        let n = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        let is = |every: u64| every > 0 && n.is_multiple_of(every);
        let (short, broken) = (is(self.plan.short_every), is(self.plan.broken_every));
        if short || broken {
            let (meta, range, attributes) =
                (result.meta.clone(), result.range.clone(), result.attributes.clone());
            let bytes = result.bytes().await?;
            let half = bytes.slice(..bytes.len() / 2);
            let end: Option<Result<Bytes>> =
                broken.then(|| Err(Error::Generic { store: "faulty", source: "connection reset".into() }));
            let payload = GetResultPayload::Stream(stream::iter([Ok(half)].into_iter().chain(end)).boxed());
            result = GetResult { payload, meta, range, attributes, extensions: Default::default() };
        }
        Ok(result)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let late = self.late.lock().unwrap().clone();
        let listed = self.inner.list(prefix);
        listed.try_filter(move |meta| futures::future::ready(!late.contains(&meta.location))).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.begin().await?;
        let mut listed = self.inner.list_with_delimiter(prefix).await?;
        listed.objects.retain(|meta| !self.is_late(&meta.location));
        Ok(listed)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

const BLOCK: &str = "testdata/bucket/01HWRY2K800MHKWZ8TGXR5JV88";

fn golden() -> (std::path::PathBuf, BlockMeta) {
    let dir = tithon_testdata::shared(BLOCK);
    let meta = BlockMeta::parse(&std::fs::read(dir.join("meta.json")).unwrap()).unwrap();
    (dir, meta)
}

/// A block is uploaded, found, downloaded unchanged, read by ranges and deleted.
async fn round_trip(plan: Plan) {
    let retry = Retry { attempts: 8, first_pause: Duration::from_micros(10) };
    let bucket = Bucket::from_store(Faulty::new(plan), "p").with_retry(retry);
    let (dir, meta) = golden();
    let written = bucket.upload_block(&dir, meta, TransferOptions::default()).await.unwrap();
    let found = look(&bucket).await.unwrap();
    assert_eq!(found.new.len(), 1, "{plan:?}: {found:?}");
    let back = tempfile::tempdir().unwrap();
    bucket.download_block(&written, back.path(), TransferOptions::default()).await.unwrap();
    let block = bucket.open_block(Arc::clone(&found.new[0]), None).await.unwrap();
    for (file, part) in [("index", BlockFile::Index), ("chunks/000001", BlockFile::Segment(0))] {
        let bytes = std::fs::read(dir.join(file)).unwrap();
        assert!(std::fs::read(back.path().join(file)).unwrap() == bytes, "{plan:?}: {file} differs");
        for (start, len) in [(0, bytes.len()), (5, 100), (bytes.len() - 7, 7)] {
            let range = FileRange { file: part, start: start as u64, len: len as u64 };
            let got = block.fetch(&[range]).await.unwrap();
            assert!(got[0] == bytes[start..start + len], "{plan:?}: {file} {start}+{len}");
        }
    }
    bucket.delete_block(written.ulid).await.unwrap();
    assert!(look(&bucket).await.unwrap().new.is_empty(), "{plan:?}");
}

#[tokio::test]
async fn a_store_that_misbehaves_now_and_then_loses_nothing() {
    let none = Plan::default();
    for plan in [
        none,
        Plan { busy_every: 2, ..none },
        Plan { short_every: 2, ..none },
        Plan { broken_every: 2, ..none },
        Plan { busy_every: 5, short_every: 3, broken_every: 4, ..none },
        Plan { latency: Duration::from_millis(2), busy_every: 3, ..none },
    ] {
        round_trip(plan).await;
    }
}

/// A fault at every request ends in an error that names it, not in an answer.
#[tokio::test]
async fn a_store_that_always_misbehaves_is_an_error() {
    let none = Plan::default();
    for plan in
        [Plan { short_every: 1, ..none }, Plan { broken_every: 1, ..none }, Plan { busy_every: 1, ..none }]
    {
        let faulty = Faulty::new(plan);
        let good = Faulty::new(none);
        let (dir, meta) = golden();
        let sound = Bucket::from_store(Arc::clone(&good) as Arc<dyn ObjectStore>, "");
        let written = sound.upload_block(&dir, meta, TransferOptions::default()).await.unwrap();
        for object in good.list(None).try_collect::<Vec<_>>().await.unwrap() {
            let bytes = good
                .inner
                .get_opts(&object.location, GetOptions::default())
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            faulty.inner.put_opts(&object.location, bytes.into(), PutOptions::default()).await.unwrap();
        }
        let bucket = Bucket::from_store(faulty, "");
        let error = bucket.open_block(Arc::new(written), None).await.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{plan:?}: {error}");
    }
}

/// A block whose objects are not all listed yet is found later, and not taken for complete before.
#[tokio::test]
async fn listings_that_lag_hide_a_block_for_a_while() {
    let store = Faulty::new(Plan { lag: 3, ..Plan::default() });
    let bucket = Bucket::from_store(Arc::clone(&store) as Arc<dyn ObjectStore>, "");
    let (dir, meta) = golden();
    let written = bucket.upload_block(&dir, meta, TransferOptions::default()).await.unwrap();
    assert_eq!(bucket.check_files(&written).await.unwrap_err().kind(), ErrorKind::Corrupt);
    store.late.lock().unwrap().clear();
    bucket.check_files(&written).await.unwrap();
    assert_eq!(look(&bucket).await.unwrap().new.len(), 1);
}

/// The first bytes of each of these segments.
fn beginnings(segments: std::ops::Range<u32>) -> Vec<FileRange> {
    segments.map(|i| FileRange { file: BlockFile::Segment(i), start: 0, len: 8 }).collect()
}

/// A block of several segments in a store.
async fn several_segments(plan: Plan) -> (Arc<Faulty>, BucketBlock) {
    let dir = tithon_testdata::shared("testdata/blocks/multi-segment");
    let mut meta = BlockMeta::parse(&std::fs::read(dir.join("meta.json")).unwrap()).unwrap();
    let store = Faulty::new(plan);
    let bucket = Bucket::from_store(Arc::clone(&store) as Arc<dyn ObjectStore>, "");
    let labels = [("replica".to_owned(), "a".to_owned())];
    meta.thanos.get_or_insert_default().labels = labels.into_iter().collect();
    let written = bucket.upload_block(&dir, meta, TransferOptions::default()).await.unwrap();
    let block = bucket.open_block(Arc::new(written), None).await.unwrap();
    (store, block)
}

#[tokio::test]
async fn segments_are_read_at_the_same_time() {
    let (store, block) = several_segments(Plan { together: 8, ..Plan::default() }).await;
    let asked = store.requests.load(Ordering::Relaxed);
    let read = tokio::time::timeout(Duration::from_secs(30), block.fetch(&beginnings(0..8))).await;
    assert!(read.expect("eight requests come together").unwrap().iter().all(|bytes| bytes.len() == 8));
    assert_eq!(store.requests.load(Ordering::Relaxed) - asked, 8);
}

#[tokio::test]
async fn equal_reads_at_the_same_time_are_one_request() {
    let (store, block) = several_segments(Plan::default()).await;
    let asked = store.requests.load(Ordering::Relaxed);
    let ranges = beginnings(0..1);
    let reads = futures::future::join_all((0..5).map(|_| block.fetch(&ranges))).await;
    let reads: Vec<Vec<Bytes>> = reads.into_iter().map(|read| read.unwrap()).collect();
    assert!(reads.iter().all(|read| read == &reads[0]));
    assert_eq!(store.requests.load(Ordering::Relaxed) - asked, 1);
    block.fetch(&ranges).await.unwrap();
    assert_eq!(store.requests.load(Ordering::Relaxed) - asked, 2);
}
