//! Repair of blocks that end with chunks which begin at the block's end (Prometheus tsdb issue 347): the same block
//! without them. Thanos `pkg/compact/compact.go`.

use std::sync::Arc;
use std::time::Instant;

use tithon_bucket::BucketBlock;
use tithon_engine::compact::{CompactOptions, Output, compact_into};
use tithon_engine::plan::{Group, Shard};
use tithon_engine::{BlockId, BlockMeta, SourceType};
use tokio::runtime::Handle;
use tracing::info;

use crate::lease::Lease;
use crate::publish::Unsealed;
use crate::source::Obstacle;
use crate::succession::SOURCE_OF_REPAIRED;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Uploads the repaired block and marks the broken one for deletion.
    pub(crate) async fn repair(
        &self,
        group: &Group,
        broken: &BlockMeta,
        lease: Option<&Lease>,
    ) -> Result<BlockMeta, CompactError> {
        let refuse = |what| CompactError::NotRepairable { block: broken.ulid, what };
        if broken.resolution_ms() > 0 {
            return Err(refuse("a downsampled block with chunks at its end cannot be repaired"));
        }
        let inner = &self.inner;
        let begin = Instant::now();
        let _held = inner.busy.hold([broken.ulid]);
        let dir = self.merge_dir().join(&group.key);
        let source = self.bring_near(broken, &dir).await?;
        let drafts = self.begin_drafts(1).await?;
        let made = self.repair_into(source, broken, drafts.ids()[0]).await;
        let made = made.map(|made| vec![made]).map_err(Obstacle::from);
        let made = self
            .seal(drafts, made, lease)
            .await
            .map_err(|obstacle| obstacle.into_error(broken.ulid))?
            .swap_remove(0);
        self.mark_for_deletion(broken.ulid, SOURCE_OF_REPAIRED, vec![made.ulid]).await?;
        info!(block = %made.ulid, source = %broken.ulid, took = ?begin.elapsed(), "repaired block");
        Ok(made)
    }

    /// Writes the block without what lies outside of its time.
    async fn repair_into(
        &self,
        source: Arc<BucketBlock>,
        broken: &BlockMeta,
        id: BlockId,
    ) -> Result<Unsealed, CompactError> {
        let (thanos, targets, runtime) =
            (broken.thanos.clone().unwrap_or_default(), self.targets(), Handle::current());
        let work = move || -> Result<_, CompactError> {
            let files = targets.files(id);
            let outputs = vec![Output { id, files: Box::new(files.clone()) }];
            let inputs = vec![source.input(&runtime)];
            let made = compact_into(inputs, outputs, Some(thanos.clone()), CompactOptions::default())?;
            source.check()?;
            Ok((made, files))
        };
        let (made, files) = self.run_on(broken.ulid, work).await??;
        let what = "nothing is left without the chunks at its end";
        let made = made.into_iter().next().flatten();
        let mut meta = made.ok_or(CompactError::NotRepairable { block: broken.ulid, what })?;
        meta.compaction = broken.compaction.clone();
        if let Some(thanos) = &mut meta.thanos {
            thanos.source = SourceType::CompactorRepair;
        }
        if let Some(shard) = Shard::of(broken) {
            shard.attach(&mut meta);
        }
        Ok(Unsealed { meta, files })
    }
}
