//! Measures the costs of each operator of an evaluation: time, samples, memory.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::ast::NodeId;
use crate::context::{Held, Peaks};
use crate::plan::{LEVELS_MAX, Prepared};

/// A clock that the caller provides: the time since a fixed moment, never falling.
pub type Clock<'a> = &'a (dyn Fn() -> Duration + Sync);

/// An operator of an evaluated plan and its costs, which include those of its inputs.
///
/// A selector below a range function is evaluated together with the function, whose costs include the selector's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analysis {
    /// The name, as in [`crate::PlanNode::name`].
    pub name: String,
    /// The time from its start to its end, without the time in which its consumer worked on the series that it handed
    /// over one by one.
    pub execution_time: Duration,
    /// The most samples held at once, beyond those held before.
    pub peak_samples: u64,
    /// The most bytes of intermediate results held at once, beyond those held before.
    pub peak_bytes: u64,
    /// Samples looked at; the samples of a window count at each step.
    pub total_samples: u64,
    /// Its inputs.
    pub children: Vec<Analysis>,
}

/// Accumulates costs by node.
pub(super) struct Profile<'a> {
    clock: Clock<'a>,
    costs: Mutex<Vec<Cost>>,
}

#[derive(Clone, Copy, Default)]
struct Cost {
    time: Duration,
    samples: u64,
    bytes: u64,
    total: u64,
}

/// The state when an operator started.
pub(super) struct Begun {
    at: Duration,
    total: u64,
    held: (u64, u64),
    outer: Peaks,
}

impl<'a> Profile<'a> {
    /// Costs of a query's nodes, timed by the clock.
    pub(super) fn new(prepared: &Prepared, clock: Clock<'a>) -> Profile<'a> {
        Profile { clock, costs: Mutex::new(vec![Cost::default(); prepared.expr.nodes().len()]) }
    }

    /// The time.
    pub(super) fn now(&self) -> Duration {
        (self.clock)()
    }

    /// Called when an operator starts.
    pub(super) fn begin(&self, budget: &Held) -> Begun {
        let held = budget.held();
        Begun { at: self.now(), total: budget.stats().total_samples, held, outer: budget.begin_peaks(held) }
    }

    /// Called when an operator ends; `foreign` is the time that other operators took meanwhile.
    pub(super) fn end(&self, id: NodeId, begun: &Begun, foreign: Duration, budget: &Held) {
        let peaks = budget.end_peaks(begun.outer);
        let time = self.now().saturating_sub(begun.at).saturating_sub(foreign);
        let mut costs = self.costs.lock().unwrap_or_else(PoisonError::into_inner);
        let cost = &mut costs[id.0 as usize];
        cost.time += time;
        cost.samples = cost.samples.max(peaks.samples.saturating_sub(begun.held.0));
        cost.bytes = cost.bytes.max(peaks.bytes.saturating_sub(begun.held.1));
        cost.total += budget.stats().total_samples.saturating_sub(begun.total);
    }

    /// The tree of costs.
    pub(super) fn into_analysis(self, prepared: &Prepared) -> Analysis {
        let costs = self.costs.into_inner().unwrap_or_else(PoisonError::into_inner);
        node(prepared, &costs, prepared.expr.root(), 1)
    }
}

fn node(prepared: &Prepared, costs: &[Cost], id: NodeId, level: usize) -> Analysis {
    let bare = prepared.expr.unparen(id);
    let cost = costs[bare.0 as usize];
    let children = if level < LEVELS_MAX { prepared.expr.children(bare) } else { Vec::new() };
    Analysis {
        name: prepared.operator_name(bare),
        execution_time: cost.time,
        peak_samples: cost.samples,
        peak_bytes: cost.bytes,
        total_samples: cost.total,
        children: children
            .into_iter()
            .map(|child| node(prepared, costs, child, level + 1))
            .chain(prepared.part_names(bare).into_iter().map(part))
            .collect(),
    }
}

/// A part that another querier evaluates, which costs nothing here.
fn part(name: String) -> Analysis {
    Analysis {
        name,
        execution_time: Duration::ZERO,
        peak_samples: 0,
        peak_bytes: 0,
        total_samples: 0,
        children: Vec::new(),
    }
}
