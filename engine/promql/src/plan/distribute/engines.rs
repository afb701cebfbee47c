//! Which engines are asked for a part of a query, and for which steps.

use std::collections::BTreeMap;

use tithon_chunks::{TimeRange, Timestamp};
use tithon_index::Labels;

use super::could_match;
use crate::ast::{AtModifier, Expr, NodeId, NodeKind, VectorSelector};
use crate::options::TimeParams;

/// An engine as the planner sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    /// The label sets that its series carry, replica labels left out.
    pub label_sets: Vec<Labels>,
    /// The part of them that tells its series from those of other engines.
    pub partition: Vec<Labels>,
    /// The time for which it has all its samples.
    pub range: TimeRange,
}

/// The names of all labels that tell partitions apart.
pub(super) fn partition_labels(engines: &[Engine]) -> Vec<Box<[u8]>> {
    let sets = engines.iter().flat_map(|engine| &engine.partition);
    let mut names: Vec<Box<[u8]>> = sets.flat_map(|set| set.iter().map(|(name, _)| name.into())).collect();
    names.sort();
    names.dedup();
    names
}

/// A selector in a query and how far before the step it looks, offsets and ranges around it included.
pub(super) struct Reading<'a> {
    pub(super) selector: &'a VectorSelector,
    /// From the step back to the oldest sample, milliseconds.
    back_ms: i64,
    /// The time that it is fixed to, by itself or a subquery around it.
    at: Option<i64>,
}

/// The selectors below a node.
pub(super) fn selectors(expr: &Expr, id: NodeId) -> Vec<Reading<'_>> {
    let mut out = Vec::new();
    let mut pending = vec![(id, 0i64, None)];
    while let Some((id, back_ms, at)) = pending.pop() {
        match &expr[id].kind {
            NodeKind::Vector(s) => {
                let own = fixed(s.at);
                let back_ms = back_ms.saturating_add(s.offset_ms);
                out.push(Reading { selector: s, back_ms, at: own.or(at) });
            }
            NodeKind::Matrix(m) => pending.push((m.selector, back_ms.saturating_add(m.range_ms), at)),
            NodeKind::Subquery(s) => {
                let back_ms = back_ms.saturating_add(s.range_ms).saturating_add(s.offset_ms);
                pending.push((s.expr, back_ms, fixed(s.at).or(at)));
            }
            _ => expr.for_each_child(id, |child| pending.push((child, back_ms, at))),
        }
    }
    out
}

fn fixed(at: AtModifier) -> Option<i64> {
    match at {
        AtModifier::At(t) => Some(t),
        _ => None,
    }
}

/// The engines to ask for a subtree and their steps; `None` when their answers could not be put together.
///
/// Engines of one partition follow each other in time: each answers from the first step on at which it holds all that
/// the step looks back on, until the next does. The first answers from the start.
pub(super) fn calls(
    expr: &Expr,
    id: NodeId,
    params: &TimeParams,
    lookback_ms: i64,
    engines: &[Engine],
) -> Option<Vec<(usize, TimeParams)>> {
    let readings = selectors(expr, id);
    let back_ms = readings.iter().map(|r| r.back_ms).max().unwrap_or(0).saturating_add(lookback_ms);
    let fits = |engine: &Engine| {
        let fits =
            |r: &Reading<'_>| engine.label_sets.iter().any(|set| could_match(set, &r.selector.matchers));
        engine.label_sets.is_empty() || readings.iter().all(fits)
    };
    let mut partitions: BTreeMap<Vec<Labels>, Vec<usize>> = BTreeMap::new();
    for (i, engine) in engines.iter().enumerate().filter(|(_, engine)| fits(engine)) {
        let mut partition = engine.partition.clone();
        partition.sort();
        partitions.entry(partition).or_default().push(i);
    }
    let mut calls = Vec::new();
    for (_, mut members) in partitions {
        members.sort_by_key(|i| (engines[*i].range.max, engines[*i].range.min));
        if members.len() > 1 && !follow_each_other(&members, engines, &readings, back_ms) {
            return None;
        }
        calls.extend(slices(&members, engines, params, back_ms));
    }
    calls.sort_by_key(|(i, _)| *i);
    Some(calls)
}

/// Whether each engine reaches far enough into the next, and all hold every fixed time.
fn follow_each_other(members: &[usize], engines: &[Engine], readings: &[Reading<'_>], back_ms: i64) -> bool {
    let overlap = |pair: &[usize]| {
        let (older, newer) = (&engines[pair[0]].range, &engines[pair[1]].range);
        newer.min.0.saturating_add(back_ms) <= older.max.0
    };
    let holds = |at: i64| {
        members.iter().all(|i| {
            let range = engines[*i].range;
            range.min.0.saturating_add(back_ms) <= at && at <= range.max.0
        })
    };
    members.windows(2).all(overlap) && readings.iter().filter_map(|r| r.at).all(holds)
}

/// The steps that each engine of one partition answers for, those without steps left out.
fn slices(
    members: &[usize],
    engines: &[Engine],
    params: &TimeParams,
    back_ms: i64,
) -> Vec<(usize, TimeParams)> {
    let step = params.step_ms.max(1);
    let first_full = |i: usize| {
        let from = engines[i].range.min.0.saturating_add(back_ms);
        let missing = from.saturating_sub(params.start.0).max(0);
        let steps = missing / step + i64::from(missing % step != 0);
        params.start.0.saturating_add(steps.saturating_mul(step))
    };
    let mut out = Vec::new();
    for (k, i) in members.iter().enumerate() {
        let start = if k == 0 { params.start.0 } else { first_full(*i) };
        let end = match members.get(k + 1) {
            None => params.end.0,
            Some(next) => params.end.0.min(first_full(*next).saturating_sub(step)),
        };
        if start <= end {
            let times = TimeParams { start: Timestamp(start), end: Timestamp(end), step_ms: params.step_ms };
            out.push((*i, times));
        }
    }
    out
}
