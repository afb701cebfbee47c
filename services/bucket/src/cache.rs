//! Caches of what is read of blocks by ranges: objects are cut into pieces of one size, and pieces are kept in memory, in
//! memcached or in redis. Thanos `pkg/store/cache/caching_bucket.go`.
//!
//! Keys of pieces are Thanos's, so that pieces of segments can be shared with its store. Pieces of indexes, which hold postings
//! and series, are kept in the same way; Thanos keeps postings and series one by one.

mod config;
mod guard;
mod jump;
mod memcached;
mod memory;
mod metrics;
mod pieces;
mod redis;
mod remote;
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
    /// Bytes of a piece.
    piece: u64,
    /// The most requests that one reading of an object is split into; 0 is no limit.
    requests_max: usize,
    metrics: CacheMetrics,
}

/// Where pieces are kept.
#[derive(Debug)]
enum Place {
    Memory(Memory),
    Remote(Remote),
}

impl RangeCache {
    /// The cache of a configuration; it connects when it is first used. Must be called inside a tokio runtime.
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

    /// Registers `thanos_store_bucket_cache_*`, told apart by what is cached: `index` or `chunks`.
    pub fn register_metrics(&self, what: &'static str, registry: &mut Registry) {
        self.inner.metrics.register(what, registry);
    }

    /// Reads ranges of an object of `size` bytes. They are inside the object and not empty. What is not kept is read by
    /// `read`, which gives the bytes of ranges that ascend and do not overlap, and is kept from then on.
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
    /// What is kept under keys.
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

/// How long pieces are kept where nothing says otherwise: blocks never change.
const TTL: Duration = Duration::from_secs(24 * 3600);
