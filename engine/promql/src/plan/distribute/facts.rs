//! What the nodes of an expression mean for its distribution: who has data for them, and whether their value can be put
//! together from values of single queriers.
//!
//! Upstream: `isDistributive` and `preservesPartitionLabels` in promql-engine `logicalplan/distribute.go`. Other than there, a
//! node is distributive only if all nodes below are.

use std::collections::HashMap;

use tithon_index::{Labels, Matcher};

use super::engines::EngineSet;
use super::window::Window;
use crate::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, NodeId, NodeKind, VectorMatching};
use crate::error::QueryError;
use crate::func::Func;
use crate::remotes::{RemoteSource, Remotes};
use crate::value_type::ValueType;
use crate::watch::Watch;

/// The facts about a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Whether it selects series.
    pub(super) selects: bool,
    /// Whether a store that evaluates no queries may have series for it.
    pub(super) local: bool,
    /// The queriers that may have series for any of its selectors.
    pub(super) engines: EngineSet,
    /// The queriers over whose data alone its value may be other than empty; meaningful only if it is `parted`.
    pub(super) yields: EngineSet,
    /// Whether its value over the data of all queriers is the union of its values over the data of each, and every series of it
    /// has the partition labels of its data.
    pub(super) parted: bool,
}

/// The facts about the nodes of an expression, by id. Windows are those of the selectors of the whole
/// query, whose steps go from `first` to `last`.
pub(super) fn of_nodes(
    expr: &Expr,
    remotes: &Remotes,
    windows: &HashMap<NodeId, Window>,
    (first, last): (i64, i64),
    watch: Watch<'_>,
) -> Result<Vec<Facts>, QueryError> {
    let mut all = vec![Facts::default(); expr.nodes().len()];
    for id in expr.preorder().into_iter().rev() {
        watch.check()?;
        let mut facts = Facts::default();
        match &expr[id].kind {
            NodeKind::Vector(s) => {
                let times = windows.get(&id).map_or((i64::MIN, i64::MAX), |window| window.over(first, last));
                facts = of_selector(remotes, &s.matchers, times);
            }
            kind => {
                expr.for_each_child(id, |child| {
                    let below = &all[child.0 as usize];
                    facts.selects |= below.selects;
                    facts.local |= below.local;
                    facts.engines = std::mem::take(&mut facts.engines).or(&below.engines);
                });
                if matches!(kind, NodeKind::Call(call) if call.func == Func::Info) {
                    // The series that it adds labels from are not all named.
                    facts.engines = EngineSet::of(remotes.engines().len(), |_| true);
                    facts.local |= !remotes.local().is_empty();
                }
                (facts.parted, facts.yields) = parted(expr, &all, kind, remotes);
                facts.parted &= !facts.local;
            }
        }
        all[id.0 as usize] = facts;
    }
    Ok(all)
}

/// The facts about a selector that reads samples from `first` to `last`.
fn of_selector(remotes: &Remotes, matchers: &[Matcher], (first, last): (i64, i64)) -> Facts {
    let has_time = |source: &RemoteSource| source.min_time <= last && source.max_time > first;
    let engines = EngineSet::of(remotes.engines().len(), |i| {
        let sources = &remotes.engines()[i].sources;
        sources.iter().any(|source| has_time(source) && may_match(matchers, &source.labels))
    });
    let local = remotes.local().iter().any(|source| {
        let is_named =
            source.label_sets.is_empty() || source.label_sets.iter().any(|set| may_match(matchers, set));
        is_named && source.range.min.0 <= last && source.range.max.0 >= first
    });
    Facts { selects: true, local, yields: engines.clone(), engines, parted: !local }
}

/// Whether series with these external labels may fulfil the matchers.
pub(super) fn may_match(matchers: &[Matcher], external: &Labels) -> bool {
    matchers.iter().all(|m| external.get(m.name()).is_none_or(|value| m.matches(value)))
}

/// Whether a node other than a selector is parted, and the queriers for which it may yield series.
fn parted(expr: &Expr, all: &[Facts], kind: &NodeKind, remotes: &Remotes) -> (bool, EngineSet) {
    let of = |id: &NodeId| &all[id.0 as usize];
    let same = |id: &NodeId| (of(id).parted, of(id).yields.clone());
    match kind {
        NodeKind::Matrix(m) => same(&m.selector),
        NodeKind::Subquery(s) => same(&s.expr),
        NodeKind::Unary { expr, .. } | NodeKind::Paren(expr) => same(expr),
        NodeKind::Aggregate(a) => {
            let is_constant = a.param.is_none_or(|param| !of(&param).selects);
            let parted = of(&a.expr).parted && is_constant && keeps_partitions(expr, a, remotes);
            (parted, of(&a.expr).yields.clone())
        }
        NodeKind::Binary(b) => {
            let (lhs, rhs) = (of(&b.lhs), of(&b.rhs));
            match &b.matching {
                Some(matching) => {
                    let keeps = lhs.parted && rhs.parted && matches_in_partitions(b, matching, remotes);
                    (keeps, yields(b, matching, lhs, rhs))
                }
                // One side is a scalar.
                None if !lhs.selects => (rhs.parted, rhs.yields.clone()),
                None if !rhs.selects => (lhs.parted, lhs.yields.clone()),
                None => (false, EngineSet::default()),
            }
        }
        NodeKind::Call(call) => parted_call(expr, all, call, remotes),
        _ => (false, EngineSet::default()),
    }
}

fn parted_call(expr: &Expr, all: &[Facts], call: &Call, remotes: &Remotes) -> (bool, EngineSet) {
    let mut yields: Option<EngineSet> = None;
    for arg in &call.args {
        let facts = &all[arg.0 as usize];
        match expr[*arg].ty {
            ValueType::Vector | ValueType::Matrix if facts.parted && yields.is_none() => {
                yields = Some(facts.yields.clone());
            }
            ValueType::Scalar | ValueType::String if !facts.selects => {}
            _ => return (false, EngineSet::default()),
        }
    }
    match yields {
        Some(yields) => (is_local_to_series(expr, call, remotes), yields),
        None => (false, EngineSet::default()),
    }
}

/// Whether a function works on each series, or on each histogram, for itself, and keeps the partition labels. The order that
/// sorting makes would be lost.
fn is_local_to_series(expr: &Expr, call: &Call, remotes: &Remotes) -> bool {
    match call.func {
        Func::Absent
        | Func::AbsentOverTime
        | Func::Info
        | Func::Scalar
        | Func::Sort
        | Func::SortDesc
        | Func::SortByLabel
        | Func::SortByLabelDesc => false,
        Func::LabelReplace | Func::LabelJoin => !rewrites_partition(expr, call, remotes),
        Func::HistogramQuantile | Func::HistogramQuantiles | Func::HistogramFraction => {
            let labels = remotes.partition_labels();
            let label = (call.func == Func::HistogramQuantiles).then(|| text(expr, call.args[1])).flatten();
            !labels.contains(&b"le"[..]) && !label.is_some_and(|label| labels.contains(label))
        }
        _ => true,
    }
}

/// Whether a call of `label_replace` or `label_join` writes a partition label.
pub(super) fn rewrites_partition(expr: &Expr, call: &Call, remotes: &Remotes) -> bool {
    matches!(call.func, Func::LabelReplace | Func::LabelJoin)
        && text(expr, call.args[1]).is_none_or(|label| remotes.partition_labels().contains(label))
}

fn text(expr: &Expr, id: NodeId) -> Option<&[u8]> {
    match &expr[expr.unparen(id)].kind {
        NodeKind::String(text) => Some(text),
        _ => None,
    }
}

/// Whether the groups of an aggregation lie within partitions.
fn keeps_partitions(expr: &Expr, a: &Aggregate, remotes: &Remotes) -> bool {
    let labels = remotes.partition_labels();
    let writes = match a.op {
        AggregateOp::CountValues => a.param.and_then(|param| text(expr, param)),
        _ => None,
    };
    !labels.is_empty()
        && labels.iter().all(|label| a.grouping.contains(label) != a.without)
        && !writes.is_some_and(|label| labels.contains(label))
}

/// Whether series of two vectors match within partitions only.
fn matches_in_partitions(b: &Binary, matching: &VectorMatching, remotes: &Remotes) -> bool {
    // A side that is filled in has no partition labels.
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let labels = remotes.partition_labels();
    let are_kept = labels
        .iter()
        .all(|label| matching.labels.contains(label) == matching.on && !matching.include.contains(label));
    !labels.is_empty() && are_kept && (!fills || b.op.is_set())
}

/// The queriers for which an operation on two vectors may yield series.
fn yields(b: &Binary, matching: &VectorMatching, lhs: &Facts, rhs: &Facts) -> EngineSet {
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    match b.op {
        BinaryOp::Unless => lhs.yields.clone(),
        BinaryOp::Or => lhs.yields.clone().or(&rhs.yields),
        _ if fills => lhs.yields.clone().or(&rhs.yields),
        _ => lhs.yields.clone().and(&rhs.yields),
    }
}
