//! Blocks that are being made: their files go straight into the bucket, are read back from there, and only then become visible by
//! their meta.json.

use std::sync::Arc;

use tithon_bucket::BucketFiles;
use tithon_chunks::ErrorKind;
use tithon_engine::{BlockId, BlockMeta};
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::lease::Lease;
use crate::metrics::LeaseEvent;
use crate::source::Obstacle;
use crate::state::Held;
use crate::{CompactError, Compactor};

/// Ids of blocks that are being made. Each is noted in scratch space, so that what a killed process left of them is removed
/// by the next one.
pub(crate) struct Drafts<'c> {
    ids: Vec<BlockId>,
    _held: Held<'c>,
}

/// How far blocks have come.
#[derive(Default)]
struct Progress {
    /// Their meta.json is there.
    sealed: Vec<BlockMeta>,
    /// A lease may have them published whatever happens here: their files stay.
    decided: bool,
}

impl Drafts<'_> {
    pub(crate) fn ids(&self) -> &[BlockId] {
        &self.ids
    }
}

/// A block whose files are in the bucket and whose meta.json is not.
pub(crate) struct Unsealed {
    pub(crate) meta: BlockMeta,
    pub(crate) files: BucketFiles,
}

/// Where the files of drafts go; made anew for each attempt.
#[derive(Clone)]
pub(crate) struct Targets {
    compactor: Compactor,
    runtime: Handle,
}

impl Targets {
    pub(crate) fn files(&self, id: BlockId) -> BucketFiles {
        let inner = &self.compactor.inner;
        inner.bucket.block_files(id, inner.options.transfer.hash, self.runtime.clone())
    }
}

impl Compactor {
    /// Where files can be written to by work that runs in a pool. To be called inside a tokio runtime.
    pub(crate) fn targets(&self) -> Targets {
        Targets { compactor: self.clone(), runtime: Handle::current() }
    }

    /// Ids for `n` blocks to be made. They end with [`Compactor::seal`].
    pub(crate) async fn begin_drafts(&self, n: usize) -> Result<Drafts<'_>, CompactError> {
        self.begin_drafts_of((0..n).map(|_| self.new_id()).collect()).await
    }

    /// The same for one block of this id.
    pub(crate) async fn begin_draft(&self, id: BlockId) -> Result<Drafts<'_>, CompactError> {
        self.begin_drafts_of(vec![id]).await
    }

    async fn begin_drafts_of(&self, ids: Vec<BlockId>) -> Result<Drafts<'_>, CompactError> {
        let dir = self.drafts_dir();
        tokio::fs::create_dir_all(&dir).await.map_err(CompactError::scratch(&dir))?;
        let held = self.inner.busy.hold(ids.iter().copied());
        // What is made under a lease may be published by another compactor when this one is gone.
        for id in ids.iter().filter(|_| self.inner.leases.is_none()) {
            let note = dir.join(id.to_string());
            tokio::fs::write(&note, b"").await.map_err(CompactError::scratch(&note))?;
        }
        Ok(Drafts { ids, _held: held })
    }

    /// Makes blocks of what was made of drafts: all are read back, and then get their meta.json one by one, under `lease` if
    /// there is one. What does not become a block is deleted again.
    pub(crate) async fn seal(
        &self,
        drafts: Drafts<'_>,
        made: Result<Vec<Unsealed>, Obstacle>,
        lease: Option<&Lease>,
    ) -> Result<Vec<BlockMeta>, Obstacle> {
        let mut progress = Progress::default();
        let result = match made {
            Ok(made) => self.seal_all(made, lease, &mut progress).await,
            Err(obstacle) => Err(obstacle),
        };
        let Progress { sealed, decided } = progress;
        for id in &drafts.ids {
            if !decided
                && sealed.iter().all(|block| block.ulid != *id)
                && let Err(error) = self.inner.bucket.delete_block(*id).await
            {
                // Without meta.json no reader sees it, and it is deleted later: by its note, or as a partial upload.
                warn!(block = %id, error = %error, "what was made of a block cannot be deleted yet");
                continue;
            }
            self.forget_draft(*id).await;
        }
        result.map(|()| sealed)
    }

    async fn seal_all(
        &self,
        made: Vec<Unsealed>,
        lease: Option<&Lease>,
        progress: &mut Progress,
    ) -> Result<(), Obstacle> {
        let bucket = &self.inner.bucket;
        for Unsealed { meta, .. } in &made {
            let read =
                Arc::new(bucket.open_files(Arc::new(meta.clone())).await.map_err(|e| refused(e.into()))?);
            let health = self.read_back(read, self.inner.options.verify).await.map_err(refused)?;
            self.judge_made(meta.ulid, &health)?;
        }
        let mut metas = Vec::with_capacity(made.len());
        for Unsealed { meta, files } in made {
            let whole = files.durable().await.and_then(|files| bucket.whole_meta(meta, files));
            metas.push(whole.map_err(|error| refused(error.into()))?);
        }
        if let Some(lease) = lease.filter(|_| !metas.is_empty()) {
            progress.decided = true;
            lease.commit(&metas).await.inspect_err(|error| {
                if matches!(error, CompactError::LeaseLost) {
                    self.inner.metrics.count_lease(LeaseEvent::Lost);
                }
            })?;
        }
        for meta in metas {
            if lease.is_some_and(|lease| !lease.is_current()) {
                return Err(CompactError::LeaseLost.into());
            }
            let put = bucket.put_meta(&meta).await;
            self.inner.changed.note(meta.ulid);
            put.map_err(CompactError::from).map_err(refused)?;
            bucket.check_files(&meta).await.map_err(CompactError::from).map_err(refused)?;
            progress.sealed.push(meta);
        }
        lease.into_iter().for_each(Lease::done);
        Ok(())
    }

    async fn forget_draft(&self, id: BlockId) {
        let note = self.drafts_dir().join(id.to_string());
        if let Err(error) = tokio::fs::remove_file(&note).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            // The next iteration finds the block whole, or nothing of it.
            warn!(path = %note.display(), error = %error, "a note cannot be removed yet");
        }
    }

    /// Deletes what a process that was killed left in the bucket of blocks it was making.
    pub(crate) async fn clean_drafts(&self) -> Result<(), CompactError> {
        let dir = self.drafts_dir();
        let mut entries = match tokio::fs::read_dir(&dir).await {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(CompactError::scratch(&dir)(error)),
        };
        while let Some(entry) = entries.next_entry().await.map_err(CompactError::scratch(&dir))? {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<BlockId>().ok());
            let Some(id) = id.filter(|id| !self.inner.busy.contains(*id)) else { continue };
            if !self.inner.bucket.has_meta(id).await? {
                self.inner.bucket.delete_block(id).await?;
                self.inner.changed.note(id);
                info!(block = %id, "deleted what an earlier run had made of a block");
            }
            self.forget_draft(id).await;
        }
        Ok(())
    }
}

/// The obstacle of a block that was made and does not become visible: transient, unless the block is one that may not be
/// uploaded at all, or reading it back panicked.
pub(crate) fn refused(error: CompactError) -> Obstacle {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Internal => Obstacle::plan(error),
        _ => Obstacle::transient(error),
    }
}
