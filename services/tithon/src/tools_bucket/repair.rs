//! Repairs of `tithon tools bucket verify`: blocks written anew, and blocks copied to another bucket before they are deleted. Thanos
//! `pkg/verifier`, `pkg/block/index.go`.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tithon_bucket::{Bucket, Mark, MarkKind, TransferOptions};
use tithon_engine::compact::InputBlock;
use tithon_engine::rewrite::{Rules, rewrite};
use tithon_engine::verify::index_health;
use tithon_engine::{Block, BlockError, BlockId, BlockMeta, SourceType};
use tithon_runtime::{Cpu, Priority, now_ms};
use tracing::info;

use crate::cli::VerifyBucketFlags;
use crate::tools_block::new_id;

/// Objects of a block copied at the same time.
const AT_ONCE: usize = 4;

/// What repairs need.
pub(super) struct Repairs {
    bucket: Bucket,
    backup: Bucket,
    delete_delay: Duration,
    scratch: Scratch,
    cpu: Cpu,
}

/// A folder that is removed when it is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(dir = %self.0.display(), error = %error, "scratch space is not removed");
        }
    }
}

impl Repairs {
    pub(super) fn new(
        bucket: Bucket,
        backup: Bucket,
        flags: &VerifyBucketFlags,
    ) -> Result<Repairs, Box<dyn Error>> {
        let parent = flags.tmp_dir.clone().unwrap_or_else(std::env::temp_dir);
        let dir = parent.join(format!("tithon-verify-{}", std::process::id()));
        std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let (delete_delay, scratch) = (flags.delete_delay, Scratch(dir));
        Ok(Repairs { bucket, backup, delete_delay, scratch, cpu: Cpu::new(0)? })
    }

    /// Uploads a block without the faults of its index, and deletes the old one. `all` are the blocks of the bucket: where a run
    /// that broke off has uploaded the repaired one already, it is not made again.
    pub(super) async fn mend(&self, meta: &BlockMeta, all: &[Arc<BlockMeta>]) -> Result<(), Box<dyn Error>> {
        if meta.resolution_ms() > 0 {
            return Err("a downsampled block cannot be repaired: delete it, and it is made again".into());
        }
        match all.iter().find(|other| is_repaired(other, meta)) {
            Some(there) => info!(id = %meta.ulid, new = %there.ulid, "block was repaired before"),
            None => self.write_anew(meta).await?,
        }
        self.back_up_and_delete(meta.ulid).await
    }

    async fn write_anew(&self, meta: &BlockMeta) -> Result<(), Box<dyn Error>> {
        let (scratch, id) = (self.scratch.0.clone(), new_id());
        let from = match self.bucket.block_dir(meta.ulid) {
            Some(dir) => dir,
            None => {
                let to = scratch.join(meta.ulid.to_string());
                self.bucket.download_block(meta, &to, TransferOptions::default()).await?;
                to
            }
        };
        let to = scratch.clone();
        let work = move || -> Result<_, BlockError> {
            let rules = Rules { repair: true, ..Rules::default() };
            let made = rewrite(&Block::open(from)?, &to, id, &rules, |_, _| ())?;
            let Some(made) = made else { return Ok(None) };
            let health = index_health(InputBlock::from(&Block::open(to.join(id.to_string()))?), |_| ())?;
            Ok(Some((made, health)))
        };
        let (mut made, health) = self
            .cpu
            .run(Priority::Background, work)
            .await??
            .ok_or("no sample lies inside the block's time: mark the block for deletion")?;
        if let Some(fault) = health.faults() {
            return Err(format!("what cannot be repaired is left: {fault}").into());
        }
        made.thanos.get_or_insert_default().source = SourceType::BucketRepair;
        let uploaded =
            self.bucket.upload_block(&scratch.join(id.to_string()), made, TransferOptions::default()).await?;
        self.bucket.check_files(&uploaded).await?;
        info!(id = %meta.ulid, new = %id, samples = uploaded.stats.num_samples, "repaired block is uploaded");
        for block in [meta.ulid, id] {
            let dir = scratch.join(block.to_string());
            if dir.exists() {
                std::fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            }
        }
        Ok(())
    }

    /// Copies a block to the backup bucket; then deletes it, or marks it where there is a delay. Where the backup has another
    /// block of this id, nothing is done.
    pub(super) async fn back_up_and_delete(&self, id: BlockId) -> Result<(), Box<dyn Error>> {
        if self.backup.has_block(id).await? && !self.bucket.has_same_meta(id, &self.backup).await? {
            return Err(format!("the backup bucket has another block {id}: remove it if that is safe").into());
        }
        self.bucket.copy_block(id, &self.backup, AT_ONCE).await?;
        info!(id = %id, "block is in the backup bucket");
        if self.delete_delay.is_zero() {
            self.bucket.delete_block(id).await?;
            return Ok(());
        }
        let mark = Mark {
            kind: MarkKind::Deletion,
            block: id,
            details: "manual verify-repair".to_owned(),
            time_s: now_ms() / 1000,
            reason: String::new(),
            replaced_by: Vec::new(),
        };
        self.bucket.put_mark(&mark).await?;
        Ok(())
    }
}

/// Whether a block is what a repair has made of another.
fn is_repaired(made: &BlockMeta, broken: &BlockMeta) -> bool {
    let (Some(of_made), Some(of_broken)) = (&made.thanos, &broken.thanos) else { return false };
    made.ulid != broken.ulid
        && of_made.source == SourceType::BucketRepair
        && of_made.labels == of_broken.labels
        && of_made.downsample == of_broken.downsample
        && made.compaction == broken.compaction
        && (made.min_time, made.max_time) == (broken.min_time, broken.max_time)
}
