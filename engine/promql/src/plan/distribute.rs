//! Cuts an expression into parts that other queriers evaluate and the rest, which is evaluated here over their results.
//!
//! Upstream: `DistributedExecutionOptimizer` and `PassthroughOptimizer` in promql-engine `logicalplan`. What is cut where is the
//! same, except where upstream's answer would differ from that of an evaluation of the whole here:
//! - an expression is handed to queriers only if all parts of it can be, and none if a store that evaluates no queries may have
//!   data for it,
//! - whatever one querier alone has data for goes there as it is, not only the whole query,
//! - where queriers share a partition, each evaluates those steps for which it has all data (`coverage`).

mod coverage;
mod engines;
mod facts;
mod plain;
mod window;

use std::sync::Arc;

use tithon_chunks::Timestamp;

use self::coverage::{Grid, Needs, Share, shares};
use self::facts::Facts;
use crate::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, Node, NodeId, NodeKind, PosRange, RemoteResult,
    VectorMatching,
};
use crate::error::QueryError;
use crate::func::Func;
use crate::options::{Options, TimeParams};
use crate::print::node_text;
use crate::remotes::Remotes;
use crate::value_type::ValueType;
use crate::watch::Watch;

use super::RemotePart;
use super::inner_times::inner_times;

/// What distribution yields besides the rewritten expression.
#[derive(Default)]
pub(super) struct Distributed {
    /// The parts that queriers evaluate, in the order of the indexes in [`RemoteResult::parts`].
    pub(super) parts: Vec<RemotePart>,
    /// The places of calls that keep parts of the query from being distributed, because they write partition labels.
    pub(super) rewrites: Vec<PosRange>,
}

/// The most steps of a part; queriers refuse more.
const STEPS_MAX: i64 = 1_000_000;

/// Distributes an expression in which durations and times are resolved. Stops when the caller no longer waits for it.
pub(super) fn apply(
    expr: &mut Expr,
    params: &TimeParams,
    options: &Options,
    remotes: &Remotes,
    watch: Watch<'_>,
) -> Result<Distributed, QueryError> {
    plain::make(expr, options.default_subquery_step_ms);
    let len = if params.is_instant() {
        1
    } else {
        params.end.0.saturating_sub(params.start.0) / params.step_ms + 1
    };
    let grid = Grid { start: params.start.0, step: params.step_ms.max(1), len: len.max(1) };
    let lookback = options.lookback_delta_ms;
    let windows = window::of_selectors(expr, expr.root(), lookback);
    let facts = facts::of_nodes(expr, remotes, &windows, (grid.start, grid.last()), watch)?;
    let mut cutter = Cutter { expr, remotes, facts, lookback, options, done: Distributed::default() };
    cutter.cut_all(grid, watch)?;
    Ok(cutter.done)
}

struct Cutter<'a> {
    expr: &'a mut Expr,
    remotes: &'a Remotes,
    /// By id; nodes that are added have none.
    facts: Vec<Facts>,
    lookback: i64,
    options: &'a Options,
    done: Distributed,
}

impl Cutter<'_> {
    /// Cuts the tree from the root down.
    fn cut_all(&mut self, grid: Grid, watch: Watch<'_>) -> Result<(), QueryError> {
        let mut pending = vec![(self.expr.root(), grid)];
        while let Some((id, grid)) = pending.pop() {
            watch.check()?;
            if !self.facts(id).selects || self.cut(id, &grid) {
                continue;
            }
            match &self.expr[id].kind {
                // Selectors of ranges are read where their function is evaluated.
                NodeKind::Matrix(_) => {}
                NodeKind::Subquery(s) => {
                    let (start, end, step) = inner_times(
                        s,
                        self.options.default_subquery_step_ms,
                        Some((grid.start, grid.last())),
                    );
                    if start <= end {
                        let len = end.saturating_sub(start) / step + 1;
                        pending.push((s.expr, Grid { start, step, len }));
                    }
                }
                // `@ start()` in a parameter has no effect, and would have one in a query of its own.
                NodeKind::Aggregate(a) => pending.push((a.expr, grid)),
                NodeKind::Call(call) => {
                    if is_unknown_below(self.expr, call) {
                        continue;
                    }
                    let rewrites = facts::rewrites_partition(self.expr, call, self.remotes);
                    if rewrites && self.facts(call.args[0]).parted {
                        self.done.rewrites.push(self.expr[id].pos);
                    }
                    pending.extend(call.args.iter().map(|arg| (*arg, grid)));
                }
                _ => self.expr.for_each_child(id, |child| pending.push((child, grid))),
            }
        }
        Ok(())
    }

    fn facts(&self, id: NodeId) -> &Facts {
        &self.facts[id.0 as usize]
    }

    /// Hands the node to queriers, as a whole or in two levels. Returns whether it did.
    fn cut(&mut self, id: NodeId, grid: &Grid) -> bool {
        let is_value = matches!(self.expr[id].ty, ValueType::Vector | ValueType::Scalar);
        if !is_value || !is_in_seconds(grid) {
            return false;
        }
        let facts = self.facts(id);
        if let Some(engine) = facts.engines.only().filter(|_| !facts.local) {
            let whole = Share { engine, first: 0, last: grid.len - 1 };
            self.replace(id, id, &[whole], grid);
            return true;
        }
        if self.expr[id].ty != ValueType::Vector {
            return false;
        }
        if facts.parted {
            let Some(shares) = self.shares(id, grid) else { return false };
            self.replace(id, id, &shares, grid);
            return true;
        }
        match &self.expr[id].kind {
            NodeKind::Aggregate(a) => {
                let a = (**a).clone();
                self.cut_aggregate(id, a, grid)
            }
            NodeKind::Call(call) if matches!(call.func, Func::Absent | Func::AbsentOverTime) => {
                let arg = call.args[0];
                self.cut_absent(id, arg, grid)
            }
            _ => false,
        }
    }

    /// The shares of the queriers for which a parted node may yield series; `None` if there are none, or the steps cannot be
    /// shared.
    fn shares(&self, id: NodeId, grid: &Grid) -> Option<Vec<Share>> {
        let needs = Needs::of(self.expr, id, self.lookback);
        shares(&needs, self.remotes, &self.facts(id).yields, grid).filter(|shares| !shares.is_empty())
    }

    /// Aggregates at each querier by the partition labels too, and the results here.
    fn cut_aggregate(&mut self, id: NodeId, a: Aggregate, grid: &Grid) -> bool {
        let is_constant = a.param.is_none_or(|param| !self.facts(param).selects);
        if !self.facts(a.expr).parted || !is_constant {
            return false;
        }
        let (here, there): (AggregateOp, &[AggregateOp]) = match a.op {
            AggregateOp::Sum
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Group
            | AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk => (a.op, &[a.op]),
            AggregateOp::Count => (AggregateOp::Sum, &[AggregateOp::Count]),
            // The quotient of two results loses labels that describe a metric.
            AggregateOp::Avg if !a.grouping.iter().any(|label| is_metadata(label)) => {
                (AggregateOp::Sum, &[AggregateOp::Sum, AggregateOp::Count])
            }
            _ => return false,
        };
        let Some(shares) = self.shares(a.expr, grid) else { return false };
        let (pos, ty) = (self.expr[id].pos, self.expr[id].ty);
        let node = |kind: NodeKind| Node { kind, pos, ty };
        let mut levels = Vec::new();
        for op in there {
            let remote = Aggregate { op: *op, grouping: self.grouping_there(&a), ..a.clone() };
            let remote = self.expr.push(node(NodeKind::Aggregate(Box::new(remote))));
            self.replace(remote, remote, &shares, grid);
            levels.push(Aggregate { op: here, expr: remote, ..a.clone() });
        }
        let mut levels = levels.into_iter().map(|level| NodeKind::Aggregate(Box::new(level)));
        let (first, second) = (levels.next().expect("an operator has a remote one"), levels.next());
        self.expr[id].kind = match second {
            None => first,
            Some(count) => {
                let (lhs, rhs) = (self.expr.push(node(first)), self.expr.push(node(count)));
                NodeKind::Binary(Box::new(quotient(lhs, rhs, &a)))
            }
        };
        true
    }

    /// The grouping that also keeps the partition labels.
    fn grouping_there(&self, a: &Aggregate) -> Vec<Box<[u8]>> {
        let labels = self.remotes.partition_labels();
        let own = a.grouping.iter();
        if a.without {
            return own.filter(|label| !labels.contains(*label)).cloned().collect();
        }
        let mut grouping: Vec<Box<[u8]>> = own.chain(labels).cloned().collect();
        grouping.sort();
        grouping.dedup();
        grouping
    }

    /// A series is absent if every querier says so: the product of their answers.
    fn cut_absent(&mut self, id: NodeId, arg: NodeId, grid: &Grid) -> bool {
        if !self.facts(arg).parted {
            return false;
        }
        let Some(shares) = self.shares(arg, grid) else { return false };
        if shares.iter().any(|share| share.first > 0 || share.last < grid.len - 1) {
            return false;
        }
        let (pos, ty) = (self.expr[id].pos, self.expr[id].ty);
        let query: Arc<str> = node_text(self.expr, id).into();
        let mut product: Option<NodeKind> = None;
        for share in shares {
            let one = self.result(&query, &[share], grid);
            product = Some(match product {
                None => one,
                Some(before) => {
                    let mut node = |kind| self.expr.push(Node { kind, pos, ty });
                    let (lhs, rhs) = (node(before), node(one));
                    let matching = Some(VectorMatching::default());
                    let op = BinaryOp::Mul;
                    NodeKind::Binary(Box::new(Binary { op, lhs, rhs, matching, return_bool: false }))
                }
            });
        }
        if let Some(product) = product {
            self.expr[id].kind = product;
        }
        true
    }

    /// Puts the result of the text of a node, evaluated by queriers, in the place of a node.
    fn replace(&mut self, place: NodeId, text: NodeId, shares: &[Share], grid: &Grid) {
        let query: Arc<str> = node_text(self.expr, text).into();
        self.expr[place].kind = self.result(&query, shares, grid);
    }

    /// The result of an expression evaluated by queriers.
    fn result(&mut self, query: &Arc<str>, shares: &[Share], grid: &Grid) -> NodeKind {
        let mut parts = Vec::with_capacity(shares.len());
        for share in shares {
            let (start, end) = (Timestamp(grid.time(share.first)), Timestamp(grid.time(share.last)));
            let times = if start == end {
                TimeParams::instant(start)
            } else {
                TimeParams { start, end, step_ms: grid.step }
            };
            parts.push(self.done.parts.len());
            self.done.parts.push(RemotePart { engine: share.engine, query: Arc::clone(query), times });
        }
        NodeKind::Remote(RemoteResult { query: Arc::clone(query), parts })
    }
}

/// `sum / count`, both grouped like `a`.
fn quotient(lhs: NodeId, rhs: NodeId, a: &Aggregate) -> Binary {
    let labels = if a.without { Vec::new() } else { a.grouping.clone() };
    let matching = VectorMatching { on: !a.without, labels, ..VectorMatching::default() };
    Binary { op: BinaryOp::Div, lhs, rhs, matching: Some(matching), return_bool: false }
}

/// Whether times can be sent to queriers, which take whole seconds.
fn is_in_seconds(grid: &Grid) -> bool {
    grid.start % 1000 == 0 && (grid.len == 1 || grid.step % 1000 == 0) && grid.len <= STEPS_MAX
}

/// Whether the value of a call depends on more than the values of its arguments: `absent` looks at the matchers of a selector,
/// and `info` reads series of its own.
fn is_unknown_below(expr: &Expr, call: &Call) -> bool {
    let is_selector = |arg: &NodeId| matches!(expr[expr.unparen(*arg)].kind, NodeKind::Vector(_));
    match call.func {
        Func::Info => true,
        Func::Absent => call.args.iter().any(is_selector),
        _ => false,
    }
}

/// Whether a label describes a metric; operators on two vectors remove it.
fn is_metadata(label: &[u8]) -> bool {
    matches!(label, b"__name__" | b"__type__" | b"__unit__")
}
