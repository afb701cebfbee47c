//! The selections of a query: for each selector its matchers, its range, and its purpose.
//!
//! Upstream: `populateSeries` and `getTimeRangesForSelector` in `promql/engine.go`, `infoSelectHints` in `promql/info.go`.

use std::sync::atomic::{AtomicBool, Ordering};

use tithon_chunks::TimeRange;
use tithon_index::{MatchOp, Matcher};

use super::{Prepared, Reading, SelectHints, SelectSpec};
use crate::ast::{AtModifier, BinaryOp, Expr, NodeId, NodeKind, Subquery, VectorSelector};
use crate::error::QueryError;
use crate::func::Func;
use crate::stack::with_room;

/// Fills in the selections, depth first as upstream does.
///
/// Errors: [`QueryError::Cancelled`].
pub(super) fn collect(prepared: &mut Prepared, cancelled: &AtomicBool) -> Result<(), QueryError> {
    let root = prepared.expr.root();
    let enclosing = Enclosing::root(prepared);
    visit(prepared, root, &enclosing, cancelled).map(drop)
}

/// `@` and offset of a selector.
pub(crate) type Modifiers = (AtModifier, i64);

/// The effects of the nodes around a selector, collected on the way down the tree.
#[derive(Clone, Copy)]
struct Enclosing {
    /// The parent node.
    parent: Option<NodeId>,
    /// The first and last step of the query, or the fixed time of the nearest subquery around that has one.
    start: i64,
    end: i64,
    /// The sums of the offsets and ranges of the subqueries around the selector, up to and including the one with the
    /// fixed time.
    offset: i64,
    range: i64,
    /// The nearest function or aggregation; empty if a binary operator is nearer.
    func: &'static str,
    /// Whether a function around uses only count and sum of histograms.
    is_statistic: bool,
    /// Whether another node around needs the buckets of histograms.
    needs_buckets: bool,
}

impl Enclosing {
    fn root(prepared: &Prepared) -> Enclosing {
        let params = &prepared.params;
        Enclosing {
            parent: None,
            start: params.start.0,
            end: params.end.0,
            offset: 0,
            range: 0,
            func: "",
            is_statistic: false,
            needs_buckets: false,
        }
    }

    /// The effects of the nodes around the children of a node.
    fn below(self, prepared: &Prepared, id: NodeId) -> Enclosing {
        let mut enclosing = Enclosing { parent: Some(id), ..self };
        match &prepared.expr[id].kind {
            NodeKind::Subquery(s) => enclosing.enter_subquery(s),
            NodeKind::Aggregate(a) => enclosing.func = a.op.as_str(),
            NodeKind::Call(c) => {
                enclosing.func = c.func.name();
                // Upstream: `detectHistogramStatsDecoding`.
                match c.func {
                    Func::HistogramCount | Func::HistogramSum | Func::HistogramAvg => {
                        enclosing.is_statistic = true
                    }
                    Func::HistogramQuantile | Func::HistogramQuantiles | Func::HistogramFraction => {
                        enclosing.needs_buckets = true;
                    }
                    _ => {}
                }
            }
            NodeKind::Binary(b) => {
                enclosing.func = "";
                enclosing.needs_buckets |= matches!(b.op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
            }
            _ => {}
        }
        enclosing
    }

    fn enter_subquery(&mut self, s: &Subquery) {
        self.needs_buckets = true;
        self.offset = self.offset.saturating_add(s.offset_ms);
        self.range = self.range.saturating_add(s.range_ms);
        if let Some(t) = fixed(s.at) {
            (self.offset, self.range) = (s.offset_ms, s.range_ms);
            (self.start, self.end) = (t, t);
        }
    }

    /// The times at which a selector is read, before its own range and offset.
    fn times(&self, at: AtModifier) -> (i64, i64) {
        match fixed(at) {
            Some(t) => (t, t),
            None => (
                self.start.saturating_sub(self.offset).saturating_sub(self.range),
                self.end.saturating_sub(self.offset),
            ),
        }
    }
}

/// Collects the selections of a node and of all nodes below it. Returns the modifiers with which a call of `info` around it
/// reads info series: those of the first vector selector, with the offsets of the subqueries around that one up to the
/// first `@`.
fn visit(
    prepared: &mut Prepared,
    id: NodeId,
    enclosing: &Enclosing,
    cancelled: &AtomicBool,
) -> Result<Option<Modifiers>, QueryError> {
    if cancelled.load(Ordering::Relaxed) {
        return Err(QueryError::Cancelled);
    }
    with_room(|| visit_here(prepared, id, enclosing, cancelled))
}

fn visit_here(
    prepared: &mut Prepared,
    id: NodeId,
    enclosing: &Enclosing,
    cancelled: &AtomicBool,
) -> Result<Option<Modifiers>, QueryError> {
    let below = enclosing.below(prepared, id);
    match &prepared.expr[id].kind {
        NodeKind::Vector(s) => {
            let modifiers = (s.at, s.offset_ms);
            let spec = selector_spec(prepared, s, enclosing);
            if enclosing.is_statistic && !enclosing.needs_buckets {
                prepared.stats_only.insert(id);
            }
            push(prepared, id, spec);
            Ok(Some(modifiers))
        }
        NodeKind::Call(call) if call.func == Func::Info => {
            let (first, second) = (call.args[0], call.args.get(1).copied());
            let modifiers = visit(prepared, first, &below, cancelled)?;
            let used = modifiers.unwrap_or_default();
            let spec = info_spec(prepared, used, second, enclosing);
            prepared.info_modifiers.insert(id, used);
            push(prepared, id, spec);
            let bare = |id| &prepared.expr[prepared.expr.unparen(strip(&prepared.expr, id))].kind;
            let of_second = || match second.map(bare) {
                Some(NodeKind::Vector(s)) => Some((s.at, s.offset_ms)),
                _ => None,
            };
            Ok(modifiers.or_else(of_second))
        }
        _ => {
            let mut modifiers = None;
            for child in prepared.expr.children(id) {
                let of_child = visit(prepared, child, &below, cancelled)?;
                modifiers = modifiers.or(of_child);
            }
            Ok(match (&prepared.expr[id].kind, modifiers) {
                (NodeKind::Subquery(s), Some((AtModifier::None, offset))) => {
                    Some((s.at, offset.saturating_add(s.offset_ms)))
                }
                (_, modifiers) => modifiers,
            })
        }
    }
}

/// Adds the selection that a node reads.
fn push(prepared: &mut Prepared, id: NodeId, spec: SelectSpec) {
    prepared.reads.insert(id, Reading { select: prepared.selects.len(), filter: Vec::new() });
    prepared.selects.push(spec);
}

fn selector_spec(prepared: &Prepared, s: &VectorSelector, enclosing: &Enclosing) -> SelectSpec {
    let lookback = prepared.options.lookback_delta_ms;
    let parent = enclosing.parent.map(|parent| &prepared.expr[parent].kind);
    let (mut start, mut end) = enclosing.times(s.at);
    let mut range_ms = 0;
    if let Some(NodeKind::Matrix(m)) = parent {
        range_ms = m.range_ms;
        start = start.saturating_sub(range_ms.saturating_sub(1));
        if s.anchored || s.smoothed {
            start = start.saturating_sub(lookback);
        }
    } else {
        start = start.saturating_sub(lookback.saturating_sub(1));
    }
    if s.smoothed {
        end = end.saturating_add(lookback);
    }
    let (start, end) = (start.saturating_sub(s.offset_ms), end.saturating_sub(s.offset_ms));
    SelectSpec {
        matchers: s.matchers.clone(),
        range: TimeRange::new(start, end),
        hints: SelectHints { func: enclosing.func.to_owned(), range_ms },
    }
}

/// The selection of info series. It selects by the given matchers only, since the values of the identifying labels are not
/// known before evaluation.
fn info_spec(
    prepared: &Prepared,
    (at, offset): Modifiers,
    selector: Option<NodeId>,
    enclosing: &Enclosing,
) -> SelectSpec {
    let (start, end) = enclosing.times(at);
    let start = start.saturating_sub(prepared.options.lookback_delta_ms.saturating_sub(1));
    let (start, end) = (start.saturating_sub(offset), end.saturating_sub(offset));
    SelectSpec {
        matchers: info_matchers(&prepared.expr, selector),
        range: TimeRange::new(start, end),
        hints: SelectHints { func: "info".to_owned(), range_ms: 0 },
    }
}

/// The matchers of info series: those given, and a matcher on the name unless one of them selects names.
pub(crate) fn info_matchers(expr: &Expr, selector: Option<NodeId>) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    if let Some(NodeKind::Vector(s)) = selector.map(|id| &expr[expr.unparen(strip(expr, id))].kind) {
        matchers.clone_from(&s.matchers);
    }
    let names: Vec<MatchOp> = matchers.iter().filter(|m| m.name() == b"__name__").map(Matcher::op).collect();
    let positive = names.iter().any(|op| matches!(op, MatchOp::Equal | MatchOp::Regex));
    if !positive {
        let (op, value) =
            if names.is_empty() { (MatchOp::Equal, "target_info") } else { (MatchOp::Regex, ".+_info") };
        matchers.push(Matcher::new(op, "__name__", value).expect("a fixed pattern compiles"));
    }
    matchers
}

fn strip(expr: &Expr, id: NodeId) -> NodeId {
    match expr[id].kind {
        NodeKind::StepInvariant(inner) => inner,
        _ => id,
    }
}

fn fixed(at: AtModifier) -> Option<i64> {
    match at {
        AtModifier::At(t) => Some(t),
        _ => None,
    }
}
