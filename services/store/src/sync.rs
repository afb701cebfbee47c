//! Syncs with the bucket: new, deleted, marked and superseded blocks. Thanos `pkg/block/fetcher.go`,
//! `pkg/store/bucket.go`.
//!
//! A block is served as soon as its meta.json is known, and opened when a request needs it. The sync itself opens two
//! kinds of blocks: blocks that supersede others still in the bucket, because the others may be dropped only when their
//! successor can be opened; and blocks that were open and were replaced, or could not be opened and are tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use tithon_bucket::{Catalogue, Deletions, Look};
use tithon_engine::{BlockId, Resolution};
use tithon_runtime::{Shutdown, now_ms};
use tracing::{info, warn};

use crate::blocks::{Blocks, FaultyBlock};
use crate::deletions::OfBlock;
use crate::metrics::LeftOut;
use crate::served::ServedBlock;
use crate::store::{Inner, LastSync};
use crate::succession::Candidates;
use crate::{Store, StoreError};

/// Result of a sync with the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Blocks that are served after the sync.
    pub served: usize,
    /// Blocks that were not served before the sync.
    pub added: usize,
    /// Blocks opened by the sync itself.
    pub opened: usize,
    /// Blocks that are no longer served.
    pub dropped: usize,
    /// Blocks without meta.json.
    pub partial: usize,
    /// Blocks with a damaged meta.json.
    pub corrupt_metas: usize,
    /// Blocks that should be served but cannot be opened.
    pub faulty: usize,
}

/// Longest interval between two checks for idle blocks.
const CLOSE_INTERVAL_MAX: Duration = Duration::from_secs(30);

impl Store {
    /// Syncs with the bucket: serves new blocks, reopens blocks whose files were replaced, and drops deleted blocks
    /// once their successors are open. When the bucket failed to answer for some blocks, none is dropped.
    ///
    /// Fails when the bucket cannot be listed.
    pub async fn sync(&self) -> Result<SyncReport, StoreError> {
        let inner = &self.inner;
        let mut catalogue = inner.catalogue.lock().await;
        inner.metrics.syncs.inc();
        let mut changed = changed(inner.blocks.load_full()).await;
        let found = catalogue.look().await;
        let error = found.as_ref().err().map(ToString::to_string);
        let at_ms = now_ms().unsigned_abs();
        inner.last_sync.store(Arc::new(LastSync { at_ms, error }));
        let found = found.inspect_err(|_| {
            inner.metrics.sync_failures.inc();
        })?;
        for faulty in found.corrupt.iter().chain(&found.failed) {
            warn!(block = %faulty.block, kind = ?faulty.error.kind(), error = %faulty.error, "skipped block");
        }
        changed.extend(&found.replaced);
        let unsure = !found.failed.is_empty();
        let mut complete: BTreeSet<BlockId> = catalogue.blocks().keys().copied().collect();
        complete.retain(|id| !changed.contains(id));
        if !unsure {
            inner.bucket.forget_other_headers(complete).await;
        }
        let before = inner.blocks.load_full();
        changed.extend(inner.update_deletions(catalogue.deletions(), &before));
        let report = self.serve(&catalogue, Plan::after_sync(&before, changed, unsure)).await;
        let report =
            SyncReport { partial: found.partial.len(), corrupt_metas: found.corrupt.len(), ..report };
        self.show(&report, &found);
        Ok(report)
    }

    fn show(&self, report: &SyncReport, found: &Look) {
        self.inner.metrics.set_left_out(LeftOut::CorruptMeta, report.corrupt_metas);
        let states = [
            ("loaded", report.served),
            ("no-meta-json", report.partial),
            ("corrupted-meta-json", report.corrupt_metas),
            ("failed", found.failed.len()),
        ];
        for (state, count) in states {
            self.inner.metrics.metas_synced.get_or_create(&[("state", state)]).set(count as i64);
        }
    }

    /// Syncs with the bucket at an interval and closes idle blocks, until the shutdown.
    pub async fn keep_synced(&self, shutdown: Shutdown) {
        let options = &self.inner.options;
        let close_interval = match options.idle_timeout / 10 {
            Duration::ZERO => CLOSE_INTERVAL_MAX,
            tenth => tenth.clamp(Duration::from_millis(100), CLOSE_INTERVAL_MAX),
        };
        // An interval too long for the clock means never.
        let next = || Instant::now().checked_add(options.sync_interval);
        let mut next_sync = next();
        loop {
            let left = next_sync.map(|next| next.saturating_duration_since(Instant::now()));
            let pause = left.map_or(close_interval, |left| close_interval.min(left));
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(pause) => {}
            }
            self.close_idle_blocks();
            if next_sync.is_none_or(|next| Instant::now() < next) {
                continue;
            }
            match self.sync().await {
                Ok(report) => info!(?report, "synced blocks"),
                Err(error) => warn!(kind = ?error.kind(), error = %error, "sync failed"),
            }
            next_sync = next();
        }
    }

    /// Serves the sources of a block that was found damaged in its place.
    pub(crate) async fn settle(&self) {
        let catalogue = self.inner.catalogue.lock().await;
        let before = self.inner.blocks.load_full();
        self.serve(&catalogue, Plan::after_fault(&before)).await;
    }

    async fn serve(&self, catalogue: &Catalogue, plan: Plan) -> SyncReport {
        let inner = &self.inner;
        let before = inner.blocks.load_full();
        let candidates = self.candidates(catalogue);
        let Plan { replaced, to_open, mut faulty, unsure } = plan;
        let mut served = before.served.clone();
        served.retain(|id, _| !replaced.contains(id) || !candidates.has(*id));
        let mut opened = 0;
        // A block that cannot be opened supersedes nothing: then its sources are wanted, and may have to be opened too.
        let wanted = loop {
            let succession = candidates.succession(&faulty);
            let mut opening = Vec::new();
            for meta in &succession.wanted {
                let block = served.entry(meta.ulid).or_insert_with(|| {
                    let objects = catalogue.blocks().get(&meta.ulid).and_then(|known| known.objects());
                    let deletions = OfBlock::new(&inner.deletions.load(), meta);
                    Arc::new(ServedBlock::new(Arc::clone(meta), objects.cloned(), deletions))
                });
                let is_successor = succession.successors.contains(&meta.ulid);
                if !block.was_opened() && (is_successor || to_open.contains(&meta.ulid)) {
                    opening.push(Arc::clone(block));
                }
            }
            let n_faulty = faulty.len();
            for (block, result) in self.open_all(opening).await {
                match result {
                    Ok(_) => opened += 1,
                    Err(error) => {
                        served.remove(&block.id());
                        let (meta, reason) = (Arc::clone(block.meta()), error.to_string());
                        faulty.insert(block.id(), FaultyBlock { meta, reason });
                    }
                }
            }
            if faulty.len() == n_faulty {
                break succession.wanted;
            }
        };
        let ids: BTreeSet<BlockId> = wanted.iter().map(|meta| meta.ulid).collect();
        served.retain(|id, _| ids.contains(id) || (unsure && !faulty.contains_key(id)));
        let n_faulty = faulty.len();
        faulty.retain(|_, fault| {
            let covered = tithon_engine::plan::is_covered(&fault.meta, &wanted);
            if covered {
                warn!(block = %fault.meta.ulid, "block cannot be served, its source blocks are served instead");
            }
            !covered
        });
        // The data of the other faulty blocks is served from their sources.
        let n_left_out = faulty.len();
        let n_cut = served.values().filter(|block| !block.deletions().is_empty()).count();
        inner.metrics.deletion_blocks.set(n_cut as i64);
        let report = self.publish(&before, Blocks::new(served, faulty));
        inner.metrics.blocks_faulty.set(n_faulty as i64);
        inner.metrics.set_left_out(LeftOut::Damaged, n_left_out);
        let mut excluded = candidates.excluded.clone();
        excluded.insert("marked-for-deletion", candidates.marked.len() as i64);
        let others = wanted.len() + n_faulty;
        excluded.insert("duplicate", candidates.live.len().saturating_sub(others) as i64);
        inner.metrics.set_excluded(&excluded);
        SyncReport { opened, faulty: n_faulty, ..report }
    }

    /// Replaces the served blocks.
    fn publish(&self, before: &Blocks, blocks: Blocks) -> SyncReport {
        let inner = &self.inner;
        let mut dropped = 0;
        for (id, block) in &before.served {
            match blocks.served.get(id) {
                Some(same) if Arc::ptr_eq(block, same) => continue,
                Some(_) => {}
                None => dropped += 1,
            }
            block.close(inner);
        }
        let added = blocks.served.keys().filter(|id| !before.served.contains_key(id)).count();
        inner.metrics.block_drops.inc_by(dropped as u64);
        inner.metrics.blocks_loaded.set(blocks.served.len() as i64);
        if added > 0 {
            inner.metrics.last_loaded_seconds.set(now_ms() as f64 / 1e3);
        }
        let report = SyncReport { served: blocks.served.len(), added, dropped, ..SyncReport::default() };
        inner.blocks.store(Arc::new(blocks));
        report
    }

    /// The blocks in the scope and of a known resolution, which may be served. The others are counted by reason.
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

    async fn open_all(
        &self,
        blocks: Vec<Arc<ServedBlock>>,
    ) -> Vec<(Arc<ServedBlock>, Result<(), StoreError>)> {
        let at_once = blocks.len().max(1);
        let opening = blocks.into_iter().map(|block| async {
            let result = block.open(&self.inner).await.map(drop);
            (block, result)
        });
        // The store limits how many blocks are opened at once.
        stream::iter(opening).buffer_unordered(at_once).collect().await
    }
}

/// The changes that a sync makes to the served blocks.
struct Plan {
    /// Blocks to serve as new ones, because their files were replaced or they are tried again.
    replaced: BTreeSet<BlockId>,
    /// The replaced blocks that the sync opens.
    to_open: BTreeSet<BlockId>,
    /// Blocks known to be damaged, which are not tried again.
    faulty: BTreeMap<BlockId, FaultyBlock>,
    /// Whether the bucket may have blocks that were not found.
    unsure: bool,
}

impl Inner {
    /// Takes in the requests that a look at the bucket found in force; answers with the served blocks of which they delete
    /// something else than before.
    fn update_deletions(&self, found: &Deletions, blocks: &Blocks) -> Vec<BlockId> {
        for (request, error) in found.unreadable() {
            warn!(%request, error, "a request to delete series cannot be read and is not applied");
        }
        self.metrics.deletions.set(found.all().len() as i64);
        self.metrics.deletions_unreadable.set(found.unreadable().len() as i64);
        let differs = |block: &ServedBlock| OfBlock::new(found, block.meta()).differs_from(block.deletions());
        let changed = blocks.served.values().filter(|block| differs(block));
        let changed = changed.map(|block| block.id()).collect();
        self.deletions.store(Arc::new(found.clone()));
        changed
    }
}

impl Plan {
    /// The plan after the bucket was listed: faulty blocks are tried again, and open blocks that changed are reopened.
    fn after_sync(before: &Blocks, changed: BTreeSet<BlockId>, unsure: bool) -> Plan {
        let found_faulty = before.served.values().filter(|block| block.fault().is_some());
        let mut to_open: BTreeSet<BlockId> = found_faulty.map(|block| block.id()).collect();
        let mut replaced = changed;
        replaced.extend(&to_open);
        let was_open = |id: &&BlockId| before.served.get(id).is_some_and(|block| block.if_open().is_some());
        to_open.extend(replaced.iter().filter(was_open));
        to_open.extend(before.faulty.keys());
        Plan { replaced, to_open, faulty: BTreeMap::new(), unsure }
    }

    /// The plan after requests found damaged blocks.
    fn after_fault(before: &Blocks) -> Plan {
        let mut faulty = before.faulty.clone();
        for block in before.served.values() {
            if let Some(reason) = block.fault() {
                let (meta, reason) = (Arc::clone(block.meta()), reason.to_owned());
                faulty.insert(block.id(), FaultyBlock { meta, reason });
            }
        }
        let replaced = faulty.keys().copied().collect();
        Plan { replaced, to_open: BTreeSet::new(), faulty, unsure: true }
    }
}

/// The open blocks whose files have been replaced since they were opened. Reads directories on a blocking thread.
async fn changed(blocks: Arc<Blocks>) -> BTreeSet<BlockId> {
    let look = move || {
        let open = blocks.served.values().filter_map(|block| block.if_open());
        let changed = open.filter(|block| !block.is_current() || block.check().is_err());
        changed.map(|block| block.id()).collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| {
        warn!(error = %error, "the check for replaced files failed");
        BTreeSet::new()
    })
}
