//! The state that a compactor keeps between iterations.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tithon_engine::{BlockId, BlockMeta};

/// A list of blocks for the web API.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The blocks by id.
    pub(crate) blocks: Vec<Arc<BlockMeta>>,
    /// Time of the last sync, milliseconds since the Unix epoch.
    pub(crate) refreshed_at_ms: i64,
    /// Why the last sync failed, if it did; the list is then that of the sync before.
    pub(crate) error: Option<String>,
}

/// Blocks that are being read: neither retention nor deletion may take them away meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Busy(Mutex<HashSet<BlockId>>);

impl Busy {
    pub(crate) fn contains(&self, block: BlockId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&block)
    }

    /// Holds blocks until the answer is dropped.
    pub(crate) fn hold(&self, blocks: impl IntoIterator<Item = BlockId>) -> Held<'_> {
        let held: Vec<BlockId> = blocks.into_iter().collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(&held);
        Held { busy: self, held }
    }
}

/// Blocks held busy.
pub(crate) struct Held<'b> {
    busy: &'b Busy,
    held: Vec<BlockId>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut busy = self.busy.0.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|block| !self.held.contains(block));
    }
}
