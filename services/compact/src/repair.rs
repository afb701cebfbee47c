//! Repair of blocks that end with chunks which begin at the block's end (Prometheus tsdb issue 347): the same block
//! without them. Thanos `pkg/compact/compact.go`.

use std::time::Instant;

use tithon_engine::compact::{CompactOptions, compact};
use tithon_engine::plan::{Group, Shard};
use tithon_engine::{Block, BlockMeta, SourceType};
use tracing::info;

use crate::succession::SOURCE_OF_REPAIRED;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Uploads the repaired block and marks the broken one for deletion.
    pub(crate) async fn repair(&self, group: &Group, broken: &BlockMeta) -> Result<BlockMeta, CompactError> {
        let refuse = |what| CompactError::NotRepairable { block: broken.ulid, what };
        if broken.resolution_ms() > 0 {
            return Err(refuse("a downsampled block with chunks at its end cannot be repaired"));
        }
        let inner = &self.inner;
        let begin = Instant::now();
        let _held = inner.busy.hold([broken.ulid]);
        let dir = self.merge_dir().join(&group.key);
        tokio::fs::create_dir_all(&dir).await.map_err(CompactError::scratch(&dir))?;
        let from = match inner.bucket.block_dir(broken.ulid) {
            Some(dir) => dir,
            None => {
                let to = dir.join(broken.ulid.to_string());
                inner.bucket.download_block(broken, &to, inner.options.transfer).await?;
                to
            }
        };
        let (id, thanos, target) = (self.new_id(), broken.thanos.clone().unwrap_or_default(), dir.clone());
        let work = move || {
            let block = Block::open(&from)?;
            let thanos = Some(thanos.clone());
            let blocks = std::slice::from_ref(&block);
            compact(blocks, &target, &[id], thanos, CompactOptions::default())
        };
        let made = self.run_on(broken.ulid, work).await??;
        let made = made.into_iter().next().flatten();
        let mut made = made.ok_or_else(|| refuse("nothing is left without the chunks at its end"))?;
        made.compaction = broken.compaction.clone();
        if let Some(thanos) = &mut made.thanos {
            thanos.source = SourceType::CompactorRepair;
        }
        if let Some(shard) = Shard::of(broken) {
            shard.attach(&mut made);
        }
        let made = self.publish_together(&dir, vec![made]).await?.swap_remove(0);
        self.mark_for_deletion(broken.ulid, SOURCE_OF_REPAIRED, vec![made.ulid]).await?;
        info!(block = %made.ulid, source = %broken.ulid, took = ?begin.elapsed(), "repaired block");
        Ok(made)
    }
}
