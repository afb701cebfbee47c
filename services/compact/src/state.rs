//! The state that a compactor keeps between iterations.

use std::collections::{HashMap, HashSet};
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

/// Merges that failed although each of their blocks alone is sound: they would fail at every iteration.
#[derive(Debug, Default)]
pub(crate) struct FailedPlans(Mutex<HashMap<(String, Vec<BlockId>), Failures>>);

#[derive(Debug, Default)]
struct Failures {
    times: u32,
    last: String,
}

/// A plan that failed as often as this is given up.
const GIVEN_UP_AFTER: u32 = 2;

impl FailedPlans {
    /// Notes a failure of the plan to merge `blocks` of `group`; answers whether the plan is given up with this one.
    pub(crate) fn note(&self, group: &str, blocks: &[BlockId], error: &str) -> bool {
        let mut plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = plans.entry(key(group, blocks)).or_default();
        failures.times += 1;
        failures.last = error.to_owned();
        failures.times == GIVEN_UP_AFTER
    }

    /// The last error of a plan that is given up.
    pub(crate) fn given_up(&self, group: &str, blocks: &[BlockId]) -> Option<String> {
        let plans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = plans.get(&key(group, blocks)).filter(|failures| failures.times >= GIVEN_UP_AFTER);
        failures.map(|failures| failures.last.clone())
    }
}

/// A plan is the same whatever the order of its blocks.
fn key(group: &str, blocks: &[BlockId]) -> (String, Vec<BlockId>) {
    let mut blocks = blocks.to_vec();
    blocks.sort_unstable();
    (group.to_owned(), blocks)
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
