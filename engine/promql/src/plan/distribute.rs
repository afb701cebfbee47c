//! Distributed execution: which parts of a query other engines may evaluate on their own series, and how their answers
//! come together again.
//!
//! Each engine holds series of its own, told apart by partition labels, for some time. A part that never looks across
//! partitions is sent to every engine as it is; an aggregation across them is done twice, there by group and partition
//! and here by group. Rules: `logicalplan/distribute.go` of thanos-io/promql-engine. Other than there, engines that hold
//! the same partition answer for disjoint times, so that no step has two answers.

mod engines;
mod join;

use tithon_chunks::TimeRange;
use tithon_index::{Labels, Matcher};

use super::{Prepared, SelectHints, SelectSpec};
use crate::ast::{
    Aggregate, AggregateOp, AtModifier, Binary, BinaryOp, Call, Cardinality, Expr, Node, NodeId, NodeKind,
    ValueType, VectorMatching, VectorSelector,
};
use crate::functions_table::function;
use crate::options::TimeParams;
use crate::stack::with_room;

pub use engines::Engine;
pub use join::join_answers;

/// A part of a query that other engines evaluate. The answers of all of them, each series once, its samples at the
/// steps, make the input of the selection that it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Fragment {
    /// The text of the part.
    pub query: String,
    /// The engines to ask, by their place in the list given, and for which steps.
    pub calls: Vec<(usize, TimeParams)>,
}

/// How a subtree stands to the engines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It reads no series.
    Constant,
    /// Each engine can evaluate it on its own series; the union is the result.
    Open,
    /// It has been cut, or cannot be.
    Closed,
}

/// Cuts a query whose durations and fixed times are resolved; gives the fragments with the nodes that stand for them.
pub(super) fn cut(
    expr: &mut Expr,
    params: &TimeParams,
    lookback_ms: i64,
    engines: &[Engine],
) -> (Vec<(NodeId, Fragment)>, Vec<String>) {
    let partition = engines::partition_labels(engines);
    let root = expr.root();
    let mut cutter =
        Cutter { expr, params, lookback_ms, engines, partition, fragments: Vec::new(), warnings: Vec::new() };
    if cutter.visit(root) == Part::Open
        && let Some(cut) = cutter.fragment(root)
    {
        cutter.expr.set_root(cut);
    }
    let (fragments, warnings) = (cutter.fragments, cutter.warnings);
    (fragments, warnings)
}

struct Cutter<'a> {
    expr: &'a mut Expr,
    params: &'a TimeParams,
    lookback_ms: i64,
    engines: &'a [Engine],
    partition: Vec<Box<[u8]>>,
    fragments: Vec<(NodeId, Fragment)>,
    warnings: Vec<String>,
}

impl Cutter<'_> {
    /// Cuts below a node and tells how the node stands.
    fn visit(&mut self, id: NodeId) -> Part {
        with_room(|| self.visit_here(id))
    }

    fn visit_here(&mut self, id: NodeId) -> Part {
        match self.expr[id].kind.clone() {
            NodeKind::Number { .. } | NodeKind::String(_) | NodeKind::Duration(_) => Part::Constant,
            NodeKind::Vector(_) => Part::Open,
            NodeKind::Matrix(m) => self.visit(m.selector),
            NodeKind::Paren(inner) | NodeKind::Unary { expr: inner, .. } | NodeKind::StepInvariant(inner) => {
                self.visit(inner)
            }
            // Its steps are not those of the query: what is in it is sent whole or not at all.
            NodeKind::Subquery(s) => match self.is_open_inside(s.expr) {
                true => Part::Open,
                false => Part::Closed,
            },
            NodeKind::Aggregate(a) => self.visit_aggregate(id, &a),
            NodeKind::Binary(b) => self.visit_binary(id, &b),
            NodeKind::Call(call) => self.visit_call(id, &call),
        }
    }

    /// Whether a subtree is open, without cutting anything.
    fn is_open_inside(&self, id: NodeId) -> bool {
        let mut copy = self.expr.clone();
        let mut probe = Cutter {
            expr: &mut copy,
            partition: self.partition.clone(),
            fragments: Vec::new(),
            warnings: Vec::new(),
            ..*self
        };
        probe.visit(id) == Part::Open && probe.fragments.is_empty()
    }

    fn visit_aggregate(&mut self, id: NodeId, a: &Aggregate) -> Part {
        let inner = self.visit(a.expr);
        let constant = a.param.is_none_or(|param| self.visit_param(param));
        if inner != Part::Open || !constant {
            self.close(id, a.expr, inner);
            return Part::Closed;
        }
        let listed = |label: &[u8]| a.grouping.iter().any(|name| name.as_ref() == label);
        if self.partition.iter().all(|label| listed(label) != a.without) {
            return Part::Open;
        }
        match a.op {
            AggregateOp::Avg => self.cut_average(id, a),
            AggregateOp::Sum
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Group
            | AggregateOp::Count
            | AggregateOp::Topk
            | AggregateOp::Bottomk
            | AggregateOp::Limitk => {
                if let Some(cut) = self.remote_aggregate(id, a, a.op) {
                    let op = if a.op == AggregateOp::Count { AggregateOp::Sum } else { a.op };
                    self.expr[id].kind =
                        NodeKind::Aggregate(Box::new(Aggregate { op, expr: cut, ..a.clone() }));
                }
            }
            _ => self.close(id, a.expr, inner),
        }
        Part::Closed
    }

    /// Whether a parameter reads no series.
    fn visit_param(&mut self, id: NodeId) -> bool {
        self.visit(id) == Part::Constant
    }

    /// `avg` becomes a sum of sums over a sum of counts.
    fn cut_average(&mut self, id: NodeId, a: &Aggregate) {
        let Some(sums) = self.remote_aggregate(id, a, AggregateOp::Sum) else { return };
        let Some(counts) = self.remote_aggregate(id, a, AggregateOp::Count) else { return };
        let Node { pos, ty, .. } = self.expr[id];
        let mut local = |expr: NodeId| {
            let sum = Aggregate { op: AggregateOp::Sum, expr, ..a.clone() };
            self.expr.push(Node { kind: NodeKind::Aggregate(Box::new(sum)), pos, ty })
        };
        let (lhs, rhs) = (local(sums), local(counts));
        let matching = VectorMatching {
            cardinality: Cardinality::OneToOne,
            on: !a.without,
            labels: if a.without { Vec::new() } else { a.grouping.clone() },
            ..VectorMatching::default()
        };
        let quotient = Binary { op: BinaryOp::Div, lhs, rhs, matching: Some(matching), return_bool: false };
        self.expr[id].kind = NodeKind::Binary(Box::new(quotient));
    }

    /// The fragment of an aggregation that keeps partitions apart.
    fn remote_aggregate(&mut self, id: NodeId, a: &Aggregate, op: AggregateOp) -> Option<NodeId> {
        let mut grouping = a.grouping.clone();
        if a.without {
            grouping.retain(|name| !self.partition.contains(name));
        } else {
            let missing = self.partition.iter().filter(|label| !a.grouping.contains(label));
            grouping.extend(missing.cloned());
        }
        let Node { pos, ty, .. } = self.expr[id];
        let remote = Aggregate { op, grouping, ..a.clone() };
        let remote = self.expr.push(Node { kind: NodeKind::Aggregate(Box::new(remote)), pos, ty });
        self.fragment(remote)
    }

    fn visit_binary(&mut self, id: NodeId, b: &Binary) -> Part {
        let (left, right) = (self.visit(b.lhs), self.visit(b.rhs));
        let is_scalar = |id: NodeId| self.expr[id].ty == ValueType::Scalar;
        let open = match (left, right) {
            (Part::Constant, Part::Constant) => return Part::Constant,
            (Part::Open, Part::Constant) => is_scalar(b.rhs),
            (Part::Constant, Part::Open) => is_scalar(b.lhs),
            (Part::Open, Part::Open) => self.keeps_partitions(b),
            _ => false,
        };
        if open {
            return Part::Open;
        }
        self.close(id, b.lhs, left);
        self.close(id, b.rhs, right);
        Part::Closed
    }

    /// Whether partners always lie in one partition, and a partition's answer does not depend on others.
    fn keeps_partitions(&self, b: &Binary) -> bool {
        let Some(matching) = &b.matching else { return false };
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        let kept = self
            .partition
            .iter()
            .all(|label| matching.labels.contains(label) == matching.on && !matching.include.contains(label));
        let needs_equal = matches!(b.op, BinaryOp::Or | BinaryOp::Unless);
        kept && !fills && (!needs_equal || self.partition_matchers(b.lhs) == self.partition_matchers(b.rhs))
    }

    /// The matchers on partition labels below a node, as texts, in one order.
    fn partition_matchers(&self, id: NodeId) -> Vec<Vec<String>> {
        let of = |s: &VectorSelector| {
            let on_partition = s.matchers.iter().filter(|m| self.partition.iter().any(|l| **l == *m.name()));
            let mut texts: Vec<String> = on_partition.map(ToString::to_string).collect();
            texts.sort();
            texts
        };
        let mut all: Vec<_> = engines::selectors(self.expr, id).into_iter().map(|s| of(s.selector)).collect();
        all.sort();
        all.dedup();
        all
    }

    fn visit_call(&mut self, id: NodeId, call: &Call) -> Part {
        let name = call.func.name;
        let parts: Vec<Part> = call.args.iter().map(|arg| self.visit(*arg)).collect();
        let is_series =
            |i: usize| matches!(self.expr[call.args[i]].ty, ValueType::Vector | ValueType::Matrix);
        let fits =
            (0..parts.len()).all(|i| parts[i] == if is_series(i) { Part::Open } else { Part::Constant });
        let rewrites = matches!(name, "label_replace" | "label_join")
            && call.args.get(1).is_some_and(|arg| self.is_partition_label(*arg));
        if rewrites {
            self.warnings
                .push(format!("{name} on a partition label may keep the query from being distributed"));
        }
        let refused = rewrites || name == "scalar" || name == "info" || name.starts_with("sort");
        match parts.iter().all(|part| *part == Part::Constant) {
            true => return Part::Constant,
            false if matches!(name, "absent" | "absent_over_time") && fits => self.cut_absent(id, call),
            false if fits && !refused => return Part::Open,
            false => {
                for (arg, part) in call.args.clone().into_iter().zip(parts) {
                    self.close(id, arg, part);
                }
            }
        }
        Part::Closed
    }

    fn is_partition_label(&self, arg: NodeId) -> bool {
        match &self.expr[self.expr.unparen(arg)].kind {
            NodeKind::String(text) => self.partition.iter().any(|label| label == text),
            _ => false,
        }
    }

    /// What is absent everywhere is absent: each engine says what is present, by partition.
    fn cut_absent(&mut self, id: NodeId, call: &Call) {
        let Node { pos, ty, .. } = self.expr[id];
        let arg = self.expr.unparen(call.args[0]);
        let (selector, present) = match &self.expr[arg].kind {
            NodeKind::Matrix(m) => {
                let func = function("present_over_time").expect("a known function");
                let kind = NodeKind::Call(Call { func, args: vec![call.args[0]] });
                (Some(m.selector), Node { kind, pos, ty })
            }
            NodeKind::Subquery(_) => {
                let func = function("present_over_time").expect("a known function");
                let kind = NodeKind::Call(Call { func, args: vec![call.args[0]] });
                (None, Node { kind, pos, ty })
            }
            NodeKind::Vector(_) => (Some(arg), self.expr[arg].clone()),
            _ => (None, self.expr[arg].clone()),
        };
        let expr = self.expr.push(present);
        let group = Aggregate {
            op: AggregateOp::Group,
            param: None,
            expr,
            grouping: self.partition.clone(),
            without: false,
        };
        let group = self.expr.push(Node { kind: NodeKind::Aggregate(Box::new(group)), pos, ty });
        // The result has the labels that the selector pins.
        let matchers = match selector.map(|id| &self.expr[id].kind) {
            Some(NodeKind::Vector(s)) => s.matchers.clone(),
            _ => Vec::new(),
        };
        if let Some(cut) = self.fragment(group) {
            if let NodeKind::Vector(s) = &mut self.expr[cut].kind {
                s.matchers = matchers;
            }
            let func = function("absent").expect("a known function");
            self.expr[id].kind = NodeKind::Call(Call { func, args: vec![cut] });
        }
    }

    /// Cuts an open child off its parent, which is not open.
    fn close(&mut self, parent: NodeId, child: NodeId, part: Part) {
        if part != Part::Open || self.expr[child].ty != ValueType::Vector {
            return;
        }
        let Some(cut) = self.fragment(child) else { return };
        match &mut self.expr[parent].kind {
            NodeKind::Aggregate(a) => a.expr = cut,
            NodeKind::Binary(b) if b.lhs == child => b.lhs = cut,
            NodeKind::Binary(b) => b.rhs = cut,
            NodeKind::Call(c) => c.args.iter_mut().filter(|arg| **arg == child).for_each(|arg| *arg = cut),
            _ => {}
        }
    }

    /// A node that stands for what the engines make of a subtree; `None` when they cannot be asked for it.
    fn fragment(&mut self, id: NodeId) -> Option<NodeId> {
        let calls = engines::calls(self.expr, id, self.params, self.lookback_ms, self.engines)?;
        let mut copy = self.expr.clone();
        copy.set_root(id);
        let Node { pos, ty, .. } = self.expr[id];
        let kind =
            NodeKind::Vector(Box::new(VectorSelector { at: AtModifier::None, ..VectorSelector::default() }));
        let node = self.expr.push(Node { kind, pos, ty });
        self.fragments.push((node, Fragment { query: copy.to_string(), calls }));
        Some(node)
    }
}

/// The selection that a fragment stands for: all its answers at the steps of the query.
pub(super) fn select(prepared: &Prepared) -> SelectSpec {
    let TimeParams { start, end, step_ms } = prepared.params;
    SelectSpec {
        matchers: Vec::<Matcher>::new(),
        range: TimeRange { min: start, max: end },
        hints: SelectHints { start_ms: start.0, end_ms: end.0, step_ms, ..SelectHints::default() },
    }
}

/// Whether a label set could fulfil matchers, as far as its own labels tell.
fn could_match(labels: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| labels.get(m.name()).is_none_or(|value| m.matches(value)))
}
