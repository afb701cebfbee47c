//! What is known of the bucket: one look, shared by all loops for a while, and what this process changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tithon_bucket::{Catalogue, Deletions, KnownBlock, Look};
use tithon_engine::{BlockId, BlockMeta};

use crate::CompactError;

/// Blocks that this process changed.
#[derive(Debug, Default)]
pub(crate) struct Changed(Mutex<BTreeSet<BlockId>>);

impl Changed {
    /// Notes a block, to be looked at again.
    pub(crate) fn note(&self, block: BlockId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(block);
    }

    fn take(&self) -> BTreeSet<BlockId> {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The blocks of the bucket and their marks.
#[derive(Debug)]
pub(crate) struct Inventory {
    catalogue: Catalogue,
    partial: BTreeSet<BlockId>,
    /// Blocks whose meta.json cannot be used, and why.
    corrupt: BTreeMap<BlockId, String>,
    /// When the bucket was last listed; `None` where the bucket did not answer for all blocks since.
    listed: Option<Instant>,
    /// Blocks that are to be looked at again.
    pending: BTreeSet<BlockId>,
}

impl Inventory {
    pub(crate) fn new(catalogue: Catalogue) -> Inventory {
        Inventory {
            catalogue,
            partial: BTreeSet::new(),
            corrupt: BTreeMap::new(),
            listed: None,
            pending: BTreeSet::new(),
        }
    }

    /// Complete blocks by id.
    pub(crate) fn blocks(&self) -> &BTreeMap<BlockId, KnownBlock> {
        self.catalogue.blocks()
    }

    /// The requests to delete series that are in force.
    pub(crate) fn deletions(&self) -> &Deletions {
        self.catalogue.deletions()
    }

    /// Metas of the complete blocks, ascending by id.
    pub(crate) fn metas(&self) -> impl Iterator<Item = &Arc<BlockMeta>> {
        self.catalogue.metas()
    }

    /// Blocks without meta.json, ascending.
    pub(crate) fn partial(&self) -> &BTreeSet<BlockId> {
        &self.partial
    }

    /// Blocks whose meta.json cannot be used, and why.
    pub(crate) fn corrupt(&self) -> &BTreeMap<BlockId, String> {
        &self.corrupt
    }

    /// Lists the bucket. Fails when it cannot be listed, or did not answer for a block.
    pub(crate) async fn list(&mut self, changed: &Changed) -> Result<(), CompactError> {
        // What changes while the bucket is listed may be missing in the listing.
        self.pending.extend(changed.take());
        self.listed = None;
        let begin = Instant::now();
        let look = self.catalogue.look().await?;
        (self.partial, self.corrupt) = Default::default();
        self.pending.clear();
        self.apply(look)?;
        self.listed = Some(begin);
        Ok(())
    }

    /// Lists the bucket unless that was done less than `age_max` ago; else looks at `blocks` and at what this process changed
    /// since, and makes no request where that is nothing. Fails as [`Inventory::list`] does.
    pub(crate) async fn update(
        &mut self,
        age_max: Duration,
        changed: &Changed,
        blocks: &[BlockId],
    ) -> Result<(), CompactError> {
        let Some(listed) = self.listed.filter(|listed| listed.elapsed() < age_max) else {
            return self.list(changed).await;
        };
        self.pending.extend(changed.take());
        self.pending.extend(blocks);
        if self.pending.is_empty() {
            return Ok(());
        }
        self.listed = None;
        let look = self.catalogue.look_at(&self.pending).await?;
        for block in mem::take(&mut self.pending) {
            self.partial.remove(&block);
            self.corrupt.remove(&block);
        }
        self.apply(look)?;
        self.listed = Some(listed);
        Ok(())
    }

    fn apply(&mut self, look: Look) -> Result<(), CompactError> {
        self.partial.extend(look.partial);
        self.corrupt.extend(look.corrupt.into_iter().map(|faulty| (faulty.block, faulty.error.to_string())));
        let failed = look.failed.len();
        match look.failed.into_iter().next() {
            Some(first) => {
                Err(CompactError::NoAnswer { failed, block: first.block, source: Box::new(first.error) })
            }
            None => Ok(()),
        }
    }
}
