//! Which labels of a selection matter: below `sum by (job)` no others than `job`, and the name for what notes say.

use std::collections::{BTreeSet, HashMap};

use tithon_index::MatchOp;

use super::Prepared;
use crate::ast::{Aggregate, AggregateOp, Call, Expr, NodeId, NodeKind, ValueType};

/// Labels that all annotations may speak of.
const ALWAYS: [&[u8]; 3] = [b"__name__", b"__type__", b"__unit__"];

/// Functions whose results depend on labels, or on the order of series.
const MIND_LABELS: [&str; 14] = [
    "absent",
    "absent_over_time",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_quantiles",
    "info",
    "label_join",
    "label_replace",
    "scalar",
    "sort",
    "sort_by_label",
    "sort_by_label_desc",
    "sort_desc",
    "vector",
];

/// Tells each selection the labels that its readers need, where they do not need all.
pub(super) fn labels(prepared: &mut Prepared) {
    let parents = parents(&prepared.expr);
    let mut needs: Vec<Option<BTreeSet<Box<[u8]>>>> = vec![Some(BTreeSet::new()); prepared.selects.len()];
    for (id, reading) in &prepared.reads {
        let is_remote = prepared.fragments.contains_key(id);
        let own = if is_remote { None } else { needed(&prepared.expr, &parents, *id) };
        let all = &mut needs[reading.select];
        *all = all.take().zip(own).map(|(mut all, own)| {
            all.extend(own.iter().map(|name| (*name).into()));
            all.extend(reading.filter.iter().map(|m| m.name().into()));
            all
        });
    }
    for (select, need) in prepared.selects.iter_mut().zip(needs) {
        select.hints.projection = need.filter(|need| !need.is_empty()).map(|need| need.into_iter().collect());
    }
}

/// The node around each node.
fn parents(expr: &Expr) -> HashMap<NodeId, NodeId> {
    let mut parents = HashMap::new();
    for id in expr.preorder() {
        expr.for_each_child(id, |child| _ = parents.insert(child, id));
    }
    parents
}

/// The labels of a selector's series that show in the result; `None` when all may.
fn needed<'a>(expr: &'a Expr, parents: &HashMap<NodeId, NodeId>, selector: NodeId) -> Option<Vec<&'a [u8]>> {
    let NodeKind::Vector(v) = &expr[selector].kind else { return None };
    // Of series that differ in their names only, some operators make duplicates, which are an error.
    let has_one_name = v.matchers.iter().any(|m| m.op() == MatchOp::Equal && m.name() == b"__name__");
    let mut id = selector;
    loop {
        let parent = *parents.get(&id)?;
        let passes = match &expr[parent].kind {
            NodeKind::Paren(_) | NodeKind::StepInvariant(_) | NodeKind::Matrix(_) => true,
            NodeKind::Unary { .. } => has_one_name,
            NodeKind::Call(call) => has_one_name && passes_labels(expr, call, id),
            NodeKind::Binary(b) => {
                let other = if b.lhs == id { b.rhs } else { b.lhs };
                has_one_name && expr[other].ty == ValueType::Scalar
            }
            NodeKind::Aggregate(a) => return grouped(a, id),
            _ => false,
        };
        if !passes {
            return None;
        }
        id = parent;
    }
}

/// Whether a call gives each series of its argument a result with the same labels, but for the name.
fn passes_labels(expr: &Expr, call: &Call, arg: NodeId) -> bool {
    !MIND_LABELS.contains(&call.func.name) && matches!(expr[arg].ty, ValueType::Vector | ValueType::Matrix)
}

/// What an aggregation needs of its operand.
fn grouped(a: &Aggregate, operand: NodeId) -> Option<Vec<&[u8]>> {
    use AggregateOp::{Avg, Count, Group, Max, Min, Quantile, Stddev, Stdvar, Sum};
    let is_settled = matches!(a.op, Sum | Avg | Min | Max | Count | Group | Stddev | Stdvar | Quantile)
        && a.expr == operand;
    (is_settled && !a.without)
        .then(|| ALWAYS.into_iter().chain(a.grouping.iter().map(|name| &**name)).collect())
}

#[cfg(test)]
mod tests {
    use tithon_chunks::Timestamp;

    use crate::{Options, Prepared, TimeParams};

    #[test]
    fn labels_below_an_aggregation_matter_if_it_keeps_them() {
        for (query, expected) in [
            ("sum by (job) (rate(a_total[5m]))", "job"),
            ("sum(a)", ""),
            ("max by (y, x) (-abs(a) * 2)", "x y"),
            ("sum by (x) ({y=\"1\"})", "x"),
            ("histogram_quantile(0.9, sum by (le) (rate(b_bucket[5m])))", "le"),
            ("avg_over_time(sum by (x) (a)[5m:1m])", "x"),
            // One selection for both.
            ("sum by (y) (a{x=\"1\"}) + sum by (y) (a)", "x y"),
            ("a", "all"),
            ("sum without (x) (a)", "all"),
            // Names that go make duplicates.
            ("sum(rate({y=\"1\"}[5m]))", "all"),
            ("sum(label_replace(a, \"x\", \"$1\", \"y\", \"(.*)\"))", "all"),
            ("topk by (x) (1, a)", "all"),
            ("quantile by (x) (scalar(a), vector(1))", "all"),
            ("sum by (x) (a + on (x) group_left () vector(1))", "all"),
            ("count by (x) (info(a))", "all"),
        ] {
            let params = TimeParams::instant(Timestamp(0));
            let options = Options { parse: crate::ParseOptions::ALL, ..Options::default() };
            let prepared = Prepared::new(query, params, &options).expect("a query");
            let labels = match &prepared.selects()[0].hints.projection {
                None => "all".to_owned(),
                Some(labels) => {
                    let names = labels.iter().map(|name| String::from_utf8_lossy(name).into_owned());
                    names.filter(|name| !name.starts_with("__")).collect::<Vec<_>>().join(" ")
                }
            };
            assert_eq!(labels, expected, "{query}");
        }
    }
}
