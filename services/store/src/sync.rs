//! Keeping up with the bucket: blocks come, go, are marked, and supersede each other.
//! Thanos `pkg/block/fetcher.go`, `pkg/store/bucket.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::{StreamExt, stream};
use tithon_bucket::{BucketBlock, BucketError, Catalogue};
use tithon_engine::{BlockId, BlockMeta, Resolution, plan};
use tithon_runtime::Shutdown;
use tracing::{info, warn};

use crate::blocks::{Blocks, FaultyBlock};
use crate::store::now_ms;
use crate::{Store, StoreError};

/// Blocks opened at once.
const CONCURRENCY: usize = 20;

/// The result of a sync with the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Blocks that are served now.
    pub served: usize,
    /// Blocks opened by this synchronisation.
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
    /// Syncs with the bucket: opens new blocks and those whose files were replaced, and drops those that have gone once
    /// what supersedes them is open. When the store failed to answer for some blocks, none is dropped.
    pub async fn sync(&self) -> Result<SyncReport, StoreError> {
        let inner = &self.inner;
        let mut catalogue = inner.catalogue.lock().await;
        inner.metrics.syncs.inc();
        let mut changed = changed(inner.blocks.load_full()).await;
        let found = catalogue.look().await;
        let found = found.inspect_err(|_| {
            inner.metrics.sync_failures.inc();
        })?;
        for faulty in found.corrupt.iter().chain(&found.failed) {
            warn!(block = %faulty.block, kind = ?faulty.error.kind(), error = %faulty.error, "skipped block");
        }
        let unsure = !found.failed.is_empty();
        if !unsure {
            let complete = catalogue.blocks().keys().copied().collect();
            inner.bucket.forget_other_headers(complete).await;
        }
        changed.extend(&found.replaced);
        let candidates = self.candidates(&catalogue);
        let n_candidates = candidates.live.len() + candidates.marked.len();
        let mut states = candidates.excluded.clone();
        states.insert("marked-for-deletion", candidates.marked.len() as i64);
        let report = self.open_wanted(candidates, unsure, &changed).await;
        let report =
            SyncReport { partial: found.partial.len(), corrupt_metas: found.corrupt.len(), ..report };
        let others = report.served + report.faulty + states["marked-for-deletion"] as usize;
        states.insert("duplicate", n_candidates.saturating_sub(others) as i64);
        states.insert("loaded", report.served as i64);
        states.insert("no-meta-json", report.partial as i64);
        states.insert("corrupted-meta-json", report.corrupt_metas as i64);
        states.insert("failed", found.failed.len() as i64);
        inner.metrics.set_states(&states);
        Ok(report)
    }

    /// Syncs with the bucket at an interval, until the shutdown.
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

    /// The blocks that may be served: those in the scope and of a known resolution. Others are counted by what excludes them.
    fn candidates(&self, catalogue: &Catalogue) -> Candidates {
        let (scope, now) = (&self.inner.options.scope, now_ms());
        let delay = self.inner.options.ignore_deletion_marks_delay.as_secs() as i64;
        let mut candidates = Candidates::default();
        for block in catalogue.blocks().values() {
            let (meta, id) = (block.meta(), block.meta().ulid);
            if let Some(state) = scope.excludes(meta, now) {
                *candidates.excluded.entry(state).or_default() += 1;
                continue;
            }
            let resolution = meta.resolution_ms();
            if Resolution::from_ms(resolution).is_none() {
                warn!(block = %id, resolution, "skipped block of unknown resolution");
                continue;
            }
            let mark = block.deletion_mark().unwrap_or_else(|error| {
                warn!(block = %id, error = %error, "deletion mark cannot be read");
                None
            });
            let is_gone = mark.is_some_and(|mark| (now / 1000).saturating_sub(mark.deletion_time) > delay);
            let list = if is_gone { &mut candidates.marked } else { &mut candidates.live };
            list.push(Arc::clone(meta));
        }
        candidates
    }

    async fn open_wanted(
        &self,
        candidates: Candidates,
        unsure: bool,
        changed: &BTreeSet<BlockId>,
    ) -> SyncReport {
        let inner = &self.inner;
        let before = inner.blocks.load_full();
        let is_kept = |id: &BlockId| !changed.contains(id) || !candidates.has(*id);
        let mut open = before.open.clone();
        open.retain(|id, _| is_kept(id));
        let (mut faulty, mut n_opened) = (BTreeMap::new(), 0);
        // A block that cannot be opened supersedes nothing: then its sources are wanted, and may have to be opened.
        let wanted = loop {
            let wanted = candidates.wanted(&faulty);
            let missing = wanted.iter().filter(|meta| !open.contains_key(&meta.ulid)).cloned();
            let n_faulty = faulty.len();
            for (meta, result) in self.open_all(missing.collect()).await {
                match result {
                    Ok(block) => drop(open.insert(meta.ulid, Arc::new(block))),
                    Err(error) => {
                        inner.metrics.block_load_failures.inc();
                        warn!(block = %meta.ulid, kind = ?error.kind(), error = %error, "skipped block");
                        faulty.insert(meta.ulid, FaultyBlock { meta, reason: error.to_string() });
                        continue;
                    }
                }
                n_opened += 1;
            }
            if faulty.len() == n_faulty {
                break wanted;
            }
        };
        let ids: BTreeSet<BlockId> = wanted.iter().map(|meta| meta.ulid).collect();
        if !unsure {
            open.retain(|id, _| ids.contains(id));
        }
        let dropped = before.open.keys().filter(|id| !open.contains_key(id)).count();
        let (served, n_faulty) = (open.len(), faulty.len());
        faulty.retain(|_, fault| {
            let covered = plan::is_covered(&fault.meta, &wanted);
            if covered {
                warn!(block = %fault.meta.ulid, "what the block was made of is served in its place");
            }
            !covered
        });
        inner.metrics.block_drops.inc_by(dropped as u64);
        inner.metrics.blocks_loaded.set(served as i64);
        inner.metrics.blocks_faulty.set(n_faulty as i64);
        if n_opened > 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |age| age.as_secs_f64());
            inner.metrics.last_loaded_seconds.set(now);
        }
        inner.blocks.store(Arc::new(Blocks::new(open, faulty)));
        SyncReport { served, opened: n_opened, dropped, faulty: n_faulty, ..SyncReport::default() }
    }

    async fn open_all(
        &self,
        metas: Vec<Arc<BlockMeta>>,
    ) -> Vec<(Arc<BlockMeta>, Result<BucketBlock, BucketError>)> {
        let opening = metas.into_iter().map(|meta| async {
            self.inner.metrics.block_loads.inc();
            let result = self.inner.bucket.open_block(Arc::clone(&meta), None).await;
            (meta, result)
        });
        stream::iter(opening).buffered(CONCURRENCY).collect().await
    }
}

/// Blocks that may be served.
#[derive(Default)]
struct Candidates {
    /// How many blocks are not among them, by what excludes them.
    excluded: BTreeMap<&'static str, i64>,
    live: Vec<Arc<BlockMeta>>,
    /// Those that were marked for deletion long ago. They come back while what was made of them cannot be opened.
    marked: Vec<Arc<BlockMeta>>,
}

impl Candidates {
    fn has(&self, id: BlockId) -> bool {
        self.live.iter().chain(&self.marked).any(|meta| meta.ulid == id)
    }

    /// The blocks to serve: what is not superseded by a block that can be opened.
    fn wanted(&self, faulty: &BTreeMap<BlockId, FaultyBlock>) -> Vec<Arc<BlockMeta>> {
        let faults: Vec<&BlockMeta> = faulty.values().map(|fault| &*fault.meta).collect();
        let back = self.marked.iter().filter(|meta| !faults.is_empty() && plan::is_covered(meta, &faults));
        let sound = self.live.iter().chain(back).filter(|meta| !faulty.contains_key(&meta.ulid));
        without_superseded(sound.cloned().collect())
    }
}

/// The open blocks whose files have been replaced since they were opened. Reads directories, so it must not run on threads
/// of the asynchronous runtime.
async fn changed(blocks: Arc<Blocks>) -> BTreeSet<BlockId> {
    let look = move || {
        let changed = blocks.open.values().filter(|block| !block.is_current() || block.check().is_err());
        changed.map(|block| block.id()).collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| {
        warn!(error = %error, "blocks whose files were replaced are not found this time");
        BTreeSet::new()
    })
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
    let incomplete: BTreeSet<BlockId> = plan::incomplete_shards(&out).into_iter().collect();
    out.retain(|meta| !incomplete.contains(&meta.ulid));
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
