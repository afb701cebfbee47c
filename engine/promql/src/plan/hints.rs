//! What each selector needs from storage: its matchers, its range, and what the selection is for.
//!
//! Upstream: `populateSeries` and `getTimeRangesForSelector` in `promql/engine.go`, `infoSelectHints` in `promql/info.go`.

use tithon_chunks::TimeRange;
use tithon_index::{MatchOp, Matcher};

use super::{Prepared, Reading, SelectHints, SelectSpec, distribute};
use crate::ast::{AtModifier, BinaryOp, Expr, NodeId, NodeKind, VectorSelector};
use crate::stack::with_room;

/// Fills in the selections in the order in which upstream makes them: depth first.
pub(super) fn collect(prepared: &mut Prepared) {
    let mut path = Vec::new();
    let root = prepared.expr.root();
    visit(prepared, root, &mut path);
}

fn visit(prepared: &mut Prepared, id: NodeId, path: &mut Vec<NodeId>) {
    match &prepared.expr[id].kind {
        NodeKind::Vector(_) if prepared.fragments.contains_key(&id) => {
            let spec = distribute::select(prepared);
            push(prepared, id, spec);
        }
        NodeKind::Vector(s) => {
            let spec = selector_spec(prepared, s, path);
            if stats_only(&prepared.expr, path) {
                prepared.stats_only.insert(id);
            }
            push(prepared, id, spec);
        }
        NodeKind::Call(call) if call.func.name == "info" => {
            let args = call.args.clone();
            path.push(id);
            visit(prepared, args[0], path);
            path.pop();
            let spec = info_spec(prepared, &args, path);
            push(prepared, id, spec);
        }
        _ => {
            path.push(id);
            for child in prepared.expr.children(id) {
                with_room(|| visit(prepared, child, path));
            }
            path.pop();
        }
    }
}

/// Adds the selection that a node reads.
fn push(prepared: &mut Prepared, id: NodeId, spec: SelectSpec) {
    prepared.reads.insert(id, Reading { select: prepared.selects.len(), filter: Vec::new() });
    prepared.selects.push(spec);
}

fn selector_spec(prepared: &Prepared, s: &VectorSelector, path: &[NodeId]) -> SelectSpec {
    let expr = &prepared.expr;
    let lookback = prepared.options.lookback_delta_ms;
    let range_ms = path.last().map_or(0, |parent| match &expr[*parent].kind {
        NodeKind::Matrix(m) => m.range_ms,
        _ => 0,
    });
    let in_matrix = path.last().is_some_and(|p| matches!(expr[*p].kind, NodeKind::Matrix(_)));
    let (mut start, mut end) = base_range(prepared, path, fixed(s.at));
    if in_matrix {
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
    let (by, grouping) = grouping(expr, path);
    SelectSpec {
        matchers: s.matchers.clone(),
        range: TimeRange::new(start, end),
        hints: SelectHints {
            start_ms: start,
            end_ms: end,
            step_ms: step(prepared, path),
            func: func(expr, path),
            range_ms,
            by,
            grouping,
            limit: 0,
            projection: None,
        },
    }
}

/// The selection of info series. The values of identifying labels are not known yet, so it is not bound to them.
fn info_spec(prepared: &Prepared, args: &[NodeId], path: &[NodeId]) -> SelectSpec {
    let expr = &prepared.expr;
    let (at, offset) = info_modifiers(expr, args[0]).unwrap_or_default();
    let (start, end) = base_range(prepared, path, fixed(at));
    let start = start.saturating_sub(prepared.options.lookback_delta_ms.saturating_sub(1));
    let (start, end) = (start.saturating_sub(offset), end.saturating_sub(offset));
    SelectSpec {
        matchers: info_matchers(expr, args.get(1).copied()),
        range: TimeRange::new(start, end),
        hints: SelectHints {
            start_ms: start,
            end_ms: end,
            step_ms: step(prepared, path),
            func: "info".to_owned(),
            ..SelectHints::default()
        },
    }
}

/// The modifiers with which info series are read: those of the first vector selector below a node, with the offsets of
/// the subqueries around it up to the first `@`.
pub(crate) fn info_modifiers(expr: &Expr, id: NodeId) -> Option<(AtModifier, i64)> {
    match &expr[id].kind {
        NodeKind::Vector(s) => Some((s.at, s.offset_ms)),
        NodeKind::Subquery(s) => info_modifiers(expr, s.expr).map(|(at, offset)| match at {
            AtModifier::None => (s.at, offset.saturating_add(s.offset_ms)),
            at => (at, offset),
        }),
        _ => expr.children(id).into_iter().find_map(|child| info_modifiers(expr, child)),
    }
}

/// The matchers of info series: those given, with a name matcher that selects something.
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

/// The times at which a selector below `path` is read, before its own range and offset.
fn base_range(prepared: &Prepared, path: &[NodeId], at: Option<i64>) -> (i64, i64) {
    let (mut start, mut end) = (prepared.params.start.0, prepared.params.end.0);
    if let Some(t) = at {
        return (t, t);
    }
    let (mut offset, mut range) = (0i64, 0i64);
    for id in path {
        let NodeKind::Subquery(s) = &prepared.expr[*id].kind else { continue };
        offset = offset.saturating_add(s.offset_ms);
        range = range.saturating_add(s.range_ms);
        if let Some(t) = fixed(s.at) {
            (offset, range) = (s.offset_ms, s.range_ms);
            (start, end) = (t, t);
        }
    }
    (start.saturating_sub(offset).saturating_sub(range), end.saturating_sub(offset))
}

fn step(prepared: &Prepared, path: &[NodeId]) -> i64 {
    for id in path.iter().rev() {
        if let NodeKind::Subquery(s) = &prepared.expr[*id].kind {
            return if s.step_ms == 0 { prepared.options.default_subquery_step_ms } else { s.step_ms };
        }
    }
    prepared.params.step_ms
}

fn func(expr: &Expr, path: &[NodeId]) -> String {
    for id in path.iter().rev() {
        match &expr[*id].kind {
            NodeKind::Aggregate(a) => return a.op.as_str().to_owned(),
            NodeKind::Call(c) => return c.func.name.to_owned(),
            NodeKind::Binary(_) => return String::new(),
            _ => {}
        }
    }
    String::new()
}

/// Whether a function around the selector asks for count, sum or average of histograms, and nothing in between or
/// further out needs their buckets. Upstream: `detectHistogramStatsDecoding`.
fn stats_only(expr: &Expr, path: &[NodeId]) -> bool {
    let mut found = false;
    for id in path.iter().rev() {
        match &expr[*id].kind {
            NodeKind::Subquery(_) => return false,
            NodeKind::Call(c) => match c.func.name {
                "histogram_count" | "histogram_sum" | "histogram_avg" => found = true,
                "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => return false,
                _ => {}
            },
            NodeKind::Binary(b) if matches!(b.op, BinaryOp::TrimUpper | BinaryOp::TrimLower) => return false,
            _ => {}
        }
    }
    found
}

fn grouping(expr: &Expr, path: &[NodeId]) -> (bool, Vec<Box<[u8]>>) {
    match path.last().map(|id| &expr[*id].kind) {
        Some(NodeKind::Aggregate(a)) => (!a.without, a.grouping.clone()),
        _ => (false, Vec::new()),
    }
}
