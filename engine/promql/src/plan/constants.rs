//! Constant folding: arithmetic on literals becomes a literal.

use crate::ast::{Expr, NodeId, NodeKind};
use crate::operator::on_scalars;

/// Folds signs and operators over numbers, bottom-up. Nodes keep their places.
pub(super) fn fold(expr: &mut Expr) {
    let mut order = expr.preorder();
    order.reverse();
    for id in order {
        let value = match &expr[id].kind {
            NodeKind::Unary { negate, expr: inner } => {
                number(expr, *inner).map(|v| if *negate { -v } else { v })
            }
            NodeKind::Binary(b) => {
                number(expr, b.lhs).zip(number(expr, b.rhs)).map(|(l, r)| on_scalars(b.op, l, r))
            }
            _ => None,
        };
        if let Some(value) = value {
            expr[id].kind = NodeKind::Number { value, is_duration: false };
        }
    }
}

/// The literal that a node is, perhaps in parentheses.
fn number(expr: &Expr, id: NodeId) -> Option<f64> {
    match expr[expr.unparen(id)].kind {
        NodeKind::Number { value, .. } => Some(value),
        _ => None,
    }
}
