//! All merges that are due, group by group. Each group goes on until nothing is left to do in it, without
//! waiting for the others.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt, stream};
use tithon_engine::plan::{
    Group, Next, NoCompactReason, PlanSettings, group, next, overlapping, sharing_sources,
};
use tithon_engine::{BlockId, BlockMeta};
use tracing::{error, warn};

use crate::compactor::ExcludedFrom;
use crate::fault::{Fault, Reporter};
use crate::lease::{self, Lease};
use crate::metrics::CompactMetrics;
use crate::source::Obstacle;
use crate::succession::SOURCE_OF_COMPACTED;
use crate::view::View;
use crate::{CompactError, Compactor};

/// What is said of a plan that is not tried any more.
const GIVEN_UP: &str =
    "this merge failed twice although each block alone is sound, and is not tried again before a restart";

/// One group while it is worked on.
struct Work<'w> {
    group: Group,
    /// Not to be merged, for whatever reason.
    excluded: HashSet<BlockId>,
    /// Sizes of indexes that metas do not have.
    index_bytes: HashMap<BlockId, u64>,
    /// Set when a merge makes shards.
    cut: &'w AtomicBool,
    reporter: &'w Reporter,
}

/// Whether a plan may be carried out.
enum Turn {
    /// It may, under this lease, where compactors share the bucket.
    Ours(Option<Lease>),
    /// Another compactor works on it.
    Elsewhere,
    /// Another compactor has worked on it; the group is as it is now.
    Changed,
}

impl Compactor {
    /// Works on all groups, `concurrency` at a time. Answers whether shards were made, which may go on in groups that the
    /// view does not have yet.
    pub(crate) async fn compact_groups(&self, view: &View, reporter: &Reporter) -> bool {
        let cut = &AtomicBool::new(false);
        let groups =
            group(view.blocks.iter().cloned(), &[]).into_iter().filter(|group| group.blocks.len() > 1);
        let work = stream::iter(groups).for_each_concurrent(
            self.inner.options.concurrency.max(1),
            |group| async move {
                let excluded = view.no_compact.union(&view.pending).copied().collect();
                let work = Work { group, excluded, index_bytes: HashMap::new(), cut, reporter };
                self.compact_group(work).await;
            },
        );
        work.await;
        cut.load(Ordering::Relaxed)
    }

    async fn compact_group(&self, mut work: Work<'_>) {
        let metrics = &self.inner.metrics;
        let resolution = work.group.resolution_ms;
        CompactMetrics::count(&metrics.runs_started, resolution);
        let vertical = self.inner.options.vertical;
        while !self.stops(&work) {
            if !vertical {
                work.leave_out_overlaps();
            }
            let sizes = &work.index_bytes;
            let settings = PlanSettings {
                levels_ms: &self.inner.options.levels_ms,
                index_bytes_max: self.inner.options.index_bytes_max,
                shards: self.inner.options.split_shards,
                vertical,
            };
            match next(&work.group.blocks, settings, &work.excluded, |id| sizes.get(&id).copied()) {
                Next::Nothing => break,
                Next::Exclude { blocks, reason, details } => {
                    for block in blocks {
                        self.leave_out(&mut work, block, reason, &details).await;
                    }
                }
                Next::Measure(blocks) => {
                    if let Err(error) = self.measure(&mut work, blocks).await {
                        work.reporter.unfinished(Some(&work.group.key), &error);
                        break;
                    }
                }
                Next::Merge { blocks, into } => {
                    if !self.merge_next(&mut work, &blocks, into).await {
                        break;
                    }
                }
            }
        }
        CompactMetrics::count(&metrics.runs_completed, resolution);
    }

    fn stops(&self, work: &Work<'_>) -> bool {
        let halted = self.inner.options.halt_on_error && work.reporter.has_faults();
        halted || self.inner.shutdown.is_triggered()
    }

    /// Carries out one plan; answers whether the group can go on.
    async fn merge_next(&self, work: &mut Work<'_>, ids: &[BlockId], into: u32) -> bool {
        let plan: Vec<BlockMeta> =
            work.group.blocks.iter().filter(|block| ids.contains(&block.ulid)).cloned().collect();
        let shared = sharing_sources(&plan.iter().collect::<Vec<_>>());
        if !shared.is_empty() {
            warn!(group = work.group.key, blocks = ?shared, "blocks that are to be merged share sources");
            if !self.inner.options.vertical {
                work.leave_out_for_now(shared, "shares sources with another block of its plan");
                return true;
            }
        }
        if let Some(why) = self.inner.failed_plans.given_up(&work.group.key, ids) {
            work.leave_out_for_now(ids.iter().copied(), &format!("{GIVEN_UP}: {why}"));
            return true;
        }
        let lease = match self.take_turn(work, &plan).await {
            Ok(Turn::Ours(lease)) => lease,
            Ok(Turn::Elsewhere) => {
                work.excluded.extend(ids);
                return true;
            }
            Ok(Turn::Changed) => return true,
            Err(error) => {
                work.reporter.unfinished(Some(&work.group.key), &error);
                return false;
            }
        };
        let goes_on = self.carry_out(work, &plan, into, lease.as_ref()).await;
        if let Some(lease) = lease {
            lease.release().await;
        }
        goes_on
    }

    /// Takes the leases of a plan, where compactors share the bucket, and looks whether others have worked on its blocks.
    async fn take_turn(&self, work: &mut Work<'_>, plan: &[BlockMeta]) -> Result<Turn, CompactError> {
        let Some(leases) = &self.inner.leases else { return Ok(Turn::Ours(None)) };
        let names = lease::names(&work.group.key, plan);
        let Some(lease) = self.take_leases(leases, &names).await? else { return Ok(Turn::Elsewhere) };
        let view = match self.sync().await {
            Ok(view) => view,
            Err(error) => {
                lease.release().await;
                return Err(error);
            }
        };
        let fresh =
            group(view.blocks.iter().cloned(), &[]).into_iter().find(|group| group.key == work.group.key);
        let blocks = fresh.map(|group| group.blocks).unwrap_or_default();
        let is_free = |block: &BlockMeta| {
            !view.no_compact.contains(&block.ulid)
                && !view.pending.contains(&block.ulid)
                && blocks.iter().any(|found| found.ulid == block.ulid)
        };
        if plan.iter().all(is_free) {
            return Ok(Turn::Ours(Some(lease)));
        }
        // A block that was just published for a compactor that is gone has sources that nobody has marked.
        self.collect_garbage(&view, work.reporter).await;
        work.group.blocks = blocks;
        work.excluded.extend(view.no_compact);
        work.excluded.extend(view.pending);
        lease.release().await;
        Ok(Turn::Changed)
    }

    /// Merges the blocks of a plan, and deals with what is at fault; answers whether the group can go on.
    async fn carry_out(
        &self,
        work: &mut Work<'_>,
        plan: &[BlockMeta],
        into: u32,
        lease: Option<&Lease>,
    ) -> bool {
        let ids: Vec<BlockId> = plan.iter().map(|block| block.ulid).collect();
        let overlaps = self.inner.options.vertical && !overlapping(&work.group.blocks).is_empty();
        let error = match self.merge(&work.group, plan, into, lease, work.reporter).await {
            Ok(made) => {
                if overlaps && !made.is_empty() {
                    let vertical = &self.inner.metrics.vertical_compactions;
                    CompactMetrics::count(vertical, work.group.resolution_ms);
                }
                self.apply_result(work, plan, made, into).await;
                return true;
            }
            Err(error) => error,
        };
        CompactMetrics::count(&self.inner.metrics.compaction_failures, work.group.resolution_ms);
        // Other groups may need the space. What cannot be removed now is removed by the next iteration.
        let _ = tokio::fs::remove_dir_all(self.merge_dir().join(&work.group.key)).await;
        match error {
            Obstacle::Damaged { block, reason, error } => {
                self.leave_out(work, block, reason, &error.to_string()).await;
            }
            Obstacle::OutsideChunks(block) => return self.repair_in(work, block, lease).await,
            Obstacle::Gone(block) => work.group.blocks.retain(|meta| meta.ulid != block),
            Obstacle::Plan(error) => {
                let what = error.to_string();
                if self.inner.failed_plans.note(&work.group.key, &ids, &what) {
                    self.inner.metrics.plans_given_up.inc();
                    error!(group = work.group.key, blocks = ?ids, error = what, "{GIVEN_UP}");
                }
                work.leave_out_for_now(ids, &what);
            }
            Obstacle::Transient(error) => {
                work.reporter.unfinished(Some(&work.group.key), &error);
                return false;
            }
        }
        true
    }

    /// Replaces the merged blocks of the group by what was made of them.
    async fn apply_result(&self, work: &mut Work<'_>, plan: &[BlockMeta], made: Vec<BlockMeta>, into: u32) {
        if made.is_empty() {
            return self.drop_empty(work, plan).await;
        }
        work.group.blocks.retain(|block| plan.iter().all(|source| source.ulid != block.ulid));
        work.reporter.add(|report| report.compacted += made.len());
        if into > 1 {
            work.cut.store(true, Ordering::Relaxed);
            return;
        }
        work.group.blocks.extend(made);
        work.group.blocks.sort_by_key(|block| (block.min_time, block.ulid));
    }

    /// A merge had no samples left: marks the blocks that never had a sample, and leaves the others alone, as their metas
    /// promise samples that no other block holds.
    async fn drop_empty(&self, work: &mut Work<'_>, plan: &[BlockMeta]) {
        for block in plan {
            if block.stats.num_samples > 0 {
                work.leave_out_for_now([block.ulid], "all its samples are deleted or out of range");
                continue;
            }
            match self.mark_for_deletion(block.ulid, SOURCE_OF_COMPACTED, Vec::new()).await {
                Ok(_) => work.reporter.add(|report| report.marked_for_deletion += 1),
                Err(error) => work.reporter.unfinished(Some(&work.group.key), &error),
            }
            work.group.blocks.retain(|meta| meta.ulid != block.ulid);
        }
    }

    /// Marks a block so that it is not merged any more, and goes on without it.
    async fn leave_out(&self, work: &mut Work<'_>, block: BlockId, reason: NoCompactReason, details: &str) {
        work.excluded.insert(block);
        let marked = match self.mark_excluded(block, ExcludedFrom::Merging, reason, details).await {
            Ok(_) => true,
            Err(error) => {
                work.reporter.unfinished(Some(&work.group.key), &error);
                false
            }
        };
        let what = format!("{reason}: {details}");
        let group = Some(work.group.key.clone());
        work.reporter.fault(Fault { block: Some(block), group, what, marked, unfinished: false });
    }

    async fn measure(&self, work: &mut Work<'_>, blocks: Vec<BlockId>) -> Result<(), CompactError> {
        for block in blocks {
            match self.inner.bucket.index_bytes(block).await {
                Ok(bytes) => drop(work.index_bytes.insert(block, bytes)),
                Err(error) if error.kind() == tithon_chunks::ErrorKind::NotFound => {
                    self.leave_out(work, block, NoCompactReason::Corrupt, &error.to_string()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Replaces a block that Prometheus wrote with chunks at its end by one without them.
    async fn repair_in(&self, work: &mut Work<'_>, block: BlockId, lease: Option<&Lease>) -> bool {
        let Some(meta) = work.group.blocks.iter().find(|meta| meta.ulid == block).cloned() else {
            return false;
        };
        match self.repair(&work.group, &meta, lease).await {
            Ok(repaired) => {
                work.group.blocks.retain(|meta| meta.ulid != block);
                work.group.blocks.push(repaired);
                work.group.blocks.sort_by_key(|meta| (meta.min_time, meta.ulid));
                work.reporter.add(|report| report.marked_for_deletion += 1);
                true
            }
            Err(error) if error.is_transient() => {
                work.reporter.unfinished(Some(&work.group.key), &error);
                false
            }
            Err(error) => {
                self.leave_out(work, block, NoCompactReason::Corrupt, &error.to_string()).await;
                true
            }
        }
    }
}

impl Work<'_> {
    /// Blocks that overlap are not merged unless that is asked for: they are reported, and the rest goes on.
    fn leave_out_overlaps(&mut self) {
        for cluster in overlapping(&self.group.blocks) {
            let new: Vec<BlockId> =
                cluster.iter().copied().filter(|block| !self.excluded.contains(block)).collect();
            let others = cluster.iter().map(BlockId::to_string).collect::<Vec<_>>().join(", ");
            self.leave_out_for_now(new, &format!("blocks overlap: {others}"));
        }
    }

    /// Leaves blocks out until the next sync.
    fn leave_out_for_now(&mut self, blocks: impl IntoIterator<Item = BlockId>, what: &str) {
        for block in blocks {
            self.excluded.insert(block);
            self.reporter.fault(Fault {
                block: Some(block),
                group: Some(self.group.key.clone()),
                what: what.to_owned(),
                marked: false,
                unfinished: false,
            });
        }
    }
}
