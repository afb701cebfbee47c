//! Matchers cross operators: series that cannot find a partner need not be selected.

use tithon_index::Matcher;

use super::{Rule, Rules};
use crate::ast::{BinaryOp, Expr, NodeId, NodeKind, VectorMatching};

/// Gives two selectors on the sides of an operator each other's conditions on labels that must be equal.
pub(super) fn matchers(expr: &mut Expr, rules: Rules) {
    for id in expr.preorder() {
        let NodeKind::Binary(b) = &expr[id].kind else { continue };
        let Some(matching) = b.matching.clone() else { continue };
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        let (to_left, to_right) = match b.op {
            BinaryOp::And => (true, true),
            // What `unless` keeps has no partner.
            BinaryOp::Unless => (false, true),
            BinaryOp::Or => continue,
            _ if fills || !rules.has(Rule::MatchersThroughJoins) => continue,
            _ => (true, true),
        };
        if b.op.is_set() && !rules.has(Rule::MatchersThroughSets) {
            continue;
        }
        let (lhs, rhs) = (expr.unparen(b.lhs), expr.unparen(b.rhs));
        let from_left = joined(expr, lhs, &matching);
        let from_right = joined(expr, rhs, &matching);
        if let (Some(from_left), Some(from_right)) = (from_left, from_right) {
            if to_right {
                add(expr, rhs, from_left);
            }
            if to_left {
                add(expr, lhs, from_right);
            }
        }
    }
}

/// The matchers of a selector on labels that partners share; `None` of other nodes.
fn joined(expr: &Expr, id: NodeId, matching: &VectorMatching) -> Option<Vec<Matcher>> {
    let NodeKind::Vector(s) = &expr[id].kind else { return None };
    let listed = |name: &[u8]| matching.labels.iter().any(|n| n.as_ref() == name);
    let is_joined = |m: &&Matcher| match matching.on {
        true => listed(m.name()),
        false => m.name() != b"__name__" && !listed(m.name()),
    };
    Some(s.matchers.iter().filter(is_joined).cloned().collect())
}

/// Adds matchers in front of the selector's own, but for those that it has.
fn add(expr: &mut Expr, id: NodeId, matchers: Vec<Matcher>) {
    let NodeKind::Vector(s) = &mut expr[id].kind else { return };
    let new: Vec<Matcher> = matchers.into_iter().filter(|m| !s.matchers.contains(m)).collect();
    s.matchers.splice(0..0, new);
}
