//! Before a replaced block is deleted, its successors are checked once more: that they are there, complete and readable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use tithon_bucket::Mark;
use tithon_engine::plan::{self, Verdict};
use tithon_engine::{BlockId, BlockMeta};
use tithon_runtime::now_ms;
use tracing::warn;

use crate::view::View;
use crate::{CompactError, Compactor};

/// How long a fault of a successor is remembered.
const FAULT_KEPT_MS: i64 = 3_600_000;

/// Details of a mark that is set because other blocks hold the data; Thanos writes the same words.
pub(crate) const SOURCE_OF_COMPACTED: &str = "source of compacted block";
/// The same of a block that was repaired.
pub(crate) const SOURCE_OF_REPAIRED: &str = "source of repaired block";
/// The same of a block that was written anew without some of its series or samples.
pub(crate) const REWRITTEN: &str = "block rewritten";
/// Details of the mark of a block of which nothing was left then.
pub(crate) const EMPTIED: &str = "all of its samples were deleted or are past their retention";
/// The same of a block that is found to be superseded.
pub(crate) const OUTDATED: &str = "outdated block";

/// All complete blocks of the bucket, by labels and resolution, without replica labels.
struct Families {
    families: Vec<Vec<BlockMeta>>,
    /// In which family a block is.
    places: BTreeMap<BlockId, usize>,
}

impl Families {
    fn new(metas: impl Iterator<Item = BlockMeta>) -> Families {
        let families = plan::families(metas);
        let place = |(i, family): (usize, &Vec<BlockMeta>)| {
            family.iter().map(|meta| (meta.ulid, i)).collect::<Vec<_>>()
        };
        let places = families.iter().enumerate().flat_map(place).collect();
        Families { families, places }
    }

    /// A block, and all of its family.
    fn of(&self, block: BlockId) -> Option<(&BlockMeta, &[BlockMeta])> {
        let family = &self.families[*self.places.get(&block)?];
        Some((family.iter().find(|meta| meta.ulid == block)?, family))
    }
}

impl Compactor {
    /// Of marked blocks those that may be deleted: a block that was marked because others hold its data stays until they
    /// are found and have been read back. A block whose retention is over, or without samples, needs no successor, and
    /// where the mark does not name one, as Thanos's do not, it is enough that none is found.
    pub(crate) async fn deletable(&self, due: Vec<&Mark>, view: &View) -> Vec<BlockId> {
        let is_replaced = |mark: &Mark| {
            [SOURCE_OF_COMPACTED, SOURCE_OF_REPAIRED, REWRITTEN, OUTDATED].contains(&mark.details.as_str())
        };
        if !due.iter().any(|mark| is_replaced(mark)) {
            return due.iter().map(|mark| mark.block).collect();
        }
        let metas: Vec<Arc<BlockMeta>> = self.inner.inventory.lock().await.metas().cloned().collect();
        let plain = |meta: &Arc<BlockMeta>| {
            plan::without_replica_labels(BlockMeta::clone(meta), &self.inner.options.replica_labels).0
        };
        let families = Families::new(metas.iter().map(plain));
        // A block that was emptied stands for what went into it until it is gone.
        let is_gone = |mark: &&Mark| mark.details != EMPTIED;
        let marked: BTreeSet<BlockId> =
            view.deletion.values().filter(is_gone).map(|mark| mark.block).collect();
        let (mut checked, mut out) = (BTreeMap::new(), Vec::new());
        for mark in due {
            let why = match families.of(mark.block).filter(|_| is_replaced(mark)) {
                Some((block, family)) => self.missed(mark, block, family, &marked, &mut checked).await,
                None => None,
            };
            let Some(why) = why else {
                out.push(mark.block);
                continue;
            };
            self.inner.metrics.deletions_held_back.inc();
            let block = mark.block;
            warn!(%block, why, "block is marked for deletion and kept: its data may be nowhere else");
        }
        out
    }

    /// Why a block is still needed; `None` when its retention is over, or others hold its data.
    async fn missed(
        &self,
        mark: &Mark,
        block: &BlockMeta,
        family: &[BlockMeta],
        marked: &BTreeSet<BlockId>,
        checked: &mut BTreeMap<BlockId, Option<String>>,
    ) -> Option<String> {
        if self.is_over(block) {
            return None;
        }
        let holders = plan::holders(block, family, marked).unwrap_or_else(|| {
            // A block that names no sources is found among the parents of its successor.
            let is_child = |meta: &&BlockMeta| {
                !marked.contains(&meta.ulid) && meta.compaction.parents.iter().any(|p| p.ulid == block.ulid)
            };
            family.iter().find(is_child).map(|meta| meta.ulid).into_iter().collect()
        });
        if holders.is_empty() && !mark.replaced_by.is_empty() {
            let by: Vec<String> = mark.replaced_by.iter().map(BlockId::to_string).collect();
            return Some(format!("neither {} nor another block that holds its data is there", by.join(", ")));
        }
        for successor in family.iter().filter(|meta| holders.contains(&meta.ulid)) {
            let fault = match checked.get(&successor.ulid) {
                Some(known) => known.clone(),
                None => self.fault_of(successor).await,
            };
            checked.insert(successor.ulid, fault.clone());
            if let Some(fault) = fault {
                return Some(format!("its successor is at fault: {fault}"));
            }
        }
        None
    }

    /// Whether a block is past its retention, or never had a sample.
    fn is_over(&self, meta: &BlockMeta) -> bool {
        let is_empty = meta.stats.num_samples == 0 && meta.stats.num_chunks == 0;
        is_empty || matches!(self.inner.options.policy.verdict(meta, now_ms()), Verdict::Drop(_))
    }

    /// What is wrong with a successor. A fault is remembered for an hour: a large block is not read again every few minutes.
    async fn fault_of(&self, successor: &BlockMeta) -> Option<String> {
        let (id, now_ms) = (successor.ulid, now_ms());
        let remembered = || self.inner.faulty.lock().unwrap_or_else(PoisonError::into_inner);
        let known = remembered().get(&id).filter(|(at_ms, _)| now_ms - at_ms < FAULT_KEPT_MS).cloned();
        if let Some((_, fault)) = known {
            return Some(fault);
        }
        let fault = self.check_successor(successor).await.err().map(|error| error.to_string());
        match &fault {
            Some(fault) => drop(remembered().insert(id, (now_ms, fault.clone()))),
            None => drop(remembered().remove(&id)),
        }
        fault
    }

    /// Checks that a block which replaces others is complete, and reads it back.
    pub(crate) async fn check_successor(&self, successor: &BlockMeta) -> Result<(), CompactError> {
        self.inner.bucket.check_files(successor).await?;
        let block = self.inner.bucket.open_files(Arc::new(successor.clone())).await?;
        self.read_back(Arc::new(block), self.inner.options.verify).await.map(drop)
    }
}
