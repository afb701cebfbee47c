//! The plan of a query as a tree for people to read.

use super::{Prepared, RemotePart};
use crate::ast::{NodeId, NodeKind, RemoteResult};
use crate::print::node_head;

/// Operators on deeper levels are left out of plans and analyses, since printing and dropping those recurses.
pub(crate) const LEVELS_MAX: usize = 1_000;

/// An operator of a plan, with its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanNode {
    /// The operator: `[aggregate] sum by (job)`.
    pub name: String,
    /// Its inputs, in the order of evaluation.
    pub children: Vec<PlanNode>,
}

impl Prepared {
    /// The plan, after all rewriting.
    pub fn explain(&self) -> PlanNode {
        self.plan_node(self.expr.root(), 1)
    }

    fn plan_node(&self, id: NodeId, level: usize) -> PlanNode {
        let id = self.expr.unparen(id);
        let children = if level < LEVELS_MAX { self.expr.children(id) } else { Vec::new() };
        let mut children: Vec<_> =
            children.into_iter().map(|child| self.plan_node(child, level + 1)).collect();
        let parts = self.part_names(id).into_iter();
        children.extend(parts.map(|name| PlanNode { name, children: Vec::new() }));
        PlanNode { name: self.operator_name(id), children }
    }

    /// The name of a result of other queriers: that of its only part, or one that stands above several parts.
    fn remote_name(&self, remote: &RemoteResult) -> String {
        match remote.parts[..] {
            [part] => self.part_name(part),
            _ => "[dedup]".to_owned(),
        }
    }

    /// The names of the parts below a node that is the result of several.
    pub(crate) fn part_names(&self, id: NodeId) -> Vec<String> {
        match &self.expr[id].kind {
            NodeKind::Remote(remote) if remote.parts.len() > 1 => {
                remote.parts.iter().map(|part| self.part_name(*part)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn part_name(&self, part: usize) -> String {
        let RemotePart { engine, query, times } = &self.remote_parts[part];
        let engines = self.options.remotes.as_ref().map(|remotes| remotes.engines());
        let address = engines.and_then(|engines| engines.get(*engine)).map_or("", |engine| &engine.name);
        let (start, end) = (times.start.0 / 1000, times.end.0 / 1000);
        format!("[remoteExec] {address}: {query} ({start}, {end})")
    }

    /// The name of the operator that evaluates a node.
    pub(crate) fn operator_name(&self, id: NodeId) -> String {
        let kind = match &self.expr[id].kind {
            NodeKind::Number { .. } => "numberLiteral",
            NodeKind::String(_) => "stringLiteral",
            NodeKind::Vector(_) => "vectorSelector",
            NodeKind::Matrix(_) => "matrixSelector",
            NodeKind::Subquery(_) => "subquery",
            NodeKind::Unary { .. } => "unary",
            NodeKind::Binary(_) => "binary",
            NodeKind::Aggregate(_) => "aggregate",
            NodeKind::Call(_) => "function",
            NodeKind::StepInvariant(_) => return "[stepInvariant]".to_owned(),
            NodeKind::Remote(remote) => return self.remote_name(remote),
            NodeKind::Part(place) => {
                let store = self.store_parts.get(place.part).map_or("", |part| &part.store_name);
                return format!("[storeExec] {store}: {}", place.text);
            }
            NodeKind::Paren(_) | NodeKind::Duration(_) => "expression",
        };
        let mut name = format!("[{kind}] {}", node_head(&self.expr, id));
        if let Some(reading) = self.reads.get(&id) {
            name.push_str(&format!(", selection {}", reading.select));
            if !reading.filter.is_empty() {
                let filter: Vec<String> = reading.filter.iter().map(ToString::to_string).collect();
                name.push_str(&format!(" filtered by {{{}}}", filter.join(", ")));
            }
        }
        if self.stats_only.contains(&id) {
            name.push_str(", without buckets");
        }
        if self.unsorted.contains(&id) {
            name.push_str(", without order");
        }
        name
    }
}
