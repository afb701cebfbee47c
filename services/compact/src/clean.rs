//! Deletion: marked blocks after the delay, uploads that broke off, and scratch space. Thanos
//! `pkg/compact/blocks_cleaner.go`, `pkg/compact/clean.go`.

use std::collections::HashSet;
use std::path::Path;

use futures::{StreamExt, stream};
use tithon_bucket::MarkKind;
use tithon_engine::BlockId;
use tithon_engine::plan::group;
use tracing::info;

use crate::fault::Reporter;
use crate::view::View;
use crate::{CompactError, Compactor};

/// Blocks deleted at once.
const CONCURRENCY: usize = 32;

impl Compactor {
    /// Deletes the blocks whose mark is older than the delay.
    pub(crate) async fn delete_marked(&self, view: &View, reporter: &Reporter) {
        let (now_s, delay_s) = (self.now_ms() / 1000, self.delete_delay_s());
        let due = view.deletion.values().filter(|mark| now_s.saturating_sub(mark.time_s) > delay_s);
        let due: Vec<BlockId> =
            due.map(|mark| mark.block).filter(|block| !self.inner.busy.contains(*block)).collect();
        self.delete_all(due, "marked", reporter).await;
    }

    /// Deletes blocks without meta.json: those whose deletion was begun, and those that have not changed for long. With
    /// them goes what killed uploads left in other blocks.
    pub(crate) async fn delete_partial(&self, view: &View, reporter: &Reporter) {
        self.inner.metrics.cleanup_loops.inc();
        let mut due = Vec::new();
        for block in &view.partial {
            match self.is_abandoned(*block).await {
                Ok(true) => due.push(*block),
                Ok(false) => {}
                Err(error) => reporter.unfinished(None, &error),
            }
        }
        self.inner.metrics.partial_deletion_attempts.inc_by(due.len() as u64);
        self.delete_all(due, "partial", reporter).await;
        let before_ms = self.now_ms().saturating_sub(self.partial_age_ms());
        match self.inner.bucket.delete_leftovers(before_ms).await {
            Ok(0) => {}
            Ok(files) => info!(files, "deleted what killed uploads left"),
            Err(error) => reporter.unfinished(None, &error.into()),
        }
    }

    async fn is_abandoned(&self, block: BlockId) -> Result<bool, CompactError> {
        let bucket = &self.inner.bucket;
        if bucket.has_meta(block).await? {
            return Ok(false);
        }
        // Marks are removed last: a block that has one and no meta.json was being deleted.
        let mark = bucket.mark(block, MarkKind::Deletion).await?;
        let now_ms = self.now_ms();
        if mark.is_some_and(|mark| (now_ms / 1000).saturating_sub(mark.time_s) > self.delete_delay_s()) {
            return Ok(true);
        }
        let born_ms = i64::try_from(block.unix_ms()).unwrap_or(i64::MAX);
        let changed_ms = bucket.last_change_ms(block).await?.unwrap_or(born_ms);
        Ok(now_ms.saturating_sub(changed_ms) > self.partial_age_ms())
    }

    fn partial_age_ms(&self) -> i64 {
        i64::try_from(self.inner.options.partial_age.as_millis()).unwrap_or(i64::MAX)
    }

    fn delete_delay_s(&self) -> i64 {
        i64::try_from(self.inner.options.delete_delay.as_secs()).unwrap_or(i64::MAX)
    }

    async fn delete_all(&self, blocks: Vec<BlockId>, why: &'static str, reporter: &Reporter) {
        let metrics = &self.inner.metrics;
        let deletions = stream::iter(blocks).for_each_concurrent(CONCURRENCY, |block| async move {
            match self.inner.bucket.delete_block(block).await {
                Ok(()) => {
                    metrics.blocks_cleaned.inc();
                    reporter.add(|report| report.deleted += 1);
                    info!(block = %block, why, "deleted block");
                }
                Err(error) => {
                    metrics.cleanup_failures.inc();
                    reporter.unfinished(None, &error.into());
                }
            }
        });
        deletions.await;
    }

    /// Removes from scratch space what no block of the view needs; nothing else that lies beside it.
    pub(crate) async fn clean_scratch(&self, view: &View) -> Result<(), CompactError> {
        let ids: HashSet<String> = view.blocks.iter().map(|block| block.ulid.to_string()).collect();
        let groups = group(view.blocks.iter().cloned(), &[]);
        let keys: HashSet<&str> = groups.iter().map(|group| group.key.as_str()).collect();
        let merges = self.merge_dir();
        keep_only(&merges, |name| keys.contains(name)).await?;
        for group in &groups {
            keep_only(&merges.join(&group.key), |name| ids.contains(name)).await?;
        }
        keep_only(&self.downsample_dir(), |name| ids.contains(name)).await
    }
}

/// Removes the entries of a directory that are not to be kept; a directory that is not there has none.
async fn keep_only(dir: &Path, keep: impl Fn(&str) -> bool) -> Result<(), CompactError> {
    let mut entries = match tokio::fs::read_dir(dir).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CompactError::scratch(dir)(error)),
    };
    while let Some(entry) = entries.next_entry().await.map_err(CompactError::scratch(dir))? {
        if entry.file_name().to_str().is_some_and(&keep) {
            continue;
        }
        let path = entry.path();
        let is_dir = entry.file_type().await.map_err(CompactError::scratch(&path))?.is_dir();
        let removed = match is_dir {
            true => tokio::fs::remove_dir_all(&path).await,
            false => tokio::fs::remove_file(&path).await,
        };
        removed.map_err(CompactError::scratch(&path))?;
    }
    Ok(())
}
