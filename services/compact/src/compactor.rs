//! A compactor: a bucket, options, and what is known of the bucket.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use tithon_bucket::{Bucket, Catalogue, Mark, MarkKind};
use tithon_engine::BlockId;
use tithon_engine::plan::NoCompactReason;
use tithon_runtime::{Cpu, Metrics, Shutdown, now_ms};
use tokio::sync::watch;

use crate::deletions::Requests;
use crate::inventory::{Changed, Inventory};
use crate::lease::Leases;
use crate::metrics::CompactMetrics;
use crate::state::{Busy, FailedPlans, Loaded};
use crate::{CompactError, CompactorOptions};

/// Works on the blocks of one bucket. Clones share everything.
#[derive(Clone)]
pub struct Compactor {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) bucket: Bucket,
    pub(crate) options: CompactorOptions,
    pub(crate) cpu: Cpu,
    pub(crate) metrics: CompactMetrics,
    pub(crate) shutdown: Shutdown,
    /// The blocks of the bucket and their marks; locked during a sync.
    pub(crate) inventory: tokio::sync::Mutex<Inventory>,
    /// Blocks that this process changed since.
    pub(crate) changed: Changed,
    /// Blocks that a merge or a downsampling reads just now.
    pub(crate) busy: Busy,
    /// Successors that could not be read back: when that was, and why.
    pub(crate) faulty: Mutex<BTreeMap<BlockId, (i64, String)>>,
    /// Merges that fail again and again.
    pub(crate) failed_plans: FailedPlans,
    /// Requests to delete series.
    pub(crate) requests: Requests,
    /// Blocks of which no series was past its retention, with the rules that were over.
    pub(crate) kept_whole: Mutex<HashSet<(BlockId, Vec<Option<usize>>)>>,
    /// What the web API shows.
    pub(crate) loaded: RwLock<Loaded>,
    /// The same without any filter.
    pub(crate) global: RwLock<Loaded>,
    /// Iterations so far, failed ones included.
    pub(crate) iterations: watch::Sender<u64>,
    /// Who is told how far a job has come.
    watch: Option<Watch>,
    /// Where other compactors work on the bucket too.
    pub(crate) leases: Option<Leases>,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// So many more pieces of work are to be done.
    More(usize),
    /// One is done.
    Done,
}

/// Is told how far a job has come.
type Watch = Box<dyn Fn(Watched) + Send + Sync>;

/// The work that a mark keeps a block out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExcludedFrom {
    Merging,
    Downsampling,
}

impl Compactor {
    /// A compactor that has not synced yet. `shutdown` ends it between two steps; work that was begun on the
    /// CPU is carried to its end. `alone` says that no store in this process counts syncs.
    pub fn new(
        bucket: Bucket,
        options: CompactorOptions,
        cpu: Cpu,
        metrics: &Metrics,
        shutdown: Shutdown,
        alone: bool,
    ) -> Compactor {
        let counters = CompactMetrics::new(options.delete_delay, options.scope.consistency_delay_ms);
        counters.register(metrics, alone);
        let catalogue = Catalogue::new(bucket.clone(), &MarkKind::ALL);
        let catalogue = catalogue.with_concurrency(options.meta_concurrency);
        let inner = Inner {
            bucket,
            options,
            cpu,
            metrics: counters,
            shutdown,
            inventory: tokio::sync::Mutex::new(Inventory::new(catalogue)),
            changed: Changed::default(),
            busy: Busy::default(),
            faulty: Mutex::default(),
            failed_plans: FailedPlans::default(),
            requests: Requests::default(),
            kept_whole: Mutex::default(),
            loaded: RwLock::default(),
            global: RwLock::default(),
            iterations: watch::Sender::new(0),
            watch: None,
            leases: None,
        };
        Compactor { inner: Arc::new(inner) }
    }

    /// The same compactor on a bucket that others work on: merges and downsampling are done under leases. To be called before
    /// the compactor is cloned.
    pub fn with_leases(mut self, leases: Leases) -> Compactor {
        Arc::get_mut(&mut self.inner).expect("a compactor is given leases before it is shared").leases =
            Some(leases);
        self
    }

    /// The same compactor, which tells how far its jobs have come. To be called before the compactor is cloned.
    pub fn watched(mut self, watch: impl Fn(Watched) + Send + Sync + 'static) -> Compactor {
        Arc::get_mut(&mut self.inner).expect("a compactor is watched before it is shared").watch =
            Some(Box::new(watch));
        self
    }

    pub(crate) fn tell(&self, watched: Watched) {
        if let Some(watch) = &self.inner.watch {
            watch(watched);
        }
    }

    /// Counts iterations: whoever shows the bucket's blocks looks again when it changes.
    pub fn iterations(&self) -> watch::Receiver<u64> {
        self.inner.iterations.subscribe()
    }

    pub(crate) fn new_id(&self) -> BlockId {
        BlockId::from_parts(now_ms().unsigned_abs(), rand::random())
    }

    /// Marks a block for deletion; `replaced_by` are the blocks that hold its data now, where that is why. Answers whether
    /// it had no such mark yet.
    pub(crate) async fn mark_for_deletion(
        &self,
        block: BlockId,
        details: &str,
        replaced_by: Vec<BlockId>,
    ) -> Result<bool, CompactError> {
        let (kind, reason) = (MarkKind::Deletion, String::new());
        let (details, time_s) = (details.to_owned(), now_ms() / 1000);
        self.write_mark(Mark { kind, block, details, time_s, reason, replaced_by }).await
    }

    /// Marks a block as not to be merged or not to be downsampled; answers whether it had no such mark yet.
    pub(crate) async fn mark_excluded(
        &self,
        block: BlockId,
        from: ExcludedFrom,
        reason: NoCompactReason,
        details: &str,
    ) -> Result<bool, CompactError> {
        let kind = match from {
            ExcludedFrom::Merging => MarkKind::NoCompact,
            ExcludedFrom::Downsampling => MarkKind::NoDownsample,
        };
        let (details, reason, time_s) = (details.to_owned(), reason.as_str().to_owned(), now_ms() / 1000);
        self.write_mark(Mark { kind, block, details, time_s, reason, replaced_by: Vec::new() }).await
    }

    async fn write_mark(&self, mark: Mark) -> Result<bool, CompactError> {
        let (block, kind, reason) = (mark.block, mark.kind, mark.reason.clone());
        // The mark is written to its end even if the caller is dropped: half of the sources marked is worse than all.
        let inner = Arc::clone(&self.inner);
        let written = tokio::spawn(async move {
            let written = inner.bucket.put_mark(&mark).await;
            inner.changed.note(block);
            written
        });
        let written = written.await.map_err(|e| tithon_runtime::RuntimeError::Panic(e.to_string()))??;
        if written {
            self.inner.metrics.count_mark(kind, reason);
        } else {
            tracing::warn!(block = %block, marker = kind.file(), "block has the mark already");
        }
        Ok(written)
    }

    /// Scratch space of merges; each group has a folder in it.
    pub(crate) fn merge_dir(&self) -> PathBuf {
        self.inner.options.data_dir.join("compact")
    }

    /// Notes of the blocks that are being made.
    pub(crate) fn drafts_dir(&self) -> PathBuf {
        self.inner.options.data_dir.join("drafts")
    }

    /// Scratch space of downsampling.
    pub(crate) fn downsample_dir(&self) -> PathBuf {
        self.inner.options.data_dir.join("downsample")
    }
}
