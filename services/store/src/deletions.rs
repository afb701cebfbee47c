//! Requests to delete series, as the store applies them: to what it reads of each block, from the sync on that finds them.

use std::sync::Arc;

use tithon_bucket::{DeletionRecord, Deletions};
use tithon_engine::plan::BlockDeletion;
use tithon_engine::{BlockId, BlockMeta};
use tracing::warn;

use crate::blocks::Blocks;
use crate::store::Inner;

/// What requests delete of one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfBlock {
    requests: Vec<BlockId>,
    deletions: Arc<[BlockDeletion]>,
}

impl OfBlock {
    /// What the requests in force delete of a block.
    pub(crate) fn new(deletions: &Deletions, meta: &BlockMeta) -> OfBlock {
        let of = |record: &Arc<DeletionRecord>| Some((record.deletion.id, record.deletion.pending(meta)?));
        let (requests, deletions): (Vec<_>, Vec<_>) = deletions.all().filter_map(of).unzip();
        OfBlock { requests, deletions: deletions.into() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(crate) fn all(&self) -> &[BlockDeletion] {
        &self.deletions
    }
}

impl Inner {
    /// Takes in the requests that a look at the bucket found in force; answers with the served blocks of which they delete
    /// something else than before.
    pub(crate) fn update_deletions(&self, found: &Deletions, blocks: &Blocks) -> Vec<BlockId> {
        for (request, error) in found.unreadable() {
            warn!(%request, error, "a request to delete series cannot be read and is not applied");
        }
        self.metrics.deletions.set(found.all().len() as i64);
        self.metrics.deletions_unreadable.set(found.unreadable().len() as i64);
        let differs =
            |meta: &BlockMeta, before: &OfBlock| OfBlock::new(found, meta).requests != before.requests;
        let changed = blocks.served.values().filter(|block| differs(block.meta(), block.deletions()));
        let changed = changed.map(|block| block.id()).collect();
        self.deletions.store(Arc::new(found.clone()));
        changed
    }
}
