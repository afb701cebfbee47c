//! Subtrees whose value is the same at every step are wrapped in [`NodeKind::StepInvariant`], to be evaluated once.
//!
//! Upstream skips the parameters of aggregations, so that an `@ start()` inside one stays unresolved and has no effect.
//! This module does the same.

use crate::ast::{AtModifier, Expr, Node, NodeId, NodeKind};
use crate::func::Func;
use crate::options::TimeParams;
use crate::stack::with_room;

/// Whether the result depends on the step even when the arguments do not.
fn depends_on_step(func: Func) -> bool {
    matches!(
        func,
        Func::DaysInMonth
            | Func::DayOfMonth
            | Func::DayOfWeek
            | Func::DayOfYear
            | Func::Hour
            | Func::Minute
            | Func::Month
            | Func::Year
            | Func::PredictLinear
            | Func::Time
            | Func::Timestamp
            | Func::Start
            | Func::End
            | Func::Range
            | Func::Step
    )
}

/// Resolves `@ start()` and `@ end()`.
pub(super) fn resolve(expr: &mut Expr, params: &TimeParams) {
    for id in reached(expr) {
        match &mut expr[id].kind {
            NodeKind::Vector(s) => s.at = resolved(s.at, params),
            NodeKind::Subquery(s) => s.at = resolved(s.at, params),
            _ => {}
        }
    }
}

/// All nodes except those inside parameters of aggregations.
fn reached(expr: &Expr) -> Vec<NodeId> {
    let (mut out, mut pending) = (Vec::new(), vec![expr.root()]);
    while let Some(id) = pending.pop() {
        out.push(id);
        match &expr[id].kind {
            NodeKind::Aggregate(a) => pending.push(a.expr),
            _ => expr.for_each_child(id, |child| pending.push(child)),
        }
    }
    out
}

/// Wraps the highest invariant nodes.
pub(super) fn wrap(expr: &mut Expr) {
    let root = expr.root();
    if visit(expr, root) {
        let wrapped = wrapped(expr, root);
        expr.set_root(wrapped);
    }
}

/// Whether the node is invariant; if it is not, wraps its invariant parts.
fn visit(expr: &mut Expr, id: NodeId) -> bool {
    with_room(|| visit_here(expr, id))
}

fn visit_here(expr: &mut Expr, id: NodeId) -> bool {
    match &expr[id].kind {
        NodeKind::Number { .. } | NodeKind::String(_) | NodeKind::Duration(_) => true,
        NodeKind::Remote(_) | NodeKind::Part(_) => false,
        NodeKind::Vector(s) => s.at != AtModifier::None,
        NodeKind::Matrix(m) => visit(expr, m.selector),
        NodeKind::Paren(inner) | NodeKind::Unary { expr: inner, .. } | NodeKind::StepInvariant(inner) => {
            visit(expr, *inner)
        }
        NodeKind::Aggregate(a) => visit(expr, a.expr),
        NodeKind::Subquery(s) => {
            let (inner, fixed) = (s.expr, s.at != AtModifier::None);
            if visit(expr, inner) {
                let wrapped = wrapped(expr, inner);
                let NodeKind::Subquery(s) = &mut expr[id].kind else { unreachable!("matched above") };
                s.expr = wrapped;
            }
            fixed
        }
        NodeKind::Binary(b) => {
            let (lhs, rhs) = (b.lhs, b.rhs);
            let (left, right) = (visit(expr, lhs), visit(expr, rhs));
            if left && right {
                return true;
            }
            let new_lhs = if left { wrapped(expr, lhs) } else { lhs };
            let new_rhs = if right { wrapped(expr, rhs) } else { rhs };
            let NodeKind::Binary(b) = &mut expr[id].kind else { unreachable!("matched above") };
            (b.lhs, b.rhs) = (new_lhs, new_rhs);
            false
        }
        NodeKind::Call(_) => visit_call(expr, id),
    }
}

fn visit_call(expr: &mut Expr, id: NodeId) -> bool {
    let NodeKind::Call(call) = &expr[id].kind else { unreachable!("called for calls") };
    let (func, args) = (call.func, call.args.clone());
    let invariant: Vec<bool> = args.iter().map(|arg| visit(expr, *arg)).collect();
    let all = invariant.iter().all(|is| *is);
    let fixed_timestamp = func == Func::Timestamp
        && args.first().is_some_and(|arg| matches!(expr[expr.unparen(*arg)].kind, NodeKind::Vector(_)));
    if all && (fixed_timestamp || !depends_on_step(func)) {
        return true;
    }
    for (i, arg) in args.into_iter().enumerate() {
        if invariant[i] {
            let wrapped = wrapped(expr, arg);
            let NodeKind::Call(call) = &mut expr[id].kind else { unreachable!("called for calls") };
            call.args[i] = wrapped;
        }
    }
    false
}

/// Wraps a node, unless it is a literal, a range selector or a subquery.
fn wrapped(expr: &mut Expr, id: NodeId) -> NodeId {
    let inner = expr.unparen(id);
    if matches!(
        expr[inner].kind,
        NodeKind::Number { .. } | NodeKind::String(_) | NodeKind::Matrix(_) | NodeKind::Subquery(_)
    ) {
        return id;
    }
    let Node { pos, ty, .. } = expr[id];
    expr.push(Node { kind: NodeKind::StepInvariant(id), pos, ty })
}

fn resolved(at: AtModifier, params: &TimeParams) -> AtModifier {
    match at {
        AtModifier::Start => AtModifier::At(params.start.0),
        AtModifier::End => AtModifier::At(params.end.0),
        at => at,
    }
}
