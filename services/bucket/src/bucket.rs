//! A bucket: objects by key.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    Attributes, MultipartUpload, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
};
use tithon_engine::BlockId;
use tokio::sync::Semaphore;

use crate::cache::RangeCache;
use crate::directory::Directory;
use crate::flights::Flights;
use crate::headers::{HeaderCache, KeptFilter};
use crate::hedge::Hedge;
use crate::metrics::BucketMetrics;
use crate::provider::{FilesystemConfig, Opened, Provider};
use crate::retry::Operation;
use crate::transfer::PART_BYTES;
use crate::{BucketConfig, BucketError, Retry};

/// Requests for ranges that may be under way at the same time, over all blocks.
const RANGE_REQUESTS_MAX: usize = 256;

/// Blocks in an object store. Clones share the connection.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// Where the blocks can be mapped.
    local: Option<PathBuf>,
    /// The store, where it is a directory.
    pub(crate) directory: Option<Directory>,
    headers: Option<HeaderCache>,
    /// Of indexes, and of segments, where they are read by ranges.
    pub(crate) index_cache: Option<RangeCache>,
    pub(crate) chunk_cache: Option<RangeCache>,
    /// What is said of every object that is written.
    attributes: Attributes,
    /// Objects up to this size go in one request; larger ones in parts of it.
    pub(crate) part_bytes: usize,
    /// The store repeats failed requests itself.
    repeats: bool,
    pub(crate) retry: Retry,
    /// Requests for ranges that are under way, and places for them.
    pub(crate) flights: Flights,
    pub(crate) range_requests: Arc<Semaphore>,
    pub(crate) hedge: Option<Arc<Hedge>>,
    pub(crate) metrics: Arc<BucketMetrics>,
}

/// The store by its name: some stores' own `Debug` prints secrets.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("store", &format_args!("{}", self.store)).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Opens a bucket. A directory that is not there yet is an empty bucket, made by the first upload, as in Thanos; one
    /// that cannot be read is an error.
    ///
    /// A bucket over the network is not asked for anything here.
    pub fn open(config: &BucketConfig) -> Result<Bucket, BucketError> {
        match (&config.provider, config.provider.open()?) {
            (_, Some(opened)) => {
                let hedge = Hedge::new(config.hedging).map(Arc::new);
                Ok(Bucket { hedge, ..Bucket::remote(opened, &config.prefix) })
            }
            (Provider::Filesystem(directory), None) => Bucket::in_directory(directory, &config.prefix),
            (_, None) => unreachable!("only a directory is opened without a store"),
        }
    }

    /// Opens a bucket, and makes the container of an AZURE one where that is asked for.
    pub async fn connect(config: &BucketConfig) -> Result<Bucket, BucketError> {
        if let Provider::Azure(azure) = &config.provider {
            azure.make_container().await?;
        }
        Bucket::open(config)
    }

    fn in_directory(config: &FilesystemConfig, prefix: &str) -> Result<Bucket, BucketError> {
        let given = config.directory.join(prefix);
        let directory = |source| BucketError::Directory { path: given.clone(), source };
        let path = std::path::absolute(&given).map_err(directory)?;
        match std::fs::read_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::warn!(directory = %path.display(), "bucket is empty: its directory is not there yet");
            }
            result => drop(result.map_err(directory)?),
        }
        let directory = Directory::new(path.clone());
        let store = Arc::new(directory.clone());
        let bucket = Bucket::over(store, &config.directory.display().to_string());
        Ok(Bucket { local: Some(path), directory: Some(directory), ..bucket })
    }

    /// A bucket in any store, below `prefix`; its blocks are read by ranges, never mapped.
    pub fn from_store(store: Arc<dyn ObjectStore>, prefix: &str) -> Bucket {
        Bucket::over(below(store, prefix), prefix)
    }

    fn remote(opened: Opened, prefix: &str) -> Bucket {
        let Opened { store, name, attributes, part_bytes, retry } = opened;
        let bucket = Bucket::over(below(store, prefix), &name);
        Bucket { attributes, part_bytes, retry, repeats: true, ..bucket }
    }

    fn over(store: Arc<dyn ObjectStore>, name: &str) -> Bucket {
        Bucket {
            store,
            local: None,
            directory: None,
            headers: None,
            index_cache: None,
            chunk_cache: None,
            attributes: Attributes::new(),
            part_bytes: PART_BYTES,
            repeats: false,
            retry: Retry::NEVER,
            flights: Flights::default(),
            range_requests: Arc::new(Semaphore::new(RANGE_REQUESTS_MAX)),
            hedge: None,
            metrics: Arc::new(BucketMetrics::new(name)),
        }
    }

    /// The same bucket; requests that fail in a way that may pass are repeated. A bucket over the network that was opened by
    /// its configuration stays as it is: that says how often, and attempts would multiply.
    pub fn with_retry(self, retry: Retry) -> Bucket {
        if self.repeats { self } else { Bucket { retry, ..self } }
    }

    /// The same bucket, its blocks read by ranges and never mapped: for a directory on a network, where a failed read of
    /// mapped memory would end the process.
    pub fn by_ranges(self) -> Bucket {
        Bucket { local: None, ..self }
    }

    /// The same bucket, keeping index-headers of blocks that are read by ranges, and filters of the labels of all, in a
    /// directory of its own, which is made.
    pub fn with_headers(self, dir: PathBuf) -> Result<Bucket, BucketError> {
        let headers = HeaderCache::open(dir.clone());
        let headers = headers.map_err(|source| BucketError::Directory { path: dir, source })?;
        Ok(Bucket { headers: Some(headers), ..self })
    }

    /// The same bucket; ranges of indexes and of segments that are read over the network are kept in these caches. A block
    /// that is mapped needs none.
    pub fn with_range_caches(self, index: Option<RangeCache>, chunks: Option<RangeCache>) -> Bucket {
        Bucket { index_cache: index, chunk_cache: chunks, ..self }
    }

    /// Whether blocks are mapped, so that nothing is read by ranges.
    pub fn is_mapped(&self) -> bool {
        self.local.is_some()
    }

    /// Deletes what is kept of other blocks than these.
    pub async fn forget_other_headers(&self, blocks: BTreeSet<BlockId>) {
        let deleted = self.with_cache(move |cache| cache.retain(&blocks)).await;
        if let Some(Err(error)) = deleted {
            tracing::warn!(error = %error, "cached headers of blocks that have gone are not deleted");
        }
    }

    /// The filter of a block's labels that is kept from an earlier opening. Reads a file on local disk.
    pub fn kept_filter(&self, block: BlockId) -> Option<KeptFilter> {
        self.headers.as_ref()?.kept_filter(block)
    }

    /// Works on what is kept, off the asynchronous threads; `None` when nothing is kept.
    pub(crate) async fn with_cache<T: Send + 'static>(
        &self,
        work: impl FnOnce(&HeaderCache) -> T + Send + 'static,
    ) -> Option<T> {
        let cache = self.headers.clone()?;
        // The work ends early only by a panic, which the program's own handler reports.
        tokio::task::spawn_blocking(move || work(&cache)).await.ok()
    }

    /// The directory of a block that can be mapped.
    pub(crate) fn local_dir(&self, block: BlockId) -> Option<PathBuf> {
        self.local.as_ref().map(|root| root.join(block.to_string()))
    }

    /// The bucket's name in metrics: its directory or prefix.
    pub fn name(&self) -> &str {
        &self.metrics.bucket
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        &self.store
    }

    /// An object's bytes; `None` when there is no such object.
    pub(crate) async fn get(&self, path: &Path) -> Result<Option<Bytes>, BucketError> {
        let answer = || async {
            let answer = self.store.get(path).await?;
            let size = answer.range.end - answer.range.start;
            whole(answer.bytes().await?, size)
        };
        match self.retrying(Operation::Get, answer).await {
            Ok(bytes) => {
                self.metrics.fetched(Operation::Get, bytes.len());
                Ok(Some(bytes))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(BucketError::object(path)(error)),
        }
    }

    /// Whether there is such an object.
    pub(crate) async fn exists(&self, path: &Path) -> Result<bool, BucketError> {
        match self.retrying(Operation::Exists, || self.store.head(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(BucketError::object(path)(error)),
        }
    }
}

impl Bucket {
    /// Writes an object.
    pub(crate) async fn put(&self, path: &Path, bytes: Bytes) -> Result<(), BucketError> {
        let put = || {
            let options = PutOptions { attributes: self.attributes.clone(), ..PutOptions::default() };
            self.store.put_opts(path, PutPayload::from(bytes.clone()), options)
        };
        self.retrying(Operation::Upload, put).await.map_err(BucketError::object(path))?;
        self.metrics.uploaded(bytes.len() as u64);
        Ok(())
    }

    /// Begins an object that is written in parts.
    pub(crate) async fn put_parts(&self, path: &Path) -> Result<Box<dyn MultipartUpload>, BucketError> {
        let begin = || {
            let options =
                PutMultipartOptions { attributes: self.attributes.clone(), ..PutMultipartOptions::default() };
            self.store.put_multipart_opts(path, options)
        };
        self.retrying(Operation::Upload, begin).await.map_err(BucketError::object(path))
    }
}

/// The bytes of an answer; one that ends early may come whole another time.
pub(crate) fn whole(bytes: Bytes, size: u64) -> object_store::Result<Bytes> {
    if bytes.len() as u64 == size {
        return Ok(bytes);
    }
    let source = format!("the answer has {} bytes, expected {size}", bytes.len()).into();
    Err(object_store::Error::Generic { store: "bucket", source })
}

fn below(store: Arc<dyn ObjectStore>, prefix: &str) -> Arc<dyn ObjectStore> {
    if prefix.is_empty() { store } else { Arc::new(PrefixStore::new(store, Path::from(prefix))) }
}

/// The key of a file of a block.
pub(crate) fn key(block: BlockId, file: &str) -> Path {
    Path::from(format!("{block}/{file}"))
}
