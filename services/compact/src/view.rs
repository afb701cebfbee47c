//! Sync with the bucket: which blocks there are, and which of them this compactor works on. Thanos
//! `pkg/block/fetcher.go`, `cmd/thanos/compact.go`.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tithon_bucket::{BucketError, KnownBlock, Mark, MarkKind};
use tithon_engine::plan::{self, Superseded};
use tithon_engine::{BlockId, BlockMeta};
use tithon_runtime::now_ms;
use tracing::warn;

use crate::inventory::Inventory;
use crate::metrics::STATES;
use crate::state::Loaded;
use crate::{CompactError, Compactor};

/// The blocks that a sync found, and their marks.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The blocks to work on, without their replica labels, ascending by id.
    pub(crate) blocks: Vec<BlockMeta>,
    /// Deletion marks of blocks that passed the filters before them.
    pub(crate) deletion: BTreeMap<BlockId, Mark>,
    /// Blocks not to be merged.
    pub(crate) no_compact: HashSet<BlockId>,
    /// Blocks not to be downsampled.
    pub(crate) no_downsample: HashSet<BlockId>,
    /// Blocks on which requests to delete series are still to be carried out.
    pub(crate) pending: HashSet<BlockId>,
    /// Blocks left out because others hold their data.
    pub(crate) superseded: Vec<(Superseded, BlockMeta)>,
    /// Blocks without meta.json.
    pub(crate) partial: Vec<BlockId>,
    /// Blocks whose meta.json or marks cannot be used, with the reason.
    pub(crate) unusable: Vec<(BlockId, String)>,
}

#[derive(Default)]
struct Marks {
    deletion: Option<Mark>,
    no_compact: Option<Mark>,
    no_downsample: Option<Mark>,
}

/// Number of blocks by state.
type Counts = BTreeMap<&'static str, i64>;

impl Compactor {
    /// Lists the bucket and applies the filters. Fails when it cannot be listed or did not answer for a block: then nothing
    /// can be planned.
    pub(crate) async fn sync(&self) -> Result<View, CompactError> {
        self.sync_within(Duration::ZERO, &[]).await
    }

    /// The same by the last listing, if that is younger than the interval of upkeep, and by what this process changed since.
    /// `blocks` are looked at again in any case.
    pub(crate) async fn update(&self, blocks: &[BlockId]) -> Result<View, CompactError> {
        self.sync_within(self.inner.options.upkeep_interval, blocks).await
    }

    async fn sync_within(&self, age_max: Duration, blocks: &[BlockId]) -> Result<View, CompactError> {
        let begin = Instant::now();
        let result = self.look(age_max, blocks).await;
        let inner = &self.inner;
        inner.metrics.syncs.inc();
        inner.metrics.sync_seconds.observe(begin.elapsed().as_secs_f64());
        let mut loaded = inner.loaded.write().unwrap_or_else(PoisonError::into_inner);
        loaded.refreshed_at_ms = now_ms();
        match result {
            Ok(view) => {
                loaded.blocks = view.blocks.iter().map(|block| Arc::new(block.clone())).collect();
                loaded.error = None;
                Ok(view)
            }
            Err(error) => {
                inner.metrics.sync_failures.inc();
                loaded.error = Some(error.to_string());
                Err(error)
            }
        }
    }

    async fn look(&self, age_max: Duration, blocks: &[BlockId]) -> Result<View, CompactError> {
        let mut inventory = self.inner.inventory.lock().await;
        let looked = inventory.update(age_max, &self.inner.changed, blocks).await;
        let mut counts = Counts::new();
        let mut view = View { partial: inventory.partial().iter().copied().collect(), ..View::default() };
        counts.insert("no-meta-json", view.partial.len() as i64);
        counts.insert("corrupted-meta-json", inventory.corrupt().len() as i64);
        if let Err(error) = looked {
            if let CompactError::NoAnswer { failed, .. } = &error {
                counts.insert("failed", *failed as i64);
                self.show(&counts);
            }
            return Err(error);
        }
        view.unusable.extend(inventory.corrupt().iter().map(|(block, what)| (*block, what.clone())));
        self.inner.requests.set(inventory.deletions());
        self.inner.metrics.deletions.set(inventory.deletions().all().len() as i64);
        let result = self.filter(&inventory, &mut view, &mut counts);
        self.show(&counts);
        result.map(|()| view)
    }

    fn show(&self, counts: &Counts) {
        for state in STATES {
            let count = counts.get(state).copied().unwrap_or_default();
            self.inner.metrics.metas_synced.get_or_create(&[("state", state)]).set(count);
        }
    }

    /// The filters of Thanos's compactor, in its order.
    fn filter(
        &self,
        inventory: &Inventory,
        view: &mut View,
        counts: &mut Counts,
    ) -> Result<(), CompactError> {
        let (options, now) = (&self.inner.options, now_ms());
        let mut kept = Vec::new();
        for block in inventory.blocks().values() {
            match options.scope.excludes(block.meta(), now) {
                Some(state) => *counts.entry(state).or_default() += 1,
                None => kept.push(block),
            }
        }
        let kept = self.without_marked(kept, view, counts)?;
        let mut modified = 0;
        let mut blocks = Vec::with_capacity(kept.len());
        for meta in kept {
            if self.inner.requests.concern(&meta) {
                view.pending.insert(meta.ulid);
            }
            let (meta, changed) = plan::without_replica_labels((*meta).clone(), &options.replica_labels);
            modified += i64::from(changed);
            blocks.push(meta);
        }
        self.inner
            .metrics
            .metas_modified
            .get_or_create(&[("modified", "replica-label-removed")])
            .set(modified);
        without_superseded(blocks, view);
        counts.insert("duplicate", view.superseded.len() as i64);
        counts.insert("marked-for-no-compact", view.no_compact.len() as i64);
        counts.insert("marked-for-no-downsample", view.no_downsample.len() as i64);
        counts.insert("loaded", view.blocks.len() as i64);
        Ok(())
    }

    /// Looks at all marks; leaves out blocks that are marked for deletion for more than half the delay, and those whose
    /// marks are of a version that is not known.
    fn without_marked(
        &self,
        blocks: Vec<&KnownBlock>,
        view: &mut View,
        counts: &mut Counts,
    ) -> Result<Vec<Arc<BlockMeta>>, CompactError> {
        let options = &self.inner.options;
        let now_s = now_ms() / 1000;
        let half_s = i64::try_from(options.delete_delay.as_secs() / 2).unwrap_or(i64::MAX);
        let mut kept = Vec::with_capacity(blocks.len());
        for block in blocks {
            let (meta, id) = (Arc::clone(block.meta()), block.meta().ulid);
            let marks = match self.marks(block) {
                Err(error @ BucketError::MarkVersion { .. }) => {
                    view.unusable.push((id, error.to_string()));
                    continue;
                }
                result => result?,
            };
            if marks.no_compact.is_some() {
                view.no_compact.insert(id);
            }
            if marks.no_downsample.is_some() {
                view.no_downsample.insert(id);
            }
            let Some(mark) = marks.deletion else {
                kept.push(meta);
                continue;
            };
            let gone = now_s.saturating_sub(mark.time_s) > half_s;
            view.deletion.insert(id, mark);
            if gone {
                *counts.entry("marked-for-deletion").or_default() += 1;
            } else {
                kept.push(meta);
            }
        }
        Ok(kept)
    }

    fn marks(&self, block: &KnownBlock) -> Result<Marks, BucketError> {
        let no_downsample = match self.inner.options.downsampling {
            true => block.mark(MarkKind::NoDownsample)?,
            false => None,
        };
        let (deletion, no_compact) = (block.mark(MarkKind::Deletion)?, block.mark(MarkKind::NoCompact)?);
        Ok(Marks { deletion, no_compact, no_downsample })
    }

    /// Lists the bucket without any filter, for the web API.
    pub(crate) async fn look_globally(&self) {
        let mut inventory = self.inner.inventory.lock().await;
        let listed = inventory.list(&self.inner.changed).await;
        let mut global = self.inner.global.write().unwrap_or_else(PoisonError::into_inner);
        let blocks = std::mem::take(&mut global.blocks);
        let refreshed_at_ms = now_ms();
        *global = match listed {
            Ok(()) => Loaded { blocks: inventory.metas().cloned().collect(), refreshed_at_ms, error: None },
            Err(error) => Loaded { blocks, refreshed_at_ms, error: Some(error.to_string()) },
        };
    }
}

/// Sets aside, family by family, the blocks whose data others hold.
fn without_superseded(blocks: Vec<BlockMeta>, view: &mut View) {
    let unknown = blocks.iter().filter(|b| tithon_engine::Resolution::from_ms(b.resolution_ms()).is_none());
    let unknown: BTreeSet<BlockId> = unknown.map(|block| block.ulid).collect();
    for family in plan::families(blocks) {
        let superseded = plan::superseded(&family);
        for block in family {
            if unknown.contains(&block.ulid) {
                let resolution = block.resolution_ms();
                warn!(block = %block.ulid, resolution, "block of unknown resolution is left alone");
                view.unusable.push((block.ulid, format!("resolution {resolution} ms is not known")));
                continue;
            }
            match superseded.iter().find(|found| found.block == block.ulid) {
                Some(found) => view.superseded.push((found.clone(), block)),
                None => view.blocks.push(block),
            }
        }
    }
    view.blocks.sort_by_key(|block| block.ulid);
}
