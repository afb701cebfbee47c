//! One merge: fetch, check, compact, check, upload, and only then mark what went in. Thanos `pkg/compact/compact.go`.

use std::path::Path;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use tithon_bucket::MarkKind;
use tithon_chunks::ErrorKind;
use tithon_engine::compact::{CompactOptions, compact};
use tithon_engine::plan::{Group, NoCompactReason};
use tithon_engine::{Block, BlockMeta};
use tithon_runtime::Priority;
use tracing::info;

use crate::fault::Reporter;
use crate::metrics::CompactMetrics;
use crate::source::Obstacle;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Merges `plan`, blocks of `group`, into one that is in the bucket when this returns; `None` if no sample was left.
    /// The sources are marked for deletion; failing to do so is reported only, as they count as superseded anyway.
    pub(crate) async fn merge(
        &self,
        group: &Group,
        plan: &[BlockMeta],
        reporter: &Reporter,
    ) -> Result<Option<BlockMeta>, Obstacle> {
        let inner = &self.inner;
        let _held = inner.busy.hold(plan.iter().map(|block| block.ulid));
        let dir = self.merge_dir().join(&group.key);
        let begin = Instant::now();
        let made = match inner.options.streaming {
            true => self.merge_streaming(group, plan).await?,
            false => self.merge_locally(group, plan, &dir).await?,
        };
        inner.metrics.tsdb_compactions.inc();
        inner.metrics.tsdb_seconds.observe(begin.elapsed().as_secs_f64());
        let Some(uploaded) = made else { return Ok(None) };
        CompactMetrics::count(&inner.metrics.compactions, group.resolution_ms);
        info!(
            group = group.key, block = %uploaded.ulid, sources = plan.len(), samples = uploaded.stats.num_samples,
            took = ?begin.elapsed(), "merged blocks"
        );
        for source in plan {
            let reason = NoCompactReason::Manual;
            match self.mark(source.ulid, MarkKind::Deletion, reason, "source of compacted block").await {
                Ok(written) => {
                    inner.metrics.garbage_blocks.inc();
                    reporter.add(|report| report.marked_for_deletion += usize::from(written));
                }
                Err(error) => reporter.unfinished(Some(&group.key), &error),
            }
        }
        self.clear(&dir, plan, &uploaded).await?;
        Ok(Some(uploaded))
    }

    /// Fetches the sources where they cannot be mapped in place, merges them below `dir`, and uploads the result.
    async fn merge_locally(
        &self,
        group: &Group,
        plan: &[BlockMeta],
        dir: &Path,
    ) -> Result<Option<BlockMeta>, Obstacle> {
        let inner = &self.inner;
        tokio::fs::create_dir_all(dir).await.map_err(CompactError::scratch(dir))?;
        let opening =
            stream::iter(plan.to_vec()).map(|meta| async move { self.open_source(&meta, dir).await });
        let sources: Vec<Block> =
            opening.buffered(inner.options.fetch_concurrency.max(1)).try_collect().await?;
        let id = self.new_id();
        let options = CompactOptions { overlap: inner.options.overlap, ..CompactOptions::default() };
        let (target, thanos) = (dir.to_owned(), group.thanos_meta());
        let work = move || compact(&sources, &target, id, Some(thanos), options);
        let made = match inner.cpu.run(Priority::Background, work).await.map_err(CompactError::from)? {
            Ok(made) => made,
            Err(error) => return Err(self.blame(error.into(), plan, dir).await),
        };
        let Some(made) = made else { return Ok(None) };
        self.check_made(dir, &made).await?;
        Ok(Some(self.publish(dir, made).await.map_err(refused)?))
    }

    /// Uploads a block that was made below `dir` and looks whether all of it has arrived.
    pub(crate) async fn publish(&self, dir: &Path, made: BlockMeta) -> Result<BlockMeta, CompactError> {
        let bucket = &self.inner.bucket;
        let from = dir.join(made.ulid.to_string());
        let uploaded = bucket.upload_block(&from, made, self.inner.options.transfer).await?;
        bucket.check_files(&uploaded).await?;
        Ok(uploaded)
    }

    /// Removes what the merge put on local disk.
    async fn clear(&self, dir: &Path, plan: &[BlockMeta], made: &BlockMeta) -> Result<(), CompactError> {
        for block in plan.iter().chain([made]) {
            let dir = dir.join(block.ulid.to_string());
            match tokio::fs::remove_dir_all(&dir).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(CompactError::scratch(&dir)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Finds the block that a failed merge failed on.
    pub(crate) async fn blame(&self, error: CompactError, plan: &[BlockMeta], dir: &Path) -> Obstacle {
        if error.may_pass() {
            return Obstacle::passing(error);
        }
        match error.block().filter(|block| plan.iter().any(|meta| meta.ulid == *block)) {
            Some(block) => self.unless_gone(block, error).await,
            None => self.find_damage(plan, dir, error).await,
        }
    }
}

/// An upload that failed: trying again helps unless the block is one that may not be uploaded.
pub(crate) fn refused(error: CompactError) -> Obstacle {
    match error.kind() {
        ErrorKind::Invalid => Obstacle::plan(error),
        _ => Obstacle::passing(error),
    }
}
