//! The store: the served blocks of a bucket, and the resources that requests share.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tithon_bucket::{Bucket, Catalogue, Deletions, MarkKind};
use tithon_chunks::TimeRange;
use tithon_runtime::{Cpu, Metrics, now_ms};
use tokio::sync::Semaphore;

use crate::blocks::Blocks;
use crate::memory::Memory;
use crate::metrics::StoreMetrics;
use crate::postings_cache::PostingsCache;
use crate::stalls::Stalls;
use crate::{StoreError, StoreOptions};

/// Answers requests from the blocks of one bucket. Clones share all state.
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
    /// The known blocks of the bucket; locked during a sync.
    pub(crate) catalogue: tokio::sync::Mutex<Catalogue>,
    /// Requests to delete series that are in force; changed during a sync.
    pub(crate) deletions: ArcSwap<Deletions>,
    pub(crate) last_sync: ArcSwap<LastSync>,
    /// Limits how many blocks are opened at once.
    pub(crate) opening: Semaphore,
    begun: Instant,
    /// The gate that limits concurrent `Series` calls; `None` for no limit.
    pub(crate) gate: Option<Arc<Semaphore>>,
    pub(crate) stalls: Arc<Stalls>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) postings: Arc<PostingsCache>,
}

impl Inner {
    /// The time range that is served at this moment.
    pub(crate) fn time_now(&self) -> TimeRange {
        let (min, max) = self.options.scope.range_ms(now_ms());
        TimeRange::new(min, max)
    }

    /// Milliseconds since the store began.
    pub(crate) fn age_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Stalled calls allowed per concurrent call, and in total when concurrency is unlimited.
const STALLED_FOR_EACH: usize = 2;
const STALLED_WITHOUT_LIMIT: usize = 100;

/// Time and result of the last sync, for the web API.
#[derive(Debug, Default)]
pub(crate) struct LastSync {
    /// Milliseconds since 1970; 0 before the first sync.
    pub(crate) at_ms: u64,
    /// Why the sync failed; the store then still serves the blocks from before.
    pub(crate) error: Option<String>,
}

impl Store {
    /// Syncs with the bucket once and serves its blocks. Damaged blocks are skipped with a warning.
    ///
    /// Fails when the bucket cannot be listed.
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
        let own_metrics = StoreMetrics::new(options.series_max_concurrency);
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
        let store = Store { inner: Arc::new(inner) };
        store.sync().await?;
        Ok(store)
    }

    /// Number of blocks that are served.
    pub fn n_blocks(&self) -> usize {
        self.inner.blocks.load().served.len()
    }
}
