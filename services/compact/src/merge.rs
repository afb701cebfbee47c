//! One merge: sources are checked and merged straight into the bucket, the result is read back and made visible, and only then
//! is what went in marked. Thanos `pkg/compact/compact.go`.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, TryStreamExt, stream};
use tithon_bucket::{BucketBlock, BucketFiles};
use tithon_engine::compact::{CompactOptions, Output, compact_into};
use tithon_engine::plan::{Group, mark_cut, mark_merged};
use tithon_engine::{BlockId, BlockMeta};
use tokio::runtime::Handle;
use tracing::{info, instrument};

use crate::fault::Reporter;
use crate::lease::Lease;
use crate::metrics::CompactMetrics;
use crate::publish::Unsealed;
use crate::source::Obstacle;
use crate::succession::SOURCE_OF_COMPACTED;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Merges `plan`, blocks of `group`, into `into` blocks that are all in the bucket when this returns, but for those
    /// without samples; `lease` is that of the plan, where compactors share the bucket. The sources are marked for deletion; failing to do so is reported only, as they count as superseded
    /// anyway.
    #[instrument(name = "compaction", skip_all, fields(group = group.key, sources = plan.len()))]
    pub(crate) async fn merge(
        &self,
        group: &Group,
        plan: &[BlockMeta],
        into: u32,
        lease: Option<&Lease>,
        reporter: &Reporter,
    ) -> Result<Vec<BlockMeta>, Obstacle> {
        let inner = &self.inner;
        let _held = inner.busy.hold(plan.iter().map(|block| block.ulid));
        let dir = self.merge_dir().join(&group.key);
        let begin = Instant::now();
        let drafts = self.begin_drafts(into as usize).await?;
        let merged = self.merge_into(group, plan, drafts.ids(), &dir).await;
        let made = self.seal(drafts, merged, lease).await?;
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
        self.clear(&dir, plan).await?;
        Ok(made)
    }

    /// Merges `plan` into the drafts `ids`; sources that have to be copied first lie below `dir`.
    async fn merge_into(
        &self,
        group: &Group,
        plan: &[BlockMeta],
        ids: &[BlockId],
        dir: &Path,
    ) -> Result<Vec<Unsealed>, Obstacle> {
        let options = &self.inner.options;
        let opening =
            stream::iter(plan.to_vec()).map(|meta| async move { self.open_source(&meta, dir).await });
        let sources: Vec<Arc<BucketBlock>> =
            opening.buffered(options.fetch_concurrency.max(1)).try_collect().await?;
        let options = CompactOptions {
            overlap: options.overlap,
            shards_before: group.class.count,
            ..CompactOptions::default()
        };
        let (targets, thanos, runtime) = (self.targets(), group.thanos_meta(), Handle::current());
        let compactor = self.clone();
        let files: Vec<BucketFiles> = ids.iter().map(|id| targets.files(*id)).collect();
        let outputs: Vec<(BlockId, BucketFiles)> = ids.iter().copied().zip(files.iter().cloned()).collect();
        let work = move || -> Result<_, CompactError> {
            let output = |(id, files)| Output { id, files: Box::new(files) };
            let outputs = outputs.into_iter().map(output).collect();
            let inputs = sources.iter().map(|source| compactor.input(source, &runtime)).collect();
            let made = compact_into(inputs, outputs, Some(thanos), options)?;
            sources.iter().try_for_each(|source| source.check())?;
            Ok(made)
        };
        let made = match self.compute(work).await {
            Ok(Ok(made)) => {
                let mut made = shards_of(group, plan, made);
                made.iter_mut().for_each(|meta| self.inner.requests.carry(plan, meta));
                made
            }
            Ok(Err(error)) => return Err(self.blame(error, plan, dir).await),
            Err(error) => return Err(self.blame(error.into(), plan, dir).await),
        };
        let files_of = |meta: &BlockMeta| ids.iter().zip(&files).find(|(draft, _)| **draft == meta.ulid);
        let unsealed = |meta: BlockMeta| {
            let files = files_of(&meta)?.1.clone();
            Some(Unsealed { meta, files })
        };
        Ok(made.into_iter().filter_map(unsealed).collect())
    }

    /// Removes the sources that the merge copied to local disk.
    async fn clear(&self, dir: &Path, plan: &[BlockMeta]) -> Result<(), CompactError> {
        for block in plan {
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
}

/// The blocks of a merge that have samples, with what they are shards of.
fn shards_of(group: &Group, plan: &[BlockMeta], mut made: Vec<Option<BlockMeta>>) -> Vec<BlockMeta> {
    match made.as_mut_slice() {
        [only] => {
            only.iter_mut().for_each(|meta| mark_merged(plan, meta));
            made.into_iter().flatten().collect()
        }
        _ => mark_cut(plan, group.class, made),
    }
}
