//! All downsampling that is due: raw to 5 minutes and on to an hour in one pass where both are. Thanos
//! `cmd/thanos/downsample.go`.

use std::time::Instant;

use futures::{StreamExt, stream};
use tithon_bucket::BucketFiles;
use tithon_engine::downsample::{Target, downsample_into};
use tithon_engine::plan::{DownsampleJob, downsample_jobs, downsample_rounds, downsample_targets, group};
use tithon_engine::{BlockFiles, BlockId, BlockMeta, Resolution};
use tokio::runtime::Handle;
use tracing::{error, info, instrument};

use crate::compactor::{ExcludedFrom, Watched};
use crate::fault::{Fault, Reporter};
use crate::lease::{self, Lease};
use crate::metrics::CompactMetrics;
use crate::publish::Unsealed;
use crate::source::Obstacle;
use crate::view::View;
use crate::{CompactError, Compactor};

/// What stands for a group where downsampling is given up.
const DOWNSAMPLING: &str = "downsampling";
/// What is said then.
const GIVEN_UP: &str = "this downsampling was refused twice, and is not tried again before a restart";

impl Compactor {
    /// Carries out all jobs, `downsample_concurrency` rounds at a time.
    pub(crate) async fn downsample_all(&self, view: &View, reporter: &Reporter) {
        let options = &self.inner.options;
        let blocks = view.blocks.iter().filter(|block| !view.no_downsample.contains(&block.ulid));
        let blocks: Vec<BlockMeta> = blocks.cloned().collect();
        let mut rounds = downsample_rounds(&blocks, options.spans);
        // What is to be deleted first goes.
        rounds.retain(|round| round.iter().all(|job| !view.pending.contains(&job.block)));
        let due = downsample_jobs(&blocks, options.spans).len();
        let waiting = due.saturating_sub(rounds.iter().map(Vec::len).sum());
        if waiting > 0 {
            info!(waiting, "shards are not downsampled before all shards of their time have its length");
        }
        let blocks = blocks.as_slice();
        self.tell(Watched::More(rounds.len()));
        let concurrency = options.downsample_concurrency.max(1);
        let work = stream::iter(rounds).for_each_concurrent(concurrency, |round| async move {
            let halted = options.halt_on_error && reporter.has_faults();
            if halted || self.inner.shutdown.is_triggered() {
                return;
            }
            let ids: Vec<BlockId> = round.iter().map(|job| job.block).collect();
            if let Some(why) = self.inner.failed_plans.given_up(DOWNSAMPLING, &ids) {
                self.tell(Watched::Done);
                let (block, what) = (ids.first().copied(), format!("{GIVEN_UP}: {why}"));
                return reporter.fault(Fault { block, group: None, what, marked: false, unfinished: false });
            }
            match self.take_round(&round, blocks).await {
                Ok(made) => reporter.add(|report| report.downsampled += made),
                Err((meta, obstacle)) => {
                    CompactMetrics::count(&self.inner.metrics.downsample_failures, meta.resolution_ms());
                    self.note_refusal(&ids, &obstacle);
                    self.report_downsample(meta.ulid, obstacle, reporter).await;
                }
            }
            self.tell(Watched::Done);
        });
        work.await;
    }

    /// Carries out a round, under the leases of its blocks where compactors share the bucket: unless another one has done it
    /// or is about to.
    async fn take_round<'m>(
        &self,
        round: &[DownsampleJob],
        blocks: &'m [BlockMeta],
    ) -> Result<usize, (&'m BlockMeta, Obstacle)> {
        let Some(leases) = &self.inner.leases else {
            return self.downsample_round(round, blocks, None).await;
        };
        let sources: Vec<&BlockMeta> =
            blocks.iter().filter(|block| round.iter().any(|job| job.block == block.ulid)).collect();
        let Some(first) = sources.first().copied() else { return Ok(0) };
        let failed = |error: CompactError| (first, Obstacle::from(error));
        let groups = group(sources.into_iter().cloned(), &[]);
        let mut names: Vec<String> =
            groups.iter().flat_map(|group| lease::names(&group.key, &group.blocks)).collect();
        names.sort();
        let Some(lease) = self.take_leases(leases, &names).await.map_err(failed)? else { return Ok(0) };
        let result = match self.sync().await.map(|view| self.is_still_due(round, &view)) {
            Ok(true) => self.downsample_round(round, blocks, Some(&lease)).await,
            Ok(false) => Ok(0),
            Err(error) => Err(failed(error)),
        };
        lease.release().await;
        result
    }

    /// Whether all of a round is still to be done.
    fn is_still_due(&self, round: &[DownsampleJob], view: &View) -> bool {
        let blocks = view.blocks.iter().filter(|block| !view.no_downsample.contains(&block.ulid));
        let blocks: Vec<BlockMeta> = blocks.cloned().collect();
        let jobs = downsample_jobs(&blocks, self.inner.options.spans);
        round.iter().all(|job| jobs.contains(job))
    }

    /// Makes what is due of the blocks of one round, and lets it be seen when all is made; answers with how many blocks came
    /// out, or names the block that it failed on.
    async fn downsample_round<'m>(
        &self,
        round: &[DownsampleJob],
        blocks: &'m [BlockMeta],
        lease: Option<&Lease>,
    ) -> Result<usize, (&'m BlockMeta, Obstacle)> {
        let of = |job: &DownsampleJob| blocks.iter().find(|block| block.ulid == job.block);
        let _held = self.inner.busy.hold(round.iter().map(|job| job.block));
        let begin = Instant::now();
        let jobs: Vec<(&BlockMeta, DownsampleJob)> =
            round.iter().filter_map(|job| Some((of(job)?, *job))).collect();
        let Some((last, _)) = jobs.last().copied() else { return Ok(0) };
        let spans = self.inner.options.spans;
        let work: Vec<(&BlockMeta, Vec<Resolution>)> =
            jobs.into_iter().map(|(meta, job)| (meta, downsample_targets(job, blocks, spans))).collect();
        let n = work.iter().map(|(_, targets)| targets.len()).sum();
        let drafts = self.begin_drafts(n).await.map_err(|error| (last, error.into()))?;
        let (at_fault, made) = match self.downsample_blocks(work, drafts.ids()).await {
            Ok(made) => (last, Ok(made)),
            Err((meta, obstacle)) => (meta, Err(obstacle)),
        };
        let published = self.seal(drafts, made, lease).await.map_err(|obstacle| (at_fault, obstacle))?;
        for block in &published {
            info!(
                block = %block.ulid, resolution_ms = block.resolution_ms(), samples = block.stats.num_samples,
                took = ?begin.elapsed(), "downsampled block"
            );
        }
        for job in round {
            let dir = self.downsample_dir().join(job.block.to_string());
            if dir.exists() {
                let removed = tokio::fs::remove_dir_all(&dir).await.map_err(CompactError::scratch(&dir));
                removed.map_err(|error| (last, error.into()))?;
            }
        }
        Ok(published.len())
    }

    /// Makes blocks of these resolutions, finer ones first, of as many drafts.
    async fn downsample_blocks<'m>(
        &self,
        work: Vec<(&'m BlockMeta, Vec<Resolution>)>,
        ids: &[BlockId],
    ) -> Result<Vec<Unsealed>, (&'m BlockMeta, Obstacle)> {
        let (mut ids, mut made) = (ids.iter(), Vec::new());
        for (meta, resolutions) in work {
            CompactMetrics::count(&self.inner.metrics.downsamples, meta.resolution_ms());
            let target = |(resolution, id): (Resolution, &BlockId)| Target { resolution, id: *id };
            let targets = resolutions.into_iter().zip(&mut ids).map(target).collect();
            made.extend(self.downsample_block(meta, targets).await.map_err(|obstacle| (meta, obstacle))?);
        }
        made.sort_by_key(|block: &Unsealed| (block.meta.resolution_ms(), block.meta.ulid));
        Ok(made)
    }

    /// Writes what is due of one block.
    #[instrument(name = "downsampling", skip_all, fields(block = %meta.ulid))]
    async fn downsample_block(
        &self,
        meta: &BlockMeta,
        targets: Vec<Target>,
    ) -> Result<Vec<Unsealed>, Obstacle> {
        let inner = &self.inner;
        let source = self.open_source(meta, &self.downsample_dir()).await?;
        let begin = Instant::now();
        let (places, compactor, runtime) = (self.targets(), self.clone(), Handle::current());
        let work = move || -> Result<_, CompactError> {
            let written: Vec<BucketFiles> = targets.iter().map(|target| places.files(target.id)).collect();
            let mut files: Vec<Box<dyn BlockFiles>> =
                written.iter().map(|files| Box::new(files.clone()) as Box<dyn BlockFiles>).collect();
            let made = downsample_into(compactor.input(&source, &runtime), &targets, &mut files)?;
            source.check()?;
            Ok(made.into_iter().zip(written).collect::<Vec<_>>())
        };
        let made = match self.run_on(meta.ulid, work).await? {
            Ok(made) => made,
            Err(error) => {
                let dir = self.downsample_dir();
                return Err(self.blame(error, std::slice::from_ref(meta), &dir).await);
            }
        };
        let resolution = [("resolution", meta.resolution_ms().to_string())];
        inner.metrics.downsample_seconds.get_or_create(&resolution).observe(begin.elapsed().as_secs_f64());
        let unsealed = |(made, files): (Option<BlockMeta>, BucketFiles)| {
            let mut made = made?;
            if let (Some(thanos), Some(source)) = (&mut made.thanos, &meta.thanos) {
                thanos.labels = source.labels.clone();
            }
            Some(Unsealed { meta: made, files })
        };
        Ok(made.into_iter().filter_map(unsealed).collect())
    }

    /// Gives up what is refused again and again though no block is marked for it.
    fn note_refusal(&self, blocks: &[BlockId], obstacle: &Obstacle) {
        let what = match obstacle {
            Obstacle::Plan(error) => error.to_string(),
            Obstacle::OutsideChunks(block) => format!("block {block}: chunks begin at its end"),
            Obstacle::Damaged { .. } | Obstacle::Gone(_) | Obstacle::Transient(_) => return,
        };
        if self.inner.failed_plans.note(DOWNSAMPLING, blocks, &what) {
            self.inner.metrics.plans_given_up.inc();
            error!(?blocks, error = what, "{GIVEN_UP}");
        }
    }

    async fn report_downsample(&self, block: BlockId, obstacle: Obstacle, reporter: &Reporter) {
        let (error, mark) = match obstacle {
            Obstacle::Damaged { error, reason, .. } => (error, Some(reason)),
            Obstacle::Transient(error) => return reporter.unfinished(None, &error),
            Obstacle::Gone(_) => return,
            Obstacle::Plan(error) => (error, None),
            Obstacle::OutsideChunks(_) => {
                let what = "chunks begin at the block's end; the next merge repairs it";
                (Box::new(CompactError::NotRepairable { block, what }), None)
            }
        };
        let what = error.to_string();
        let marked = match mark {
            Some(reason) => self.mark_excluded(block, ExcludedFrom::Downsampling, reason, &what).await,
            None => Ok(false),
        };
        let marked = marked.unwrap_or_else(|error| {
            reporter.unfinished(None, &error);
            false
        });
        reporter.fault(Fault { block: Some(block), group: None, what, marked, unfinished: false });
    }
}
