//! A merge that needs no local disk: sources are read by ranges, and the files of the result are uploaded part by part
//! while they are made.

use std::sync::Arc;

use tithon_bucket::{BucketBlock, BucketError};
use tithon_engine::compact::{CompactOptions, Output, Source, compact_into};
use tithon_engine::plan::Group;
use tithon_engine::{BlockError, BlockMeta};
use tithon_index::IndexHealth;
use tithon_runtime::Priority;
use tokio::runtime::Handle;
use tracing::warn;

use crate::merge::refused;
use crate::source::Obstacle;
use crate::walk::walk;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Merges `plan` into a block that is in the bucket, whole and checked; `None` if no sample is left. Nothing of it
    /// stays behind where it fails.
    pub(crate) async fn merge_streaming(
        &self,
        group: &Group,
        plan: &[BlockMeta],
    ) -> Result<Option<BlockMeta>, Obstacle> {
        let inner = &self.inner;
        let mut blocks = Vec::with_capacity(plan.len());
        for meta in plan {
            blocks.push(self.open_remote(meta).await?);
        }
        let id = self.new_id();
        let files = inner.bucket.block_files(id, inner.options.transfer.hash);
        let options = CompactOptions { overlap: inner.options.overlap, ..CompactOptions::default() };
        let work = {
            let (files, thanos, runtime) = (files.clone(), group.thanos_meta(), Handle::current());
            move || {
                let sources = blocks.iter().map(|block| source(block, &runtime)).collect();
                let outputs = vec![Output { id, files: Box::new(files) }];
                compact_into(sources, outputs, Some(thanos), options)
            }
        };
        let result = inner.cpu.run(Priority::Background, work).await.map_err(CompactError::from);
        let made = match result {
            Err(error) => Err(Obstacle::passing(error)),
            Ok(Err(error)) => Err(self.blame(error.into(), plan, &self.merge_dir().join(&group.key)).await),
            Ok(Ok(made)) => Ok(made.into_iter().flatten().next()),
        };
        let sealed = match made {
            Ok(Some(made)) => self.seal(made, files.written()).await.map(Some),
            other => other,
        };
        if !matches!(sealed, Ok(Some(_)))
            && let Err(error) = inner.bucket.delete_block(id).await
        {
            // Without meta.json nobody sees it, and it is cleaned as half an upload.
            warn!(block = %id, error = %error, "what a merge left behind cannot be deleted yet");
        }
        sealed
    }

    /// Opens a block in the bucket and looks through its index.
    async fn open_remote(&self, meta: &BlockMeta) -> Result<Arc<BucketBlock>, Obstacle> {
        let opened = self.inner.bucket.open_block(Arc::new(meta.clone())).await.map_err(CompactError::from);
        let block = match opened {
            Ok(block) => Arc::new(block),
            Err(error) if error.may_pass() => return Err(Obstacle::passing(error)),
            Err(error) => return Err(self.unless_gone(meta.ulid, error).await),
        };
        match self.walk_remote(&block).await {
            Ok(health) => self.judge(meta, &health).map(|()| block),
            Err(error) if error.may_pass() => Err(Obstacle::passing(error)),
            Err(error) => Err(self.unless_gone(meta.ulid, error).await),
        }
    }

    async fn walk_remote(&self, block: &Arc<BucketBlock>) -> Result<IndexHealth, CompactError> {
        let (block, runtime) = (Arc::clone(block), Handle::current());
        let work = move || walk(&block, |ranges| runtime.block_on(block.fetch(ranges)));
        self.inner.cpu.run(Priority::Background, work).await?
    }

    /// Looks through what was written, and makes it a block.
    async fn seal(&self, made: BlockMeta, files: Vec<tithon_engine::File>) -> Result<BlockMeta, Obstacle> {
        let bucket = &self.inner.bucket;
        // Without meta.json it is no block yet that could be mapped.
        let remote = bucket.clone().by_ranges();
        let written = remote.open_block(Arc::new(made.clone())).await.map_err(CompactError::from);
        let written = Arc::new(written.map_err(Obstacle::plan)?);
        let health = self.walk_remote(&written).await.map_err(Obstacle::plan)?;
        self.judge_made(made.ulid, &health)?;
        let sealed = bucket.seal_block(made, files).await.map_err(CompactError::from).map_err(refused)?;
        bucket.check_files(&sealed).await.map_err(CompactError::from).map_err(refused)?;
        Ok(sealed)
    }
}

/// A block as the engine reads it.
fn source<'b>(block: &'b BucketBlock, runtime: &Handle) -> Source<'b> {
    if let Some(mapped) = block.mapped() {
        return Source::from(mapped);
    }
    let (header, tombstones) = (Arc::clone(block.header()), Arc::clone(block.tombstones()));
    let runtime = runtime.clone();
    let fetch = move |ranges: &[tithon_engine::FileRange]| {
        runtime.block_on(block.fetch(ranges)).map_err(|error| match error {
            BucketError::Block(error) => error,
            error => {
                let (kind, source) = (error.kind(), Box::new(error));
                BlockError::Fetch { block: block.id(), kind, source }
            }
        })
    };
    Source::new(BlockMeta::clone(block.meta()), header, tombstones, fetch)
}
