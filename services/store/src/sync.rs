//! Keeping up with the bucket: blocks come, go, are marked, and supersede each other.
//! Thanos `pkg/block/fetcher.go`, `pkg/store/bucket.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::{StreamExt, stream};
use tithon_bucket::BucketBlock;
use tithon_engine::{BlockId, BlockMeta, Resolution, plan};
use tithon_runtime::Shutdown;
use tracing::{info, warn};

use crate::blocks::{Blocks, FaultyBlock};
use crate::{Store, StoreError};

/// Blocks opened, or marks read, at once.
const CONCURRENCY: usize = 20;

/// What is remembered between looks at the bucket.
#[derive(Debug, Default)]
pub(crate) struct SyncState {
    metas: BTreeMap<BlockId, Arc<BlockMeta>>,
}

/// What a look at the bucket came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Blocks that are served now.
    pub served: usize,
    /// Blocks opened by this look.
    pub opened: usize,
    /// Blocks that are no longer served.
    pub dropped: usize,
    /// Blocks without meta.json.
    pub partial: usize,
    /// Blocks with a damaged meta.json.
    pub corrupt_metas: usize,
    /// Blocks that should be served and cannot be opened.
    pub faulty: usize,
}

impl Store {
    /// Looks at the bucket: opens new blocks, drops those that have gone. When the store failed to answer for some
    /// blocks, none is dropped.
    pub async fn sync(&self) -> Result<SyncReport, StoreError> {
        let inner = &self.inner;
        let mut state = inner.sync.lock().await;
        inner.metrics.syncs.inc();
        let found = inner.bucket.discover(|id| state.metas.contains_key(&id)).await;
        let found = found.inspect_err(|_| {
            inner.metrics.sync_failures.inc();
        })?;
        for faulty in found.corrupt.iter().chain(&found.failed) {
            warn!(block = %faulty.block, kind = ?faulty.error.kind(), error = %faulty.error, "skipped block");
        }
        let unsure = !found.failed.is_empty();
        if !unsure {
            state.metas.retain(|id, _| found.complete.contains(id));
            inner.bucket.forget_other_headers(&found.complete).await;
        }
        state.metas.extend(found.new.into_iter().map(|meta| (meta.ulid, meta)));
        let wanted = self.wanted(&state.metas).await;
        let report = self.open_wanted(wanted, unsure).await;
        let report =
            SyncReport { partial: found.partial.len(), corrupt_metas: found.corrupt.len(), ..report };
        let states = [
            ("loaded", report.served),
            ("no-meta-json", report.partial),
            ("corrupted-meta-json", report.corrupt_metas),
            ("failed", found.failed.len()),
        ];
        for (state, count) in states {
            inner.metrics.metas_synced.get_or_create(&[("state", state)]).set(count as i64);
        }
        Ok(report)
    }

    /// Looks at the bucket again and again until the shutdown.
    pub async fn keep_synced(&self, shutdown: Shutdown) {
        let interval = self.inner.options.sync_interval;
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(interval) => {}
            }
            match self.sync().await {
                Ok(report) => info!(?report, "synced blocks"),
                Err(error) => warn!(kind = ?error.kind(), error = %error, "sync failed"),
            }
        }
    }

    /// The blocks to serve: of the time that is served, of a known resolution, not marked for deletion for long, and
    /// not superseded.
    async fn wanted(&self, metas: &BTreeMap<BlockId, Arc<BlockMeta>>) -> Vec<Arc<BlockMeta>> {
        let time = self.inner.options.time;
        let in_time = metas.values().filter(|m| m.max_time >= time.min.0 && m.min_time <= time.max.0);
        let known = in_time.filter(|meta| {
            let resolution = meta.resolution_ms();
            let known = Resolution::from_ms(resolution).is_some();
            if !known {
                warn!(block = %meta.ulid, resolution, "skipped block of unknown resolution");
            }
            known
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs() as i64);
        let delay = self.inner.options.ignore_deletion_marks_delay.as_secs() as i64;
        let marked = known.cloned().map(|meta| async move {
            let gone = match self.inner.bucket.deletion_mark(meta.ulid).await {
                Ok(mark) => mark.is_some_and(|mark| now.saturating_sub(mark.deletion_time) > delay),
                Err(error) => {
                    warn!(block = %meta.ulid, error = %error, "deletion mark cannot be read");
                    false
                }
            };
            (!gone).then_some(meta)
        });
        let kept = stream::iter(marked.collect::<Vec<_>>()).buffered(CONCURRENCY);
        without_superseded(kept.filter_map(async |meta| meta).collect().await)
    }

    async fn open_wanted(&self, wanted: Vec<Arc<BlockMeta>>, unsure: bool) -> SyncReport {
        let inner = &self.inner;
        let before = inner.blocks.load_full();
        let ids: BTreeSet<BlockId> = wanted.iter().map(|meta| meta.ulid).collect();
        let mut open = before.open.clone();
        if !unsure {
            open.retain(|id, _| ids.contains(id));
        }
        let dropped = before.open.len() - open.len();
        let missing = wanted.into_iter().filter(|meta| !open.contains_key(&meta.ulid)).collect::<Vec<_>>();
        let opening = missing.into_iter().map(|meta| async {
            let result = inner.bucket.open_block(Arc::clone(&meta)).await;
            (meta, result)
        });
        let opened: Vec<_> = stream::iter(opening).buffered(CONCURRENCY).collect().await;
        let mut faulty = BTreeMap::new();
        let mut n_opened = 0;
        for (meta, result) in opened {
            inner.metrics.block_loads.inc();
            match result {
                Ok(block) => {
                    n_opened += 1;
                    open.insert(meta.ulid, Arc::<BucketBlock>::new(block));
                }
                Err(error) => {
                    inner.metrics.block_load_failures.inc();
                    warn!(block = %meta.ulid, kind = ?error.kind(), error = %error, "skipped block");
                    faulty.insert(meta.ulid, FaultyBlock { meta, reason: error.to_string() });
                }
            }
        }
        inner.metrics.block_drops.inc_by(dropped as u64);
        inner.metrics.blocks_loaded.set(open.len() as i64);
        if n_opened > 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |age| age.as_secs_f64());
            inner.metrics.last_loaded_seconds.set(now);
        }
        let served = open.len();
        let report =
            SyncReport { served, opened: n_opened, dropped, faulty: faulty.len(), ..SyncReport::default() };
        inner.blocks.store(Arc::new(Blocks::new(open, faulty)));
        report
    }
}

/// Leaves out a block when all blocks that it was made from went into one other block of the same labels and
/// resolution, or into all shards of such a one. Of equal sources the oldest block stays. A downsampled shard is left out
/// too while its siblings are not downsampled yet.
fn without_superseded(metas: Vec<Arc<BlockMeta>>) -> Vec<Arc<BlockMeta>> {
    let mut out = Vec::with_capacity(metas.len());
    for family in plan::families(metas) {
        let gone: BTreeSet<BlockId> = plan::duplicates(&family).into_iter().collect();
        out.extend(family.into_iter().filter(|meta| !gone.contains(&meta.ulid)));
    }
    let unready: BTreeSet<BlockId> = plan::unready(&out).into_iter().collect();
    out.retain(|meta| !unready.contains(&meta.ulid));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> BlockId {
        BlockId::from_parts(1, n)
    }

    fn meta(n: u128, sources: &[u128]) -> Arc<BlockMeta> {
        let sources = sources.iter().map(|s| format!("\"{}\"", id(*s))).collect::<Vec<_>>().join(",");
        let json = format!(
            r#"{{"ulid":"{}","minTime":0,"maxTime":1,"version":1,"stats":{{}},"compaction":{{"level":1,"sources":[{sources}]}}}}"#,
            id(n)
        );
        Arc::new(BlockMeta::parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn superseded_blocks_are_left_out() {
        let check = |blocks: &[(u128, &[u128])], want: &[u128]| {
            let kept = without_superseded(blocks.iter().map(|(n, sources)| meta(*n, sources)).collect());
            let mut kept: Vec<_> = kept.iter().map(|m| m.ulid).collect();
            kept.sort();
            assert_eq!(kept, want.iter().map(|n| id(*n)).collect::<Vec<_>>());
        };
        check(&[(1, &[1]), (2, &[2])], &[1, 2]);
        check(&[(1, &[1]), (2, &[2]), (3, &[1, 2])], &[3]);
        check(&[(1, &[1]), (2, &[1])], &[1]);
        check(&[(3, &[1, 2]), (4, &[2, 5])], &[3, 4]);
    }
}
