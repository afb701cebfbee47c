//! Makes an expression print as a text that means the same to any querier.

use crate::ast::{BinaryOp, Expr, Node, NodeId, NodeKind};

/// Writes computed durations and the default step as numbers, and puts parentheses around negative bases of powers, which
/// computing has made of expressions in parentheses or of functions. The expression keeps its value.
pub(super) fn make(expr: &mut Expr, default_subquery_step_ms: i64) {
    for node in expr.nodes_mut() {
        match &mut node.kind {
            NodeKind::Vector(s) => s.offset_expr = None,
            NodeKind::Matrix(m) => m.range_expr = None,
            NodeKind::Subquery(s) => {
                (s.offset_expr, s.step_expr, s.range_expr) = (None, None, None);
                if s.step_ms == 0 {
                    s.step_ms = default_subquery_step_ms;
                }
            }
            _ => {}
        }
    }
    for i in 0..expr.nodes().len() {
        let NodeKind::Binary(b) = &expr[NodeId(i as u32)].kind else { continue };
        let base = b.lhs;
        if b.op == BinaryOp::Pow
            && let Node { kind: NodeKind::Number { value, .. }, pos, ty } = expr[base]
            && value.is_sign_negative()
        {
            let kind = expr[base].kind.clone();
            let inner = expr.push(Node { kind, pos, ty });
            expr[base].kind = NodeKind::Paren(inner);
        }
    }
}
