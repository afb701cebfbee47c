//! Deletion: marked blocks after the delay, uploads that broke off, and scratch space. Thanos
//! `pkg/compact/blocks_cleaner.go`, `pkg/compact/clean.go`.

use std::collections::HashSet;
use std::path::Path;

use futures::{StreamExt, stream};
use tithon_bucket::{Mark, MarkKind};
use tithon_engine::BlockId;
use tithon_engine::plan::group;
use tithon_runtime::now_ms;
use tracing::info;

use crate::compactor::Watched;
use crate::fault::Reporter;
use crate::view::View;
use crate::{CompactError, Compactor};

/// Blocks deleted at once.
const CONCURRENCY: usize = 32;

impl Compactor {
    /// Deletes the blocks whose mark is older than the delay, unless it was set because others hold their data and these
    /// are not found.
    pub(crate) async fn delete_marked(&self, view: &View, reporter: &Reporter) {
        let due: Vec<BlockId> = self.due(view).map(|mark| mark.block).collect();
        if due.is_empty() {
            return;
        }
        // A mark may have been taken away since the view was made.
        let view = match self.update(&due).await {
            Ok(view) => view,
            Err(error) => return reporter.unfinished(None, &error),
        };
        let due = self.deletable(self.due(&view).collect(), &view).await;
        self.delete_all(due, "marked", reporter).await;
    }

    /// The marks of blocks that may be deleted by now.
    fn due<'v>(&self, view: &'v View) -> impl Iterator<Item = &'v Mark> {
        let due = view.deletion.values().filter(|mark| self.is_due(mark));
        due.filter(|mark| !self.inner.busy.contains(mark.block))
    }

    /// Whether the delay since the mark is over; without a delay it always is.
    fn is_due(&self, mark: &Mark) -> bool {
        let delay_ms = i64::try_from(self.inner.options.delete_delay.as_millis()).unwrap_or(i64::MAX);
        delay_ms == 0 || now_ms().saturating_sub(mark.time_s.saturating_mul(1000)) > delay_ms
    }

    /// Deletes blocks without meta.json: those whose deletion was begun, and those that have not changed for long. With
    /// them goes what killed uploads left in other blocks.
    pub(crate) async fn delete_partial(&self, view: &View, reporter: &Reporter) {
        self.inner.metrics.cleanup_loops.inc();
        let mut due = Vec::new();
        for block in view.partial.iter().filter(|block| !self.inner.busy.contains(**block)) {
            match self.is_abandoned(*block).await {
                Ok(true) => due.push(*block),
                Ok(false) => {}
                Err(error) => reporter.unfinished(None, &error),
            }
        }
        self.inner.metrics.partial_deletion_attempts.inc_by(due.len() as u64);
        self.delete_all(due, "partial", reporter).await;
        let before_ms = now_ms().saturating_sub(self.partial_age_ms());
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
        if mark.is_some_and(|mark| self.is_due(&mark)) {
            return Ok(true);
        }
        let born_ms = i64::try_from(block.unix_ms()).unwrap_or(i64::MAX);
        let changed_ms = bucket.last_change_ms(block).await?.unwrap_or(born_ms);
        Ok(now_ms().saturating_sub(changed_ms) > self.partial_age_ms())
    }

    fn partial_age_ms(&self) -> i64 {
        i64::try_from(self.inner.options.partial_age.as_millis()).unwrap_or(i64::MAX)
    }

    async fn delete_all(&self, blocks: Vec<BlockId>, why: &'static str, reporter: &Reporter) {
        let metrics = &self.inner.metrics;
        self.tell(Watched::More(blocks.len()));
        let deletions = stream::iter(blocks).for_each_concurrent(CONCURRENCY, |block| async move {
            // Before it too: a deletion may be broken off.
            self.inner.changed.note(block);
            let deleted = self.inner.bucket.delete_block(block).await;
            self.inner.changed.note(block);
            match deleted {
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
            self.tell(Watched::Done);
        });
        deletions.await;
    }

    /// Removes from scratch space what no block of the view needs; other files in the data directory stay.
    pub(crate) async fn clean_scratch(&self, view: &View) -> Result<(), CompactError> {
        let ids: HashSet<String> = view.blocks.iter().map(|block| block.ulid.to_string()).collect();
        let groups = group(view.blocks.iter().cloned(), &[]);
        let keys: HashSet<&str> = groups.iter().map(|group| group.key.as_str()).collect();
        let merges = self.merge_dir();
        keep_only(&merges, |name| keys.contains(name)).await?;
        for group in &groups {
            keep_only(&merges.join(&group.key), |name| ids.contains(name)).await?;
        }
        self.clean_downsampling(view).await
    }

    /// The same of the scratch space of downsampling alone.
    pub(crate) async fn clean_downsampling(&self, view: &View) -> Result<(), CompactError> {
        self.clean_drafts().await?;
        let ids: HashSet<String> = view.blocks.iter().map(|block| block.ulid.to_string()).collect();
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
