//! The report of an iteration: what it did, and which faults it met.

use std::sync::{Mutex, PoisonError};

use tithon_engine::BlockId;
use tracing::{error, warn};

use crate::CompactError;

/// Something that went wrong and was passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The block at fault, where one is.
    pub block: Option<BlockId>,
    /// The group that was worked on, where one was.
    pub group: Option<String>,
    /// What is wrong, and where.
    pub what: String,
    /// Whether the block was marked, so that it is left alone from now on.
    pub marked: bool,
    /// Whether the work is left undone and a later attempt may succeed.
    pub unfinished: bool,
}

/// What an iteration did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Blocks made by merging.
    pub compacted: usize,
    /// Blocks made by downsampling.
    pub downsampled: usize,
    /// Blocks written anew without some of their series or samples, or emptied.
    pub rewritten: usize,
    /// Requests to delete series that were carried out on all blocks.
    pub deletions_done: usize,
    /// Blocks marked for deletion, for whatever reason.
    pub marked_for_deletion: usize,
    /// Blocks deleted, marked or partial.
    pub deleted: usize,
    /// What was passed over.
    pub faults: Vec<Fault>,
}

impl Report {
    /// Whether something is left undone that another iteration may do.
    pub fn is_unfinished(&self) -> bool {
        self.faults.iter().any(|fault| fault.unfinished)
    }
}

/// A report that several tasks write.
#[derive(Debug, Default)]
pub(crate) struct Reporter(Mutex<Report>);

impl Reporter {
    pub(crate) fn add(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Logs a fault and keeps it.
    pub(crate) fn fault(&self, fault: Fault) {
        let (block, group) = (fault.block.map(|b| b.to_string()).unwrap_or_default(), fault.group.as_deref());
        let (group, error) = (group.unwrap_or_default(), &fault.what);
        if fault.unfinished {
            warn!(block, group, error, "left undone for now");
        } else {
            error!(block, group, error, marked = fault.marked, "left out");
        }
        self.add(|report| report.faults.push(fault));
    }

    /// Keeps an error that another attempt may get over.
    pub(crate) fn unfinished(&self, group: Option<&str>, error: &CompactError) {
        self.fault(Fault {
            block: error.block(),
            group: group.map(str::to_owned),
            what: error.to_string(),
            marked: false,
            unfinished: true,
        });
    }

    pub(crate) fn has_faults(&self) -> bool {
        !self.0.lock().unwrap_or_else(PoisonError::into_inner).faults.is_empty()
    }

    pub(crate) fn take(&self) -> Report {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
