//! Range caches of block files: objects are cut into pieces of one size, and pieces are cached in memory, memcached or
//! redis. Thanos `pkg/store/cache/caching_bucket.go`.
//!
//! The keys of pieces are Thanos's, so that cached pieces of segments can be shared with its store. Pieces of indexes,
//! which hold postings and series, are cached in the same way, whereas Thanos caches single postings lists and series.

mod config;
mod error;
mod guard;
mod jump;
mod memcached;
mod memory;
mod metrics;
mod pieces;
mod redis;
mod remote;
mod server;
mod servers;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::registry::Registry;

pub use self::config::{CacheConfig, CacheConfigError};
use self::memory::Memory;
use self::metrics::CacheMetrics;
use self::pieces::Pieces;
use self::remote::Remote;

/// A cache of pieces of objects. Clones share it.
#[derive(Clone, Debug)]
pub struct RangeCache {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    place: Place,
    /// Size of a piece in bytes.
    piece: u64,
    /// Largest number of requests that one read of an object is split into; 0 means no limit.
    requests_max: usize,
    metrics: CacheMetrics,
}

/// The backend of a cache.
#[derive(Debug)]
enum Place {
    Memory(Memory),
    Remote(Remote),
}

impl RangeCache {
    /// Opens the cache of a configuration. It connects at the first use. Must be called inside a tokio runtime.
    pub fn open(config: &CacheConfig) -> Result<RangeCache, CacheConfigError> {
        let place = config.open()?;
        let inner = Inner {
            place,
            piece: config.piece_bytes.max(1),
            requests_max: config.requests_max,
            metrics: CacheMetrics::default(),
        };
        Ok(RangeCache { inner: Arc::new(inner) })
    }

    /// Registers the metrics `thanos_store_bucket_cache_*`; `what` is cached, `index` or `chunks`.
    pub fn register_metrics(&self, what: &'static str, registry: &mut Registry) {
        self.inner.metrics.register(what, registry);
    }

    /// Reads ranges of an object of `size` bytes; they must lie in the object and not be empty. Missing ranges are read
    /// with `read`, whose ranges ascend and do not overlap, and are then cached.
    pub(crate) async fn ranges<E, F>(
        &self,
        name: &str,
        size: u64,
        ranges: &[Range<u64>],
        read: impl FnOnce(Vec<Range<u64>>) -> F,
    ) -> Result<Vec<Bytes>, E>
    where
        F: Future<Output = Result<Vec<Bytes>, E>>,
    {
        let inner = &self.inner;
        let mut pieces = Pieces::new(inner.piece, size, ranges);
        let keys = pieces.keys(name);
        pieces.put_found(inner.get(&keys).await);
        inner.metrics.count(pieces.len(), pieces.n_found(), ranges.iter().map(|r| r.end - r.start).sum());
        let missing = pieces.missing(inner.requests_max);
        if !missing.is_empty() {
            let fetched = read(missing.clone()).await?;
            inner.metrics.fetched.inc_by(fetched.iter().map(|bytes| bytes.len() as u64).sum());
            let new = pieces.put_fetched(&missing, &fetched);
            inner.put(new.into_iter().map(|(i, bytes)| (keys[i].clone(), bytes)).collect());
        }
        Ok(ranges.iter().map(|range| pieces.cut(range)).collect())
    }
}

impl Inner {
    /// The cached values of keys.
    async fn get(&self, keys: &[String]) -> Vec<Option<Bytes>> {
        match &self.place {
            Place::Memory(memory) => keys.iter().map(|key| memory.get(key)).collect(),
            Place::Remote(remote) => remote.get(keys).await,
        }
    }

    fn put(&self, items: Vec<(String, Bytes)>) {
        match &self.place {
            Place::Memory(memory) => items.into_iter().for_each(|(key, bytes)| memory.put(key, bytes)),
            Place::Remote(remote) => remote.put(items),
        }
    }
}

/// Default lifetime of pieces; long, since blocks never change.
const TTL: Duration = Duration::from_secs(24 * 3600);
