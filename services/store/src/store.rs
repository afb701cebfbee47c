//! A store: the blocks of a bucket that are served, and what answers from them.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tithon_bucket::{Bucket, Catalogue, Deletions, MarkKind};
use tithon_chunks::TimeRange;
use tithon_runtime::{Cpu, Metrics};
use tokio::sync::Semaphore;

use crate::blocks::Blocks;
use crate::memory::Memory;
use crate::metrics::StoreMetrics;
use crate::postings_cache::PostingsCache;
use crate::stalls::Stalls;
use crate::{StoreError, StoreOptions};

/// Answers for the blocks of one bucket. Clones share them.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) bucket: Bucket,
    pub(crate) options: StoreOptions,
    pub(crate) cpu: Cpu,
    pub(crate) metrics: StoreMetrics,
    pub(crate) blocks: ArcSwap<Blocks>,
    /// The blocks of the bucket; locked during a sync.
    pub(crate) catalogue: tokio::sync::Mutex<Catalogue>,
    /// Requests to delete series that are in force; changed during a sync.
    pub(crate) deletions: ArcSwap<Deletions>,
    pub(crate) last_sync: ArcSwap<LastSync>,
    /// Blocks that may be opened at once.
    pub(crate) opening: Semaphore,
    begun: Instant,
    /// Calls of `Series` that may begin.
    pub(crate) gate: Option<Arc<Semaphore>>,
    pub(crate) stalls: Arc<Stalls>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) postings: Arc<PostingsCache>,
}

impl Inner {
    /// The range that is served at this moment.
    pub(crate) fn time_now(&self) -> TimeRange {
        let (min, max) = self.options.scope.range_ms(now_ms());
        TimeRange::new(min, max)
    }

    /// Milliseconds since the store began.
    pub(crate) fn age_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

/// Calls whose readers take nothing, for each call that may be answered at once; and their number where that has no limit.
const STALLED_FOR_EACH: usize = 2;
const STALLED_WITHOUT_LIMIT: usize = 100;

/// When the bucket was last looked at, for the web API.
#[derive(Debug, Default)]
pub(crate) struct LastSync {
    /// Milliseconds since the Unix epoch; 0 is never.
    pub(crate) at_ms: u64,
    /// Why it failed, if it did; then what was served before still is.
    pub(crate) error: Option<String>,
}

impl Store {
    /// Syncs with the bucket once and serves its blocks. Damaged blocks are skipped with a warning; a bucket that cannot
    /// be listed is an error.
    pub async fn open(
        bucket: Bucket,
        options: StoreOptions,
        cpu: Cpu,
        metrics: &Metrics,
    ) -> Result<Store, StoreError> {
        let gate = match options.series_max_concurrency {
            0 => None,
            most => Some(Arc::new(Semaphore::new(most))),
        };
        let stalls = match options.series_max_concurrency {
            0 => STALLED_WITHOUT_LIMIT,
            most => most.saturating_mul(STALLED_FOR_EACH),
        };
        let catalogue = Catalogue::new(bucket.clone(), &[MarkKind::Deletion]);
        let catalogue = catalogue.with_concurrency(options.meta_concurrency).load().await;
        let opening = Semaphore::new(options.block_concurrency.clamp(1, Semaphore::MAX_PERMITS));
        let postings = Arc::new(PostingsCache::new(options.index_cache_bytes, metrics));
        let own_metrics = StoreMetrics::default();
        let memory = Arc::new(Memory::new(options.memory_max, own_metrics.held_bytes.clone()));
        let inner = Inner {
            bucket,
            options,
            cpu,
            metrics: own_metrics,
            blocks: ArcSwap::default(),
            catalogue: tokio::sync::Mutex::new(catalogue),
            deletions: ArcSwap::default(),
            last_sync: ArcSwap::default(),
            opening,
            begun: Instant::now(),
            gate,
            stalls: Arc::new(Stalls::new(stalls)),
            memory,
            postings,
        };
        inner.metrics.register(metrics);
        inner.metrics.gate_max.set(i64::try_from(inner.options.series_max_concurrency).unwrap_or(i64::MAX));
        let store = Store { inner: Arc::new(inner) };
        store.sync().await?;
        Ok(store)
    }

    /// Number of blocks that are served.
    pub fn n_blocks(&self) -> usize {
        self.inner.blocks.load().served.len()
    }
}
