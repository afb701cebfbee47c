//! A served block. It is opened when a request first needs it and closed when idle; while closed it takes only the
//! memory of its meta and no open file. Thanos `pkg/block/indexheader/lazy_binary_reader.go`, `reader_pool.go`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tithon_bucket::{BlockObjects, BucketBlock, KeptFilter};
use tithon_chunks::ErrorKind;
use tithon_engine::cut::deleted_series;
use tithon_engine::{BlockId, BlockMeta, Tombstones};
use tithon_index::Matcher;
use tithon_runtime::Priority;
use tokio::runtime::Handle;
use tracing::warn;

use crate::deletions::OfBlock;

use crate::store::Inner;
use crate::{Store, StoreError};

/// A block of the bucket, open or not.
#[derive(Debug)]
pub(crate) struct ServedBlock {
    meta: Arc<BlockMeta>,
    objects: Option<Arc<BlockObjects>>,
    /// What requests delete of it.
    deletions: OfBlock,
    open: ArcSwapOption<BucketBlock>,
    /// Held while the block is being opened; other requests for it wait.
    opening: tokio::sync::Mutex<()>,
    /// The block's label filter, kept on disk from an earlier opening and used while the block is closed.
    filter: ArcSwapOption<KeptFilter>,
    /// Why the block cannot be opened, after a failed attempt.
    fault: OnceLock<String>,
    was_opened: AtomicBool,
    /// Time of the last request that needed it, in milliseconds since the store began.
    used_ms: AtomicU64,
}

impl ServedBlock {
    pub(crate) fn new(
        meta: Arc<BlockMeta>,
        objects: Option<Arc<BlockObjects>>,
        deletions: OfBlock,
    ) -> ServedBlock {
        ServedBlock {
            meta,
            objects,
            deletions,
            open: ArcSwapOption::empty(),
            opening: tokio::sync::Mutex::const_new(()),
            filter: ArcSwapOption::empty(),
            fault: OnceLock::new(),
            was_opened: AtomicBool::new(false),
            used_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn id(&self) -> BlockId {
        self.meta.ulid
    }

    pub(crate) fn meta(&self) -> &Arc<BlockMeta> {
        &self.meta
    }

    /// What requests delete of it.
    pub(crate) fn deletions(&self) -> &OfBlock {
        &self.deletions
    }

    /// The block if it is open.
    pub(crate) fn if_open(&self) -> Option<Arc<BucketBlock>> {
        self.open.load_full()
    }

    /// Why the block cannot be opened, after a failed attempt.
    pub(crate) fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }

    /// Whether it was ever opened, so that its index and segments are known to exist with valid headers.
    pub(crate) fn was_opened(&self) -> bool {
        self.was_opened.load(Ordering::Relaxed)
    }

    /// Returns false when the block's label filter excludes that any series satisfies all matchers. Does not open the
    /// block, but may map its small filter file.
    pub(crate) fn may_match(&self, matchers: &[Matcher], inner: &Inner) -> bool {
        if let Some(block) = self.if_open() {
            return block.may_match(matchers);
        }
        if self.filter.load().is_none() {
            self.filter.store(inner.bucket.kept_filter(self.id()).map(Arc::new));
        }
        self.touch(inner);
        self.filter.load().as_ref().is_none_or(|filter| filter.may_match(matchers))
    }

    /// Returns the block for a request, and opens it if needed. A damaged block is not tried again before the next
    /// sync, and its sources are served in its place as soon as possible. Fails with the limit of memory when there is none for what
    /// is deleted of the block.
    pub(crate) async fn get(&self, inner: &Arc<Inner>) -> Result<Arc<BucketBlock>, StoreError> {
        self.touch(inner);
        if let Some(block) = self.if_open() {
            return Ok(block);
        }
        if let Some(reason) = self.fault() {
            return Err(StoreError::NotServed { block: self.id(), reason: reason.to_owned() });
        }
        let opened = self.open(inner).await;
        if let Err(error) = &opened
            && !matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::LimitExceeded)
            && self.fault.set(error.to_string()).is_ok()
        {
            inner.metrics.blocks_faulty.inc();
            let store = Store { inner: Arc::clone(inner) };
            tokio::spawn(async move { store.settle().await });
        }
        opened
    }

    /// Opens the block unless it is open. Concurrent calls open it once; the store limits how many blocks are opened at
    /// once.
    pub(crate) async fn open(&self, inner: &Inner) -> Result<Arc<BucketBlock>, StoreError> {
        let _opening = self.opening.lock().await;
        if let Some(block) = self.if_open() {
            return Ok(block);
        }
        // The semaphore is never closed.
        let _permit = inner.opening.acquire().await;
        inner.metrics.block_loads.inc();
        match self.open_without_deleted(inner).await {
            Ok(block) => {
                let block = Arc::new(block);
                self.was_opened.store(true, Ordering::Relaxed);
                self.touch(inner);
                self.open.store(Some(Arc::clone(&block)));
                self.filter.store(None);
                inner.metrics.blocks_open.inc();
                Ok(block)
            }
            Err(error) => {
                inner.metrics.block_load_failures.inc();
                warn!(block = %self.id(), kind = ?error.kind(), error = %error, "block cannot be opened");
                Err(error)
            }
        }
    }

    /// Opens the block and looks which of its series are deleted: without that it is not served.
    async fn open_without_deleted(&self, inner: &Inner) -> Result<BucketBlock, StoreError> {
        let block = inner.bucket.open_block(Arc::clone(&self.meta), self.objects.as_deref()).await?;
        if self.deletions.is_empty() {
            return Ok(block);
        }
        let (deletions, runtime, is_mapped) =
            (self.deletions.clone(), Handle::current(), block.mapped().is_some());
        let look = move || -> Result<(BucketBlock, Tombstones), StoreError> {
            let deleted = deleted_series(block.input(&runtime), deletions.all())?;
            block.check()?;
            Ok((block, deleted))
        };
        let (block, deleted) = match is_mapped {
            true => inner.cpu.run(Priority::Query, look).await??,
            false => inner.cpu.run_waiting(look).await??,
        };
        let charge = inner.memory.keep(deleted.memory_bytes() as u64).await?;
        Ok(block.without(deleted).keeping(charge))
    }

    /// Closes the block if it has been idle for this long and no request holds it. Returns whether it was closed.
    pub(crate) fn close_if_idle(&self, idle: Duration, inner: &Inner) -> bool {
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        if inner.age_ms().saturating_sub(self.used_ms.load(Ordering::Relaxed)) < idle_ms {
            return false;
        }
        self.filter.store(None);
        let Some(block) = self.if_open() else { return false };
        // One reference in the block's place, one here.
        if Arc::strong_count(&block) > 2 {
            return false;
        }
        self.close(inner)
    }

    /// Drops the open block, which stays open for the requests that hold it until they end. Returns whether it was
    /// open.
    pub(crate) fn close(&self, inner: &Inner) -> bool {
        let was_open = self.open.swap(None).is_some();
        if was_open {
            inner.metrics.blocks_open.dec();
        }
        was_open
    }

    fn touch(&self, inner: &Inner) {
        self.used_ms.store(inner.age_ms(), Ordering::Relaxed);
    }
}

impl Store {
    /// Closes the blocks that have been idle for the configured time. Returns how many.
    pub fn close_idle_blocks(&self) -> usize {
        let inner = &*self.inner;
        let idle = inner.options.idle_timeout;
        if idle.is_zero() {
            return 0;
        }
        let blocks = inner.blocks.load();
        let closed = blocks.served.values().filter(|block| block.close_if_idle(idle, inner)).count();
        inner.metrics.blocks_closed.inc_by(closed as u64);
        // Requests that began before a sync may have opened blocks that the sync replaced; these are not counted.
        let open = blocks.served.values().filter(|block| block.if_open().is_some()).count();
        inner.metrics.blocks_open.set(open as i64);
        closed
    }
}
