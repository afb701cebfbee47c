//! A merge that needs no local disk: sources are read by ranges, and the files of the result are uploaded part by part
//! while they are made.

use std::sync::Arc;

use tithon_bucket::{BucketBlock, BucketFiles};
use tithon_engine::compact::{Output, compact_into};
use tithon_engine::plan::Group;
use tithon_engine::verify::index_health;
use tithon_engine::{BlockId, BlockMeta, File};
use tithon_index::IndexHealth;
use tithon_runtime::RuntimeError;
use tokio::runtime::Handle;
use tracing::warn;

use crate::merge::shards_of;
use crate::publish::refused;
use crate::source::Obstacle;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Merges `plan` into `into` blocks, of which those with samples are in the bucket, whole and checked; their metas come
    /// after everything else. After a failure no incomplete block is left behind.
    pub(crate) async fn merge_streaming(
        &self,
        group: &Group,
        plan: &[BlockMeta],
        into: u32,
    ) -> Result<Vec<BlockMeta>, Obstacle> {
        let inner = &self.inner;
        let mut blocks = Vec::with_capacity(plan.len());
        for meta in plan {
            blocks.push(self.open_remote(meta).await?);
        }
        let output = |_| {
            let id = self.new_id();
            (id, inner.bucket.block_files(id, inner.options.transfer.hash))
        };
        let outputs: Vec<(BlockId, BucketFiles)> = (0..into).map(output).collect();
        let options = self.compact_options(group);
        let work = {
            let (outputs, thanos, runtime) = (outputs.clone(), group.thanos_meta(), Handle::current());
            move || {
                let sources = blocks.iter().map(|block| block.input(&runtime)).collect();
                let output = |(id, files)| Output { id, files: Box::new(files) };
                compact_into(sources, outputs.into_iter().map(output).collect(), Some(thanos), options)
            }
        };
        let result = inner.cpu.run_waiting(work).await.map_err(CompactError::from);
        let mut sealed = Vec::new();
        let result = match result {
            Err(error) => Err(self.blame(error, plan, &self.merge_dir().join(&group.key)).await),
            Ok(Err(error)) => Err(self.blame(error.into(), plan, &self.merge_dir().join(&group.key)).await),
            Ok(Ok(made)) => {
                let made = shards_of(group, plan, made);
                let files =
                    |id| outputs.iter().find(|(output, _)| *output == id).map(|(_, files)| files.written());
                let made =
                    made.into_iter().map(|meta| (files(meta.ulid).unwrap_or_default(), meta)).collect();
                self.seal_all(made, &mut sealed).await
            }
        };
        for (id, _) in outputs.iter().filter(|(id, _)| sealed.iter().all(|block| block.ulid != *id)) {
            if let Err(error) = inner.bucket.delete_block(*id).await {
                // Without meta.json no reader sees it, and it is deleted later as a partial upload.
                warn!(block = %id, error = %error, "what a merge left behind cannot be deleted yet");
            }
        }
        result.map(|()| sealed)
    }

    /// Opens a block in the bucket and looks through its index.
    async fn open_remote(&self, meta: &BlockMeta) -> Result<Arc<BucketBlock>, Obstacle> {
        let opened = match self.inner.bucket.open_block(Arc::new(meta.clone()), None).await {
            Ok(block) => self.check_remote(Arc::new(block)).await,
            Err(error) => Err(error.into()),
        };
        match opened {
            Ok((block, health)) => self.judge(meta, &health).map(|()| block),
            Err(error) if error.is_transient() => Err(Obstacle::transient(error)),
            Err(error) => Err(self.unless_gone(meta.ulid, error).await),
        }
    }

    /// Walks the index of a block in the bucket. Work that panics is tried once more, as [`Compactor::run_on`] does.
    async fn check_remote(
        &self,
        block: Arc<BucketBlock>,
    ) -> Result<(Arc<BucketBlock>, IndexHealth), CompactError> {
        let walked = || {
            let (block, runtime) = (Arc::clone(&block), Handle::current());
            self.inner.cpu.run_waiting(move || index_health(block.input(&runtime), |_| ()))
        };
        let result = match walked().await {
            Err(RuntimeError::Panic(what)) => {
                warn!(block = %block.id(), what, "work on a block panicked");
                walked().await
            }
            result => result,
        };
        match result {
            Err(RuntimeError::Panic(what)) => Err(CompactError::Panic { block: block.id(), what }),
            result => result?.map(|health| (block, health)).map_err(CompactError::from),
        }
    }

    /// Reads back all that was written, and only then makes blocks of it, one by one.
    async fn seal_all(
        &self,
        made: Vec<(Vec<File>, BlockMeta)>,
        sealed: &mut Vec<BlockMeta>,
    ) -> Result<(), Obstacle> {
        let bucket = &self.inner.bucket;
        for (_, meta) in &made {
            let health = self.read_back(meta, self.inner.options.verify).await.map_err(refused)?;
            self.judge_made(meta.ulid, &health)?;
        }
        for (files, meta) in made {
            let (id, block) = (meta.ulid, bucket.seal_block(meta, files).await);
            self.inner.changed.note(id);
            let block = block.map_err(CompactError::from).map_err(refused)?;
            bucket.check_files(&block).await.map_err(CompactError::from).map_err(refused)?;
            sealed.push(block);
        }
        Ok(())
    }
}
