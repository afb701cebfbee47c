//! Uploads of blocks that were made on local disk: each is read back from the bucket before it becomes visible.

use std::path::Path;

use tithon_chunks::ErrorKind;
use tithon_engine::BlockMeta;
use tracing::warn;

use crate::source::Obstacle;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Uploads blocks that were made below `dir` and reads them back, all metas after everything else. What cannot be read
    /// back is deleted again.
    pub(crate) async fn publish_together(
        &self,
        dir: &Path,
        made: Vec<BlockMeta>,
    ) -> Result<Vec<BlockMeta>, CompactError> {
        let bucket = &self.inner.bucket;
        let mut files = Vec::with_capacity(made.len());
        for block in &made {
            let from = dir.join(block.ulid.to_string());
            files.push(bucket.upload_files(&from, block, self.inner.options.transfer).await?);
        }
        if let Err(error) = self.read_back_all(&made).await {
            for block in &made {
                if let Err(error) = bucket.delete_block(block.ulid).await {
                    // Without meta.json no reader sees it, and it is deleted later as a partial upload.
                    warn!(block = %block.ulid, error = %error, "an upload that is not sound cannot be deleted yet");
                }
            }
            return Err(error);
        }
        let mut published = Vec::with_capacity(made.len());
        for (block, files) in made.into_iter().zip(files) {
            let (id, sealed) = (block.ulid, bucket.seal_block(block, files).await);
            self.inner.changed.note(id);
            published.push(sealed?);
        }
        for block in &published {
            bucket.check_files(block).await?;
        }
        Ok(published)
    }

    async fn read_back_all(&self, made: &[BlockMeta]) -> Result<(), CompactError> {
        for block in made {
            self.read_back(block, self.inner.options.verify).await?;
        }
        Ok(())
    }
}

/// The obstacle of a failed upload: transient, unless the block is one that may not be uploaded at all, or reading it back
/// panicked.
pub(crate) fn refused(error: CompactError) -> Obstacle {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Internal => Obstacle::plan(error),
        _ => Obstacle::transient(error),
    }
}
