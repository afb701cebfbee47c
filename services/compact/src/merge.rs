//! One merge: fetch, check, compact, check, upload, and only then mark what went in. Thanos `pkg/compact/compact.go`.

use std::path::Path;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use tithon_engine::compact::{CompactOptions, compact};
use tithon_engine::plan::{Group, mark_cut, mark_merged};
use tithon_engine::{Block, BlockId, BlockMeta};
use tithon_runtime::Priority;
use tracing::{info, instrument};

use crate::fault::Reporter;
use crate::metrics::CompactMetrics;
use crate::publish::refused;
use crate::source::Obstacle;
use crate::succession::SOURCE_OF_COMPACTED;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Merges `plan`, blocks of `group`, into `into` blocks that are all in the bucket when this returns, but for those
    /// without samples. The sources are marked for deletion; failing to do so is reported only, as they count as superseded
    /// anyway.
    #[instrument(name = "compaction", skip_all, fields(group = group.key, sources = plan.len()))]
    pub(crate) async fn merge(
        &self,
        group: &Group,
        plan: &[BlockMeta],
        into: u32,
        reporter: &Reporter,
    ) -> Result<Vec<BlockMeta>, Obstacle> {
        let inner = &self.inner;
        let _held = inner.busy.hold(plan.iter().map(|block| block.ulid));
        let dir = self.merge_dir().join(&group.key);
        let begin = Instant::now();
        let made = match inner.options.streaming {
            true => self.merge_streaming(group, plan, into).await?,
            false => self.merge_locally(group, plan, into, &dir).await?,
        };
        inner.metrics.tsdb_compactions.inc();
        inner.metrics.tsdb_seconds.observe(begin.elapsed().as_secs_f64());
        if made.is_empty() {
            return Ok(made);
        }
        CompactMetrics::count(&inner.metrics.compactions, group.resolution_ms);
        for block in &made {
            info!(
                group = group.key, block = %block.ulid, shards = into, sources = plan.len(),
                samples = block.stats.num_samples, took = ?begin.elapsed(), "merged blocks"
            );
        }
        for source in plan {
            let by = made.iter().map(|block| block.ulid).collect();
            match self.mark_for_deletion(source.ulid, SOURCE_OF_COMPACTED, by).await {
                Ok(written) => {
                    inner.metrics.garbage_blocks.inc();
                    reporter.add(|report| report.marked_for_deletion += usize::from(written));
                }
                Err(error) => reporter.unfinished(Some(&group.key), &error),
            }
        }
        self.clear(&dir, plan, &made).await?;
        Ok(made)
    }

    /// Fetches the sources where they cannot be mapped in place, merges them below `dir`, and uploads the result.
    async fn merge_locally(
        &self,
        group: &Group,
        plan: &[BlockMeta],
        into: u32,
        dir: &Path,
    ) -> Result<Vec<BlockMeta>, Obstacle> {
        let inner = &self.inner;
        let sources = self.open_locally(plan, dir).await?;
        let ids: Vec<BlockId> = (0..into).map(|_| self.new_id()).collect();
        let options = self.compact_options(group);
        let (target, thanos) = (dir.to_owned(), group.thanos_meta());
        let work = move || compact(&sources, &target, &ids, Some(thanos), options);
        let made = match inner.cpu.run(Priority::Background, work).await {
            Ok(Ok(made)) => shards_of(group, plan, made),
            Ok(Err(error)) => return Err(self.blame(error.into(), plan, dir).await),
            Err(error) => return Err(self.blame(error.into(), plan, dir).await),
        };
        for made in &made {
            self.check_made(dir, made).await?;
        }
        self.publish_together(dir, made).await.map_err(refused)
    }

    /// How blocks of `group` are merged.
    pub(crate) fn compact_options(&self, group: &Group) -> CompactOptions {
        let overlap = self.inner.options.overlap;
        CompactOptions { overlap, shards_before: group.class.count, ..CompactOptions::default() }
    }

    /// Fetches blocks below `dir` where they cannot be mapped in place.
    pub(crate) async fn open_locally(&self, plan: &[BlockMeta], dir: &Path) -> Result<Vec<Block>, Obstacle> {
        tokio::fs::create_dir_all(dir).await.map_err(CompactError::scratch(dir))?;
        let opening =
            stream::iter(plan.to_vec()).map(|meta| async move { self.open_source(&meta, dir).await });
        opening.buffered(self.inner.options.fetch_concurrency.max(1)).try_collect().await
    }

    /// Removes what the merge put on local disk.
    async fn clear(&self, dir: &Path, plan: &[BlockMeta], made: &[BlockMeta]) -> Result<(), CompactError> {
        for block in plan.iter().chain(made) {
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
        if error.is_transient() {
            return Obstacle::transient(error);
        }
        match error.block().filter(|block| plan.iter().any(|meta| meta.ulid == *block)) {
            Some(block) => self.unless_gone(block, error).await,
            None => self.find_damage(plan, dir, error).await,
        }
    }
}

/// The blocks of a merge that have samples, with what they are shards of.
pub(crate) fn shards_of(
    group: &Group,
    plan: &[BlockMeta],
    mut made: Vec<Option<BlockMeta>>,
) -> Vec<BlockMeta> {
    match made.as_mut_slice() {
        [only] => {
            only.iter_mut().for_each(|meta| mark_merged(plan, meta));
            made.into_iter().flatten().collect()
        }
        _ => mark_cut(plan, group.class, made),
    }
}
