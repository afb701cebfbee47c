//! Parts of a plan that stores evaluate next to their data, so that only values travel.
//!
//! A store has the whole query, its options and its times, so it makes the same plan, and evaluates one node of it: the value of
//! the node, its annotations and its counts are those of an evaluation here. A node is handed to a store only if
//! - all series of its selections come from that store alone, as the caller knows,
//! - its value is smaller than what it reads: every selector stands below an aggregation, or a function that reduces series,
//! - no selector outside of it reads one of its selections, which would be read twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Prepared;
use crate::ast::{Expr, Node, NodeId, NodeKind, PartPlace};
use crate::func::Func;
use crate::print::node_text;
use crate::value_type::ValueType;

/// Who has the series of a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// No store may have any.
    Nobody,
    /// One store alone, given by its index among the names of [`Prepared::cut`].
    One(usize),
    /// Several stores may, or one that evaluates nothing.
    Others,
}

/// A part of a plan that a store evaluates.
#[derive(Clone, Debug, PartialEq)]
pub struct StorePart {
    /// Index of the store.
    pub store: usize,
    /// Its name, for people.
    pub store_name: String,
    /// The node of the plan.
    pub node: NodeId,
    /// The text of the node, by which a store notices that its plan is another one.
    pub text: Arc<str>,
}

/// A part is not in the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the plan of the query has no node {node} like the one asked for: the plans of querier and store differ"
)]
pub struct PartUnknown {
    /// The number of the node.
    pub node: u32,
}

impl Holder {
    /// Who has the series of two selections.
    fn and(self, other: Holder) -> Holder {
        match (self, other) {
            (Holder::Nobody, holder) | (holder, Holder::Nobody) => holder,
            (Holder::One(a), Holder::One(b)) if a == b => self,
            _ => Holder::Others,
        }
    }
}

impl Prepared {
    /// Hands the largest nodes that fulfil the conditions to stores. `names` are those of the stores; `holders` are, for each of
    /// [`Prepared::selects`], who has its series.
    pub fn cut(&mut self, names: &[String], holders: &[Holder]) {
        assert_eq!(holders.len(), self.selects.len(), "a holder for each selection");
        if !holders.iter().any(|holder| matches!(holder, Holder::One(_))) {
            return;
        }
        let facts = Facts::of_nodes(self, holders);
        let mut pending = vec![self.expr.root()];
        let mut is_cut = false;
        while let Some(id) = pending.pop() {
            match facts[&id].store() {
                Some(store) if matches!(self.expr[id].ty, ValueType::Vector | ValueType::Scalar) => {
                    self.cut_node(id, store, &names[store]);
                    is_cut = true;
                }
                _ => push_children(&self.expr, id, &mut pending),
            }
        }
        if is_cut {
            self.keep_reads_below(self.expr.root());
        }
    }

    fn cut_node(&mut self, node: NodeId, store: usize, name: &str) {
        let text: Arc<str> = node_text(&self.expr, node).into();
        let place = PartPlace { text: Arc::clone(&text), part: self.store_parts.len() };
        // The store's plan has the node under this id, so the part takes its place.
        self.expr[node].kind = NodeKind::Part(place);
        self.store_parts.push(StorePart { store, store_name: name.to_owned(), node, text });
    }

    /// The parts that stores evaluate. [`Prepared::eval_with`] takes their values.
    pub fn store_parts(&self) -> &[StorePart] {
        &self.store_parts
    }

    /// Keeps one node of the plan, for [`Prepared::eval_part`]: [`Prepared::selects`] are those below it. `node` and `text` are
    /// those of a [`StorePart`].
    ///
    /// Fails if there is no such node.
    pub fn keep_only(&mut self, node: u32, text: &str) -> Result<(), PartUnknown> {
        let id = NodeId(node);
        let has_value = |node: &Node| matches!(node.ty, ValueType::Vector | ValueType::Scalar);
        let is_there = self.expr.nodes().get(node as usize).is_some_and(has_value)
            && reached(&self.expr).contains(&id)
            && node_text(&self.expr, id) == text;
        if !is_there {
            return Err(PartUnknown { node });
        }
        self.only = Some(id);
        self.keep_reads_below(id);
        Ok(())
    }

    /// Forgets the selections that no node below this one reads.
    fn keep_reads_below(&mut self, id: NodeId) {
        let below: HashSet<NodeId> = self.expr.preorder_from(id).into_iter().collect();
        self.reads.retain(|id, _| below.contains(id));
        let used: HashSet<usize> = self.reads.values().map(|reading| reading.select).collect();
        let mut places = HashMap::new();
        let mut kept = Vec::new();
        for (i, spec) in std::mem::take(&mut self.selects).into_iter().enumerate() {
            if used.contains(&i) {
                places.insert(i, kept.len());
                kept.push(spec);
            }
        }
        self.selects = kept;
        self.reads.values_mut().for_each(|reading| reading.select = places[&reading.select]);
    }
}

/// The nodes that are evaluated at all steps of the query.
fn reached(expr: &Expr) -> HashSet<NodeId> {
    let (mut found, mut pending) = (HashSet::new(), vec![expr.root()]);
    while let Some(id) = pending.pop() {
        found.insert(id);
        push_children(expr, id, &mut pending);
    }
    found
}

/// Adds the children of a node that are evaluated at the same steps as the node. Selectors of ranges, inner expressions of
/// subqueries and what is the same at every step are not; parameters are left where they are.
fn push_children(expr: &Expr, id: NodeId, pending: &mut Vec<NodeId>) {
    match &expr[id].kind {
        NodeKind::Matrix(_) | NodeKind::Subquery(_) | NodeKind::StepInvariant(_) => {}
        NodeKind::Aggregate(a) => pending.push(a.expr),
        _ => {
            let first = pending.len();
            expr.for_each_child(id, |child| pending.push(child));
            pending[first..].reverse();
        }
    }
}

/// What decides whether a node is handed to a store.
#[derive(Clone, Copy, Debug)]
struct Facts {
    /// Who has the series of the selections below.
    holder: Holder,
    /// Whether it has no selector, or every selector stands below a node that reduces series.
    is_reduced: bool,
    /// Whether all readers of the selections below stand below, too.
    owns: bool,
}

/// Places of nodes in the order of [`Expr::preorder`]: `start` is the first one, `end` comes after the last one.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// No places.
    const NONE: Span = Span { start: usize::MAX, end: 0 };

    fn and(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    fn has(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

impl Facts {
    /// The store that evaluates the node, if one does.
    fn store(&self) -> Option<usize> {
        match self.holder {
            Holder::One(store) if self.is_reduced && self.owns => Some(store),
            _ => None,
        }
    }

    /// The facts about all nodes that the root reaches.
    fn of_nodes(prepared: &Prepared, holders: &[Holder]) -> HashMap<NodeId, Facts> {
        let expr = &prepared.expr;
        let order = expr.preorder();
        let readers = readers(prepared, &order);
        let mut all: HashMap<NodeId, (Facts, Span, Span)> = HashMap::with_capacity(order.len());
        for (place, id) in order.iter().enumerate().rev() {
            let mut own = Span { start: place, end: place + 1 };
            let (mut holder, mut readers_below, mut is_reduced) = (Holder::Nobody, Span::NONE, true);
            if let Some(reading) = prepared.reads.get(id) {
                holder = holders[reading.select];
                readers_below = readers[reading.select];
                is_reduced = false;
            }
            expr.for_each_child(*id, |child| {
                let (facts, span, readers) = &all[&child];
                own = own.and(*span);
                holder = holder.and(facts.holder);
                readers_below = readers_below.and(*readers);
                is_reduced &= facts.is_reduced;
            });
            let is_reduced = is_reduced || reduces(&expr[*id].kind);
            let owns = own.has(readers_below);
            all.insert(*id, (Facts { holder, is_reduced, owns }, own, readers_below));
        }
        all.into_iter().map(|(id, (facts, ..))| (id, facts)).collect()
    }
}

/// For each selection, the places of all nodes that read it.
fn readers(prepared: &Prepared, order: &[NodeId]) -> Vec<Span> {
    let mut spans = vec![Span::NONE; prepared.selects.len()];
    for (place, id) in order.iter().enumerate() {
        if let Some(reading) = prepared.reads.get(id) {
            let span = &mut spans[reading.select];
            *span = span.and(Span { start: place, end: place + 1 });
        }
    }
    spans
}

/// Whether a node yields fewer series than it gets, as a rule.
fn reduces(kind: &NodeKind) -> bool {
    match kind {
        NodeKind::Aggregate(_) => true,
        NodeKind::Call(call) => matches!(
            call.func,
            Func::Absent
                | Func::AbsentOverTime
                | Func::Scalar
                | Func::HistogramQuantile
                | Func::HistogramQuantiles
                | Func::HistogramFraction
        ),
        _ => false,
    }
}
