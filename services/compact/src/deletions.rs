//! Requests to delete series, carried out for good: blocks that they concern are rewritten before anything is merged, and a
//! request of which no block is left is kept as done.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures::{StreamExt, stream};
use tithon_bucket::{DeletionRecord, Deletions};
use tithon_engine::{BlockId, BlockMeta, Rewrite};
use tithon_runtime::now_ms;
use tracing::info;

use crate::fault::{Fault, Reporter};
use crate::rewrite::{Out, Plan, Rewritten};
use crate::view::View;
use crate::{CompactError, Compactor};

/// What a compactor knows of requests.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    /// Those in force, as the last look at the bucket found them.
    in_force: RwLock<Arc<Deletions>>,
    /// Requests and blocks of which they turned out to delete nothing.
    untouched: Mutex<HashSet<(BlockId, BlockId)>>,
}

impl Requests {
    /// Takes in what a look at the bucket found.
    pub(crate) fn set(&self, found: &Deletions) {
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found.clone());
    }

    fn in_force(&self) -> Arc<Deletions> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The requests that are still to be carried out on a block, with all of its labels.
    fn pending(&self, block: &BlockMeta) -> Vec<Arc<DeletionRecord>> {
        let deletions = self.in_force();
        let untouched = self.untouched.lock().unwrap_or_else(PoisonError::into_inner);
        let is_pending = |record: &&Arc<DeletionRecord>| {
            let deletion = &record.deletion;
            deletion.pending(block).is_some() && !untouched.contains(&(deletion.id, block.ulid))
        };
        deletions.all().filter(is_pending).cloned().collect()
    }

    /// Whether a request is still to be carried out on a block.
    pub(crate) fn concern(&self, block: &BlockMeta) -> bool {
        !self.pending(block).is_empty()
    }

    /// Notes in the meta of a block merged from `inputs`, on none of which a request is still to be carried out, which
    /// requests were.
    pub(crate) fn carry(&self, inputs: &[BlockMeta], made: &mut BlockMeta) {
        let deletions = self.in_force();
        let done = deletions.all().filter(|record| inputs.iter().any(|input| record.deletion.is_done(input)));
        let records: Vec<_> = done.flat_map(|record| record.deletion.records()).collect();
        if !records.is_empty() {
            let sources = made.compaction.sources.clone();
            let rewrite = Rewrite { sources, deletions_applied: records, relabels_applied: Vec::new() };
            made.thanos.get_or_insert_default().rewrites.push(rewrite);
        }
    }
}

impl Compactor {
    /// Reports requests that cannot be read: what they ask for is not known.
    pub(crate) fn report_unreadable(&self, reporter: &Reporter) {
        for (request, error) in self.inner.requests.in_force().unreadable() {
            let what = format!("request {request} to delete series cannot be read: {error}");
            reporter.fault(Fault { block: None, group: None, what, marked: false, unfinished: false });
        }
    }

    /// Rewrites the blocks that requests concern; answers whether there were any.
    pub(crate) async fn apply_deletions(&self, view: &View, reporter: &Reporter) -> bool {
        let requests = &self.inner.requests;
        let blocks: Vec<Arc<BlockMeta>> = self.originals(view).await;
        let due = |block: &Arc<BlockMeta>| {
            view.pending.contains(&block.ulid) && !view.deletion.contains_key(&block.ulid)
        };
        let due: Vec<Arc<BlockMeta>> = blocks.into_iter().filter(due).collect();
        let n = due.len();
        let work = stream::iter(due).for_each_concurrent(
            self.inner.options.concurrency.max(1),
            |block| async move {
                let halted = self.inner.options.halt_on_error && reporter.has_faults();
                if halted || self.inner.shutdown.is_triggered() {
                    return;
                }
                let pending = requests.pending(&block);
                let plan = Plan {
                    out: Out::Deleted(pending.iter().filter_map(|r| r.deletion.pending(&block)).collect()),
                    records: pending.iter().flat_map(|record| record.deletion.records()).collect(),
                    stays_alone: false,
                    block,
                };
                if let Some(Rewritten::Untouched) = self.rewrite(&plan, reporter).await {
                    let mut untouched = requests.untouched.lock().unwrap_or_else(PoisonError::into_inner);
                    untouched.extend(pending.iter().map(|record| (record.deletion.id, plan.block.ulid)));
                }
            },
        );
        work.await;
        n > 0
    }

    /// Keeps requests as done of which no block is left in the bucket. Those for later data too stay in force.
    pub(crate) async fn finish_deletions(&self, reporter: &Reporter) -> Result<(), CompactError> {
        let before = self.finished().await;
        if before.is_empty() {
            return Ok(());
        }
        // A block may have come after the last listing, and a request after the block.
        self.sync().await?;
        let is_known = |record: &Arc<DeletionRecord>| before.iter().any(|known| Arc::ptr_eq(known, record));
        for record in self.finished().await.into_iter().filter(is_known) {
            self.inner.bucket.finish_deletion(&record, now_ms()).await?;
            self.inner.metrics.deletions_done.inc();
            reporter.add(|report| report.deletions_done += 1);
            info!(request = %record.deletion.id, "a request to delete series was carried out on all blocks");
        }
        Ok(())
    }

    /// The requests of which no block is left, as far as is known.
    async fn finished(&self) -> Vec<Arc<DeletionRecord>> {
        let deletions = self.inner.requests.in_force();
        let mut left: Vec<Arc<DeletionRecord>> =
            deletions.all().filter(|record| !record.deletion.include_later).cloned().collect();
        if left.is_empty() {
            return left;
        }
        let inventory = self.inner.inventory.lock().await;
        // What a meta.json that cannot be read stands for is not known.
        if !inventory.corrupt().is_empty() {
            return Vec::new();
        }
        for block in inventory.metas() {
            let pending = self.inner.requests.pending(block);
            left.retain(|record| pending.iter().all(|other| other.deletion.id != record.deletion.id));
        }
        left
    }

    /// The blocks of a view with all of their labels.
    pub(crate) async fn originals(&self, view: &View) -> Vec<Arc<BlockMeta>> {
        let inventory = self.inner.inventory.lock().await;
        let known =
            |block: &BlockMeta| inventory.blocks().get(&block.ulid).map(|known| Arc::clone(known.meta()));
        view.blocks.iter().filter_map(known).collect()
    }
}
