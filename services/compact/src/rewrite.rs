//! A block without some of its series or samples takes the place of the whole one: with the same sources and an id before it, so
//! that all readers, Thanos's among them, take it for the one of the two that counts.

use std::sync::Arc;
use std::time::Instant;

use tithon_bucket::{BucketBlock, MarkKind};
use tithon_engine::compact::{CompactOptions, Output, compact_into};
use tithon_engine::cut::{Loss, deleted_series, loss_of};
use tithon_engine::plan::{
    BlockDeletion, Claim, Group, Shard, group, id_before, series_over, whole_series, without_replica_labels,
};
use tithon_engine::{BlockId, BlockMeta, DeletionRequest, Rewrite, SourceType, Tombstones};
use tithon_runtime::now_ms;
use tokio::runtime::Handle;
use tracing::info;

use crate::fault::{Fault, Reporter};
use crate::lease;
use crate::lease::Lease;
use crate::publish::Unsealed;
use crate::source::Obstacle;
use crate::succession::{EMPTIED, REWRITTEN};
use crate::{CompactError, Compactor};

/// What goes.
#[derive(Clone, Debug)]
pub(crate) enum Out {
    /// What requests delete.
    Deleted(Vec<BlockDeletion>),
    /// Series past their retention.
    Over(Vec<Claim>),
}

/// What is to be done with one block.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The block, with all of its labels.
    pub(crate) block: Arc<BlockMeta>,
    pub(crate) out: Out,
    /// What meta.json is to tell of it.
    pub(crate) records: Vec<DeletionRequest>,
    /// Whether the new block is not to be merged with others.
    pub(crate) stays_alone: bool,
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) enum Rewritten {
    /// Nothing of the block goes.
    Untouched,
    /// Nothing of it is left.
    Emptied,
    /// A new block has taken its place.
    Made(Box<BlockMeta>),
    /// Another compactor works on it, or it has changed.
    Elsewhere,
}

impl Out {
    /// The series that lose something.
    fn series(&self, source: &BucketBlock, runtime: &Handle) -> Result<Tombstones, CompactError> {
        match self {
            Out::Deleted(deletions) => Ok(deleted_series(source.input(runtime), deletions)?),
            Out::Over(claims) => {
                let over = series_over(source.input(runtime), claims)?;
                Ok(whole_series(over.into_iter().flat_map(|(_, series)| series)))
            }
        }
    }
}

impl Compactor {
    /// Carries out a plan and marks the old block for deletion; what fails is reported. `None` where it failed.
    pub(crate) async fn rewrite(&self, plan: &Plan, reporter: &Reporter) -> Option<Rewritten> {
        let id = plan.block.ulid;
        let given_up = &self.inner.failed_plans;
        if let Some(why) = given_up.given_up(REWRITTEN, &[id]) {
            let what = format!("what is to go of it stays, as rewriting it failed twice: {why}");
            reporter.fault(Fault { block: Some(id), group: None, what, marked: false, unfinished: false });
            return None;
        }
        let group = group_of(&plan.block, &self.inner.options.replica_labels);
        match self.rewrite_leased(plan, &group, reporter).await {
            Ok(rewritten) => Some(rewritten),
            Err(Obstacle::Transient(error)) => {
                reporter.unfinished(Some(&group.key), &error);
                None
            }
            Err(Obstacle::Gone(_)) => None,
            Err(obstacle) => {
                let what = obstacle.into_error(id).to_string();
                if given_up.note(REWRITTEN, &[id], &what) {
                    self.inner.metrics.plans_given_up.inc();
                }
                let group = Some(group.key);
                reporter.fault(Fault { block: Some(id), group, what, marked: false, unfinished: false });
                None
            }
        }
    }

    /// The same under the leases of the block, where compactors share the bucket.
    async fn rewrite_leased(
        &self,
        plan: &Plan,
        group: &Group,
        reporter: &Reporter,
    ) -> Result<Rewritten, Obstacle> {
        let Some(leases) = &self.inner.leases else {
            return self.rewrite_under(plan, group, None, reporter).await;
        };
        let names = lease::names(&group.key, [&*plan.block]);
        let Some(lease) = self.take_leases(leases, &names).await? else { return Ok(Rewritten::Elsewhere) };
        let id = plan.block.ulid;
        let result = match self.sync().await {
            Ok(view)
                if view.blocks.iter().any(|block| block.ulid == id) && !view.deletion.contains_key(&id) =>
            {
                self.rewrite_under(plan, group, Some(&lease), reporter).await
            }
            Ok(_) => Ok(Rewritten::Elsewhere),
            Err(error) => Err(error.into()),
        };
        lease.release().await;
        result
    }

    async fn rewrite_under(
        &self,
        plan: &Plan,
        group: &Group,
        lease: Option<&Lease>,
        reporter: &Reporter,
    ) -> Result<Rewritten, Obstacle> {
        let (id, begin) = (plan.block.ulid, Instant::now());
        let _held = self.inner.busy.hold([id]);
        let rewritten = match self.make(plan, group, lease).await {
            Err(Obstacle::OutsideChunks(_)) => {
                let made = self.repair(group, &plan.block, lease).await?;
                info!(block = %made.ulid, source = %id, "block is repaired first, and rewritten next time");
                return Ok(Rewritten::Elsewhere);
            }
            result => result?,
        };
        let (details, replaced_by) = match &rewritten {
            Rewritten::Emptied => (EMPTIED, Vec::new()),
            Rewritten::Made(made) => (REWRITTEN, vec![made.ulid]),
            Rewritten::Untouched | Rewritten::Elsewhere => return Ok(rewritten),
        };
        let what = match &plan.out {
            Out::Deleted(_) => "deletion",
            Out::Over(_) => "retention",
        };
        self.inner.metrics.rewrites.get_or_create(&[("reason", what)]).inc();
        info!(source = %id, new = ?replaced_by, what, took = ?begin.elapsed(), "rewrote block");
        reporter.add(|report| report.rewritten += 1);
        let written = self.mark_for_deletion(id, details, replaced_by).await?;
        reporter.add(|report| report.marked_for_deletion += usize::from(written));
        Ok(rewritten)
    }

    /// Makes the new block visible, if there is one.
    async fn make(&self, plan: &Plan, group: &Group, lease: Option<&Lease>) -> Result<Rewritten, Obstacle> {
        let (meta, dir) = (&*plan.block, self.merge_dir().join(&group.key));
        let source = self.open_source(meta, &dir).await?;
        let (out, runtime, read) = (plan.out.clone(), Handle::current(), Arc::clone(&source));
        let look = move || -> Result<(Tombstones, Loss), CompactError> {
            let deleted = out.series(&read, &runtime)?;
            let cut = loss_of(read.input(&runtime), &deleted)?;
            read.check()?;
            Ok((deleted, cut))
        };
        let looked = match self.run_on(meta.ulid, look).await {
            Ok(result) => result,
            Err(error) => Err(error),
        };
        let (deleted, cut) = match looked {
            Ok(found) => found,
            Err(error) => return Err(self.blame(error, std::slice::from_ref(meta), &dir).await),
        };
        if cut.is_empty() {
            return Ok(Rewritten::Untouched);
        }
        let drafts = self.begin_draft(id_before(meta.ulid, rand::random())).await?;
        let id = drafts.ids()[0];
        let made = match self.write_without(source, id, deleted).await {
            Ok(made) => made,
            Err(error) => {
                let obstacle = self.blame(error, std::slice::from_ref(meta), &dir).await;
                return self.seal(drafts, Err(obstacle), lease).await.map(|_| Rewritten::Elsewhere);
            }
        };
        let Some(Unsealed { meta: made, files }) = made else {
            self.seal(drafts, Ok(Vec::new()), lease).await?;
            return Ok(Rewritten::Emptied);
        };
        let made = Unsealed { meta: succeeding(meta, &made, plan.records.clone()), files };
        let sealed = match self.carry_marks(plan, id).await {
            Ok(()) => self.seal(drafts, Ok(vec![made]), lease).await?,
            Err(error) => self.seal(drafts, Err(error.into()), lease).await?,
        };
        let removed = tokio::fs::remove_dir_all(dir.join(meta.ulid.to_string())).await;
        // A copy that cannot be removed now is removed by the next iteration.
        drop(removed);
        Ok(sealed.into_iter().next().map_or(Rewritten::Emptied, |made| Rewritten::Made(Box::new(made))))
    }

    /// Writes the files of a block without what is deleted; `None` where nothing is left.
    async fn write_without(
        &self,
        source: Arc<BucketBlock>,
        id: BlockId,
        deleted: Tombstones,
    ) -> Result<Option<Unsealed>, CompactError> {
        let (targets, runtime, compactor) = (self.targets(), Handle::current(), self.clone());
        let block = source.id();
        let thanos = source.meta().thanos.clone().unwrap_or_default();
        let work = move || -> Result<_, CompactError> {
            let files = targets.files(id);
            let outputs = vec![Output { id, files: Box::new(files.clone()) }];
            let inputs = vec![compactor.input(&source, &runtime).without(&deleted)];
            let made = compact_into(inputs, outputs, Some(thanos.clone()), CompactOptions::default())?;
            source.check()?;
            let made = made.into_iter().next().flatten();
            Ok(made.map(|meta| Unsealed { meta, files }))
        };
        self.run_on(block, work).await?
    }

    /// Gives the new block the marks that keep the old one out of merges and downsampling.
    async fn carry_marks(&self, plan: &Plan, id: BlockId) -> Result<(), CompactError> {
        let bucket = &self.inner.bucket;
        for kind in [MarkKind::NoCompact, MarkKind::NoDownsample] {
            if let Some(mark) = bucket.mark(plan.block.ulid, kind).await? {
                bucket.put_mark(&tithon_bucket::Mark { block: id, ..mark }).await?;
            }
        }
        if plan.stays_alone {
            let mark = tithon_bucket::Mark {
                kind: MarkKind::NoCompact,
                block: id,
                details: "series past their retention are cut out, and are kept at a coarser resolution"
                    .to_owned(),
                time_s: now_ms() / 1000,
                reason: "manual".to_owned(),
                replaced_by: Vec::new(),
            };
            bucket.put_mark(&mark).await?;
        }
        Ok(())
    }
}

/// The meta.json of a block that takes the place of another.
fn succeeding(old: &BlockMeta, made: &BlockMeta, records: Vec<DeletionRequest>) -> BlockMeta {
    let mut meta = BlockMeta { ulid: made.ulid, stats: made.stats, ..old.clone() };
    let written = made.thanos.clone().unwrap_or_default();
    let thanos = meta.thanos.get_or_insert_default();
    (thanos.segment_files, thanos.index_stats) = (written.segment_files, written.index_stats);
    // A repaired block counts before one that is not.
    if thanos.source != SourceType::CompactorRepair {
        thanos.source = SourceType::Compactor;
    }
    thanos.rewrites.push(Rewrite {
        sources: old.compaction.sources.clone(),
        deletions_applied: records,
        relabels_applied: Vec::new(),
    });
    if let Some(shard) = Shard::of(old) {
        shard.attach(&mut meta);
    }
    meta
}

/// The group of one block.
fn group_of(block: &BlockMeta, replica_labels: &[String]) -> Group {
    let (plain, _) = without_replica_labels(block.clone(), replica_labels);
    group([plain], &[]).into_iter().next().expect("a block has a group")
}
