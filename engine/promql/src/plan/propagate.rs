//! Matchers are copied across binary operators: series that cannot match any series of the other side need not be
//! selected.
//!
//! A matcher on a label that the source removes ([`crate::Options::dropped_labels`]) is not copied: series match without
//! the label, whatever its value was.

use std::collections::HashSet;

use tithon_index::Matcher;

use crate::ast::{BinaryOp, Expr, NodeId, NodeKind, VectorMatching};
use crate::rules::{Rule, Rules};

/// Gives the two selectors of a binary operation each other's matchers on the labels by which their series match.
pub(super) fn matchers(expr: &mut Expr, rules: Rules, dropped_labels: &[Box<[u8]>]) {
    if !rules.has(Rule::MatchersThroughSets) && !rules.has(Rule::MatchersThroughJoins) {
        return;
    }
    for id in expr.preorder() {
        let NodeKind::Binary(b) = &expr[id].kind else { continue };
        let Some(matching) = &b.matching else { continue };
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        let (to_left, to_right) = match b.op {
            BinaryOp::And => (true, true),
            // `unless` keeps the series of the left side that match none, so the left side must not be narrowed.
            BinaryOp::Unless => (false, true),
            BinaryOp::Or => continue,
            _ if fills || !rules.has(Rule::MatchersThroughJoins) => continue,
            _ => (true, true),
        };
        if b.op.is_set() && !rules.has(Rule::MatchersThroughSets) {
            continue;
        }
        let (lhs, rhs) = (expr.unparen(b.lhs), expr.unparen(b.rhs));
        let from_left = joined(expr, lhs, matching, dropped_labels);
        let from_right = joined(expr, rhs, matching, dropped_labels);
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

/// The matchers of a selector on the labels by which series match; `None` for other nodes.
fn joined(
    expr: &Expr,
    id: NodeId,
    matching: &VectorMatching,
    dropped_labels: &[Box<[u8]>],
) -> Option<Vec<Matcher>> {
    let NodeKind::Vector(s) = &expr[id].kind else { return None };
    let listed: HashSet<&[u8]> = matching.labels.iter().map(|label| &**label).collect();
    let is_joined = |m: &&Matcher| {
        let is_compared = match matching.on {
            true => listed.contains(m.name()),
            false => m.name() != b"__name__" && !listed.contains(m.name()),
        };
        is_compared && !dropped_labels.iter().any(|label| **label == *m.name())
    };
    Some(s.matchers.iter().filter(is_joined).cloned().collect())
}

/// Adds those matchers that a selector does not have yet, in front of its own.
fn add(expr: &mut Expr, id: NodeId, mut matchers: Vec<Matcher>) {
    let NodeKind::Vector(s) = &mut expr[id].kind else { return };
    let own: HashSet<_> = s.matchers.iter().map(|m| (m.op(), m.name(), m.value())).collect();
    matchers.retain(|m| !own.contains(&(m.op(), m.name(), m.value())));
    drop(own);
    s.matchers.splice(0..0, matchers);
}
