//! A store over golden blocks behind a real gRPC server.

#![allow(clippy::unwrap_used, dead_code)]

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use tithon_bucket::{Bucket, BucketConfig};
use tithon_runtime::{Cpu, GrpcServer, Metrics, Probes, Shutdown};
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::StoreApiServer;
use tithon_testdata::copy_dir;
use tonic::transport::Channel;

/// Copies the blocks of `answers/data/<set>` for each set into one bucket.
pub(crate) fn bucket_of(sets: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for set in sets {
        copy_dir(&tithon_testdata::shared(&format!("answers/data/{set}")), dir.path());
    }
    dir
}

/// Copies a folder of blocks of the golden data.
pub(crate) fn bucket_at(path: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&tithon_testdata::shared(path), dir.path());
    dir
}

pub(crate) async fn store_over(dir: &Path, options: StoreOptions) -> Store {
    let bucket = Bucket::open(&BucketConfig::filesystem(dir)).unwrap();
    store_of(bucket, options).await
}

pub(crate) async fn store_of(bucket: Bucket, options: StoreOptions) -> Store {
    store_with(bucket, options, &Metrics::new("0")).await
}

pub(crate) async fn store_with(bucket: Bucket, options: StoreOptions, metrics: &Metrics) -> Store {
    Store::open(bucket, options, Cpu::new(0).unwrap(), metrics).await.unwrap()
}

/// Serves the store until the test ends.
pub(crate) async fn serve(store: Store, probes: Probes) -> Channel {
    let server = GrpcServer::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", server.local_addr());
    let cpu = Cpu::new(0).unwrap();
    let services = StoreApiServer::new(Arc::new(store), cpu, probes.clone()).services();
    let descriptors = tithon_proto::FILE_DESCRIPTOR_SET;
    tokio::spawn(server.serve(services, descriptors, probes, Shutdown::default(), Duration::ZERO));
    Channel::from_shared(url).unwrap().connect().await.unwrap()
}

/// Whether reads by [`panicking_bucket`] panic.
pub(crate) static PANIC: AtomicBool = AtomicBool::new(false);

/// A bucket read by ranges, in which reads of objects with a key prefix can be made to panic.
pub(crate) fn panicking_bucket(dir: &Path, prefix: &'static str) -> Bucket {
    let inner = LocalFileSystem::new_with_prefix(dir).unwrap();
    Bucket::from_store(Arc::new(Panicking { inner, prefix }), "")
}

#[derive(Debug)]
struct Panicking {
    inner: LocalFileSystem,
    prefix: &'static str,
}

impl fmt::Display for Panicking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("panicking")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Panicking {
    async fn put_opts(&self, path: &Key, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Key,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Key, options: GetOptions) -> Result<GetResult> {
        assert!(!path.as_ref().starts_with(self.prefix) || !PANIC.load(Ordering::SeqCst), "made to panic");
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Key>>) -> BoxStream<'static, Result<Key>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Key, to: &Key, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
