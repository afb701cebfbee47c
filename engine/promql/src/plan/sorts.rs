//! Sorting whose order nobody sees.

use std::collections::HashSet;

use crate::ast::{AggregateOp, Expr, NodeId, NodeKind};
use crate::func::Func;

/// The calls of `sort` and its kin that may leave the order as it is.
///
/// Most nodes pass the order of their input on, or round sums by it, or break ties by it; `count`, `group`, `absent` and
/// `scalar` do not.
pub(super) fn unseen(expr: &Expr) -> HashSet<NodeId> {
    let mut unseen = HashSet::new();
    for id in expr.preorder() {
        let input = match &expr[id].kind {
            NodeKind::Aggregate(a) if matches!(a.op, AggregateOp::Count | AggregateOp::Group) => a.expr,
            NodeKind::Call(c) if matches!(c.func, Func::Absent | Func::Scalar) => c.args[0],
            _ => continue,
        };
        let mut input = expr.unparen(input);
        while let NodeKind::StepInvariant(inner) = expr[input].kind {
            input = expr.unparen(inner);
        }
        if matches!(&expr[input].kind, NodeKind::Call(c) if is_sort(c.func)) {
            unseen.insert(input);
        }
    }
    unseen
}

fn is_sort(func: Func) -> bool {
    matches!(func, Func::Sort | Func::SortDesc | Func::SortByLabel | Func::SortByLabelDesc)
}
