//! A bucket: an object store with the settings and caches of its reads and writes.

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
use crate::parts::parts_held;
use crate::provider::{FilesystemConfig, Opened, Provider};
use crate::retry::Operation;
use crate::{BucketConfig, BucketError, Retry};

/// Number of range requests at the same time, over all blocks.
const RANGE_REQUESTS_MAX: usize = 256;

/// Blocks in an object store. Clones share the connection.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    /// The directory in which blocks can be mapped.
    local: Option<PathBuf>,
    /// The store if it is a directory.
    pub(crate) directory: Option<Directory>,
    headers: Option<HeaderCache>,
    /// Caches of ranges of indexes and of segments, for blocks that are read by ranges.
    pub(crate) index_cache: Option<RangeCache>,
    pub(crate) chunk_cache: Option<RangeCache>,
    /// Attributes of every object that is written.
    attributes: Attributes,
    /// Size of the parts of uploads, if the configuration sets it.
    pub(crate) part_bytes: Option<usize>,
    /// Permits for parts of uploads that are held in memory.
    pub(crate) upload_parts: Arc<Semaphore>,
    /// Whether the store itself repeats failed requests.
    repeats: bool,
    pub(crate) retry: Retry,
    /// Range requests under way, and permits for them.
    pub(crate) flights: Flights,
    pub(crate) range_requests: Arc<Semaphore>,
    pub(crate) hedge: Option<Arc<Hedge>>,
    pub(crate) metrics: Arc<BucketMetrics>,
}

/// Shows only the store's name, since the `Debug` output of some stores contains secrets.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("store", &format_args!("{}", self.store)).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Opens a bucket. As in Thanos, a directory that does not exist is an empty bucket, created by the first upload.
    ///
    /// Fails when the configuration is invalid or an existing directory cannot be read.
    ///
    /// Sends no request to a bucket over the network.
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

    /// Opens a bucket, and creates the container of an AZURE bucket if its configuration asks for that.
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

    /// A bucket below `prefix` in any store; its blocks are read by ranges and never mapped.
    pub fn from_store(store: Arc<dyn ObjectStore>, prefix: &str) -> Bucket {
        Bucket::over(below(store, prefix), prefix)
    }

    fn remote(opened: Opened, prefix: &str) -> Bucket {
        let Opened { store, name, attributes, part_bytes, retry } = opened;
        let bucket = Bucket::over(below(store, prefix), &name);
        let upload_parts = Arc::new(Semaphore::new(parts_held(part_bytes)));
        Bucket { attributes, part_bytes, upload_parts, retry, repeats: true, ..bucket }
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
            part_bytes: None,
            upload_parts: Arc::new(Semaphore::new(parts_held(None))),
            repeats: false,
            retry: Retry::NEVER,
            flights: Flights::default(),
            range_requests: Arc::new(Semaphore::new(RANGE_REQUESTS_MAX)),
            hedge: None,
            metrics: Arc::new(BucketMetrics::new(name)),
        }
    }

    /// Sets how failed requests are repeated. Has no effect on a bucket over the network that was opened from its
    /// configuration: the configuration decides, and attempts would multiply.
    pub fn with_retry(self, retry: Retry) -> Bucket {
        if self.repeats { self } else { Bucket { retry, ..self } }
    }

    /// Makes the bucket read blocks by ranges and never map them, for directories on a network, where a failed read of
    /// mapped memory would kill the process.
    pub fn by_ranges(self) -> Bucket {
        Bucket { local: None, ..self }
    }

    /// Keeps the index headers of blocks that are read by ranges, and the label filters of all blocks, in the directory
    /// `dir`, which is created.
    ///
    /// Fails when the directory cannot be created.
    pub fn with_headers(self, dir: PathBuf) -> Result<Bucket, BucketError> {
        let headers = HeaderCache::open(dir.clone());
        let headers = headers.map_err(|source| BucketError::Directory { path: dir, source })?;
        Ok(Bucket { headers: Some(headers), ..self })
    }

    /// Sets caches of ranges of indexes and segments that are read over the network. Mapped blocks do not use them.
    pub fn with_range_caches(self, index: Option<RangeCache>, chunks: Option<RangeCache>) -> Bucket {
        Bucket { index_cache: index, chunk_cache: chunks, ..self }
    }

    /// Whether blocks are mapped, so that nothing is read by ranges.
    pub fn is_mapped(&self) -> bool {
        self.local.is_some()
    }

    /// Deletes the cached files of all blocks but these.
    pub async fn forget_other_headers(&self, blocks: BTreeSet<BlockId>) {
        let deleted = self.with_cache(move |cache| cache.retain(&blocks)).await;
        if let Some(Err(error)) = deleted {
            tracing::warn!(error = %error, "cached headers of removed blocks cannot be deleted");
        }
    }

    /// The label filter of a block, kept on local disk from an earlier opening.
    pub fn kept_filter(&self, block: BlockId) -> Option<KeptFilter> {
        self.headers.as_ref()?.kept_filter(block)
    }

    /// Runs work on the header cache, on a blocking thread; `None` when there is no cache.
    pub(crate) async fn with_cache<T: Send + 'static>(
        &self,
        work: impl FnOnce(&HeaderCache) -> T + Send + 'static,
    ) -> Option<T> {
        let cache = self.headers.clone()?;
        // The task fails only by a panic, which the program's panic handler reports.
        tokio::task::spawn_blocking(move || work(&cache)).await.ok()
    }

    /// The directory of a block, if blocks can be mapped.
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

    /// Reads an object; `None` when it does not exist.
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

    /// Whether an object exists.
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

    /// Begins an upload in parts.
    pub(crate) async fn put_parts(&self, path: &Path) -> Result<Box<dyn MultipartUpload>, BucketError> {
        let begin = || {
            let options =
                PutMultipartOptions { attributes: self.attributes.clone(), ..PutMultipartOptions::default() };
            self.store.put_multipart_opts(path, options)
        };
        self.retrying(Operation::Upload, begin).await.map_err(BucketError::object(path))
    }
}

/// Checks that an answer has `size` bytes; a shorter one is an error, which is worth a retry.
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

/// The key of a block's file.
pub(crate) fn key(block: BlockId, file: &str) -> Path {
    Path::from(format!("{block}/{file}"))
}
