//! Requests to delete series, as the store applies them: to what it reads of each block, from the sync on that finds them.

use std::sync::Arc;

use tithon_bucket::{DeletionRecord, Deletions};
use tithon_engine::plan::BlockDeletion;
use tithon_engine::{BlockId, BlockMeta};

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

    /// Whether other requests are in force than in `other`.
    pub(crate) fn differs_from(&self, other: &OfBlock) -> bool {
        self.requests != other.requests
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(crate) fn all(&self) -> &[BlockDeletion] {
        &self.deletions
    }
}
