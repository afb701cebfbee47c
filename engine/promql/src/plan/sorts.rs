//! Sorting whose order does not show in the result.

use std::collections::HashSet;

use crate::ast::{AggregateOp, Expr, NodeId, NodeKind};
use crate::func::Func;

/// The calls of `sort`, `sort_desc`, `sort_by_label` and `sort_by_label_desc` that need not sort: those directly below
/// `count`, `group`, `absent` or `scalar`.
///
/// The results of most other nodes depend on the order of their input: in their own order, in the rounding of sums, or in
/// which of equal elements they choose.
pub(super) fn unneeded(expr: &Expr) -> HashSet<NodeId> {
    let mut unsorted = HashSet::new();
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
            unsorted.insert(input);
        }
    }
    unsorted
}

fn is_sort(func: Func) -> bool {
    matches!(func, Func::Sort | Func::SortDesc | Func::SortByLabel | Func::SortByLabelDesc)
}
