//! All downsampling that is due: raw to 5 minutes and on to an hour in one pass where both are. Thanos
//! `cmd/thanos/downsample.go`.

use std::time::Instant;

use futures::{StreamExt, stream};
use tithon_engine::downsample::{Target, downsample};
use tithon_engine::plan::{DownsampleJob, downsample_jobs, downsample_rounds, downsample_targets};
use tithon_engine::{BlockId, BlockMeta};
use tracing::{info, instrument};

use crate::compactor::ExcludedFrom;
use crate::fault::{Fault, Reporter};
use crate::metrics::CompactMetrics;
use crate::publish::refused;
use crate::source::Obstacle;
use crate::view::View;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Carries out all jobs, `downsample_concurrency` rounds at a time.
    pub(crate) async fn downsample_all(&self, view: &View, reporter: &Reporter) {
        let options = &self.inner.options;
        let blocks = view.blocks.iter().filter(|block| !view.no_downsample.contains(&block.ulid));
        let blocks: Vec<BlockMeta> = blocks.cloned().collect();
        let rounds = downsample_rounds(&blocks, options.spans);
        let due = downsample_jobs(&blocks, options.spans).len();
        let waiting = due.saturating_sub(rounds.iter().map(Vec::len).sum());
        if waiting > 0 {
            info!(waiting, "shards are not downsampled before all shards of their time have its length");
        }
        let blocks = blocks.as_slice();
        let concurrency = options.downsample_concurrency.max(1);
        let work = stream::iter(rounds).for_each_concurrent(concurrency, |round| async move {
            let halted = options.halt_on_error && reporter.has_faults();
            if halted || self.inner.shutdown.is_triggered() {
                return;
            }
            match self.downsample_round(&round, blocks).await {
                Ok(made) => reporter.add(|report| report.downsampled += made),
                Err((meta, obstacle)) => {
                    CompactMetrics::count(&self.inner.metrics.downsample_failures, meta.resolution_ms());
                    self.report_downsample(meta.ulid, obstacle, reporter).await;
                }
            }
        });
        work.await;
    }

    /// Makes what is due of the blocks of one round, and uploads it when all is made; answers with how many blocks came out,
    /// or names the block that it failed on.
    async fn downsample_round<'m>(
        &self,
        round: &[DownsampleJob],
        blocks: &'m [BlockMeta],
    ) -> Result<usize, (&'m BlockMeta, Obstacle)> {
        let of = |job: &DownsampleJob| blocks.iter().find(|block| block.ulid == job.block);
        let _held = self.inner.busy.hold(round.iter().map(|job| job.block));
        let (dir, begin) = (self.downsample_dir(), Instant::now());
        let mut made = Vec::new();
        for (meta, job) in round.iter().filter_map(|job| Some((of(job)?, *job))) {
            CompactMetrics::count(&self.inner.metrics.downsamples, meta.resolution_ms());
            made.extend(self.downsample_block(meta, job, blocks).await.map_err(|obstacle| (meta, obstacle))?);
        }
        let Some(last) = round.last().and_then(of) else { return Ok(0) };
        made.sort_by_key(|block| (block.resolution_ms(), block.ulid));
        let published = self.publish_together(&dir, made).await.map_err(|error| (last, refused(error)))?;
        for block in &published {
            info!(
                block = %block.ulid, resolution_ms = block.resolution_ms(), samples = block.stats.num_samples,
                took = ?begin.elapsed(), "downsampled block"
            );
        }
        for id in round.iter().map(|job| job.block).chain(published.iter().map(|block| block.ulid)) {
            let dir = dir.join(id.to_string());
            if dir.exists() {
                let removed = tokio::fs::remove_dir_all(&dir).await.map_err(CompactError::scratch(&dir));
                removed.map_err(|error| (last, error.into()))?;
            }
        }
        Ok(published.len())
    }

    /// Makes what is due of one block in scratch space.
    #[instrument(name = "downsampling", skip_all, fields(block = %meta.ulid))]
    async fn downsample_block(
        &self,
        meta: &BlockMeta,
        job: DownsampleJob,
        blocks: &[BlockMeta],
    ) -> Result<Vec<BlockMeta>, Obstacle> {
        let inner = &self.inner;
        let dir = self.downsample_dir();
        tokio::fs::create_dir_all(&dir).await.map_err(CompactError::scratch(&dir))?;
        let source = self.open_source(meta, &dir).await?;
        let targets = downsample_targets(job, blocks, inner.options.spans);
        let targets: Vec<Target> =
            targets.into_iter().map(|resolution| Target { resolution, id: self.new_id() }).collect();
        let begin = Instant::now();
        let work = {
            let dir = dir.clone();
            move || downsample(&source, &dir, &targets)
        };
        let result = self.run_on(meta.ulid, work).await?;
        let made = match result.map_err(CompactError::from) {
            Ok(made) => made,
            Err(error) if error.is_transient() => return Err(Obstacle::transient(error)),
            Err(error) => return Err(self.unless_gone(meta.ulid, error).await),
        };
        let resolution = [("resolution", meta.resolution_ms().to_string())];
        inner.metrics.downsample_seconds.get_or_create(&resolution).observe(begin.elapsed().as_secs_f64());
        let mut made: Vec<BlockMeta> = made.into_iter().flatten().collect();
        for made in &mut made {
            self.check_made(&dir, made).await?;
            if let (Some(thanos), Some(source)) = (&mut made.thanos, &meta.thanos) {
                thanos.labels = source.labels.clone();
            }
        }
        Ok(made)
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
