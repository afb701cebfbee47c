//! The canonical text on one line.

use std::fmt::{self, Write};

use tithon_index::{METRIC_NAME, MatchOp, write_name, write_quoted};

use crate::ast::{
    Aggregate, AtModifier, Binary, Cardinality, DurationExpr, DurationOp, Expr, MatrixSelector, NodeId,
    NodeKind, Subquery, VectorSelector,
};
use crate::format::{duration_ms, fixed, general, positional};

/// The canonical text, which parses to an equal expression.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&node_text(self, self.root()))
    }
}

/// The text of a node.
pub(crate) fn node_text(expr: &Expr, id: NodeId) -> String {
    let mut out = String::new();
    let mut pending = vec![Piece::Node(id)];
    while let Some(piece) = pending.pop() {
        match piece {
            Piece::Text(text) => out.push_str(&text),
            Piece::Node(id) => {
                let mut pieces = Vec::new();
                write_node(expr, id, &mut pieces);
                pending.extend(pieces.into_iter().rev());
            }
        }
    }
    out
}

/// The length of the text of each node below the root, bytes.
pub(super) fn lengths(expr: &Expr) -> Vec<usize> {
    let mut lengths = vec![0; expr.nodes().len()];
    let mut pieces = Vec::new();
    for id in expr.preorder().into_iter().rev() {
        write_node(expr, id, &mut pieces);
        let length = |piece| match piece {
            Piece::Text(text) => text.len(),
            // Duration expressions do not count as children, so their lengths are not in the list.
            Piece::Node(child) if matches!(expr[child].kind, NodeKind::Duration(_)) => {
                node_text(expr, child).len()
            }
            Piece::Node(child) if lengths[child.0 as usize] == 0 => node_text(expr, child).len(),
            Piece::Node(child) => lengths[child.0 as usize],
        };
        lengths[id.0 as usize] = pieces.drain(..).map(length).fold(0, usize::saturating_add);
    }
    lengths
}

/// The text of a node without its operands; range selectors are printed with theirs.
pub(crate) fn node_head(expr: &Expr, id: NodeId) -> String {
    match &expr[id].kind {
        NodeKind::Unary { negate, .. } => if *negate { "-" } else { "+" }.to_owned(),
        NodeKind::Binary(b) => format!("{}{}", b.op, binary_modifiers(b)),
        NodeKind::Aggregate(a) => aggregate_head(a).trim_end().to_owned(),
        NodeKind::Call(c) => c.func.name().to_owned(),
        NodeKind::Subquery(s) => {
            let mut pieces = Vec::new();
            subquery_suffix(s, &mut pieces);
            let text = |piece| match piece {
                Piece::Text(text) => text,
                Piece::Node(id) => node_text(expr, id),
            };
            pieces.into_iter().map(text).collect()
        }
        _ => node_text(expr, id),
    }
}

/// A part of the text that is still to be written.
enum Piece {
    Text(String),
    Node(NodeId),
}

impl From<&str> for Piece {
    fn from(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }
}

fn write_node(expr: &Expr, id: NodeId, out: &mut Vec<Piece>) {
    match &expr[id].kind {
        NodeKind::Number { value, is_duration } => out.push(Piece::Text(number(*value, *is_duration))),
        NodeKind::String(text) => out.push(Piece::Text(quoted(text))),
        NodeKind::Vector(v) => {
            out.push(Piece::Text(selector(v)));
            out.push(Piece::Text(at(v.at)));
            out.push(extension(v).into());
            offset(v.offset_ms, v.offset_expr, out);
        }
        NodeKind::Matrix(m) => matrix(expr, m, out),
        NodeKind::Subquery(s) => {
            out.push(Piece::Node(s.expr));
            subquery_suffix(s, out);
        }
        NodeKind::Unary { negate, expr } => {
            out.push(if *negate { "-" } else { "+" }.into());
            out.push(Piece::Node(*expr));
        }
        NodeKind::Binary(b) => {
            out.push(Piece::Node(b.lhs));
            out.push(Piece::Text(format!(" {}{} ", b.op, binary_modifiers(b))));
            out.push(Piece::Node(b.rhs));
        }
        NodeKind::Aggregate(a) => {
            out.push(Piece::Text(aggregate_head(a) + "("));
            if let Some(param) = a.param {
                out.push(Piece::Node(param));
                out.push(", ".into());
            }
            out.push(Piece::Node(a.expr));
            out.push(")".into());
        }
        NodeKind::Call(c) => {
            out.push(Piece::Text(format!("{}(", c.func)));
            for (i, arg) in c.args.iter().enumerate() {
                if i > 0 {
                    out.push(", ".into());
                }
                out.push(Piece::Node(*arg));
            }
            out.push(")".into());
        }
        NodeKind::Paren(inner) => out.extend(["(".into(), Piece::Node(*inner), ")".into()]),
        NodeKind::StepInvariant(inner) => out.push(Piece::Node(*inner)),
        NodeKind::Remote(remote) => out.push(Piece::Text(format!("remote({})", remote.query))),
        NodeKind::Part(place) => out.push(Piece::Text(place.text.to_string())),
        NodeKind::Duration(d) => duration_expr(d, out),
    }
}

fn number(value: f64, is_duration: bool) -> String {
    if !is_duration {
        return positional(value);
    }
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", duration_ms((value.abs() * 1e9) as i64 / 1_000_000))
}

fn quoted(text: &[u8]) -> String {
    let mut out = String::new();
    write_quoted(&mut out, text).expect("writing to a string succeeds");
    out
}

/// Name and matchers.
fn selector(v: &VectorSelector) -> String {
    let mut out = String::from_utf8_lossy(&v.name).into_owned();
    let mut matchers: Vec<String> = v
        .matchers
        .iter()
        .filter(|m| {
            let is_name = m.name() == METRIC_NAME && m.op() == MatchOp::Equal && *m.value() == *v.name;
            !is_name || m.value().is_empty()
        })
        .map(ToString::to_string)
        .collect();
    if !matchers.is_empty() {
        matchers.sort();
        write!(out, "{{{}}}", matchers.join(",")).expect("writing to a string succeeds");
    }
    out
}

fn at(at: AtModifier) -> String {
    match at {
        AtModifier::None => String::new(),
        AtModifier::At(ms) => format!(" @ {}", fixed(ms as f64 / 1000.0, 3)),
        AtModifier::Start => " @ start()".to_owned(),
        AtModifier::End => " @ end()".to_owned(),
    }
}

fn extension(v: &VectorSelector) -> &'static str {
    match v {
        VectorSelector { anchored: true, .. } => " anchored",
        VectorSelector { smoothed: true, .. } => " smoothed",
        _ => "",
    }
}

fn offset(ms: i64, expr: Option<NodeId>, out: &mut Vec<Piece>) {
    if let Some(expr) = expr {
        out.push(" offset ".into());
        out.push(Piece::Node(expr));
    } else if ms != 0 {
        let sign = if ms < 0 { "-" } else { "" };
        out.push(Piece::Text(format!(" offset {sign}{}", duration_ms(ms.saturating_abs()))));
    }
}

fn length(ms: i64, expr: Option<NodeId>) -> Piece {
    expr.map_or_else(|| Piece::Text(duration_ms(ms)), Piece::Node)
}

fn matrix(expr: &Expr, m: &MatrixSelector, out: &mut Vec<Piece>) {
    let NodeKind::Vector(v) = &expr[m.selector].kind else { return };
    out.push(Piece::Text(selector(v) + "["));
    out.push(length(m.range_ms, m.range_expr));
    out.push(Piece::Text(format!("]{}{}", extension(v), at(v.at))));
    offset(v.offset_ms, v.offset_expr, out);
}

fn subquery_suffix(s: &Subquery, out: &mut Vec<Piece>) {
    out.push("[".into());
    out.push(length(s.range_ms, s.range_expr));
    out.push(":".into());
    if s.step_ms != 0 || s.step_expr.is_some() {
        out.push(length(s.step_ms, s.step_expr));
    }
    out.push(Piece::Text(format!("]{}", at(s.at))));
    offset(s.offset_ms, s.offset_expr, out);
}

/// The text of what follows the inner expression of a subquery.
pub(super) fn subquery_suffix_text(expr: &Expr, s: &Subquery) -> String {
    let mut pieces = Vec::new();
    subquery_suffix(s, &mut pieces);
    let text = |piece| match piece {
        Piece::Text(text) => text,
        Piece::Node(id) => node_text(expr, id),
    };
    pieces.into_iter().map(text).collect()
}

/// The operator of an aggregation with its grouping.
pub(super) fn aggregate_head(a: &Aggregate) -> String {
    match (a.without, a.grouping.as_slice()) {
        (true, labels) => format!("{} without ({}) ", a.op, label_list(labels)),
        (false, []) => a.op.to_string(),
        (false, labels) => format!("{} by ({}) ", a.op, label_list(labels)),
    }
}

fn label_list(labels: &[Box<[u8]>]) -> String {
    let mut out = String::new();
    for (i, label) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_name(&mut out, label).expect("writing to a string succeeds");
    }
    out
}

/// The modifiers between a binary operator and its right operand.
pub(super) fn binary_modifiers(b: &Binary) -> String {
    let mut out = String::from(if b.return_bool { " bool" } else { "" });
    let Some(m) = &b.matching else { return out };
    let group = match m.cardinality {
        Cardinality::ManyToOne => Some("left"),
        Cardinality::OneToMany => Some("right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !m.labels.is_empty() || m.on || group.is_some() {
        let word = if m.on { "on" } else { "ignoring" };
        out.push_str(&format!(" {word} ({})", label_list(&m.labels)));
    }
    if let Some(side) = group {
        out.push_str(&format!(" group_{side} ({})", label_list(&m.include)));
    }
    match (m.fill_left, m.fill_right) {
        (Some(left), Some(right)) if left == right => out.push_str(&format!(" fill ({})", general(left))),
        (left, right) => {
            if let Some(left) = left {
                out.push_str(&format!(" fill_left ({})", general(left)));
            }
            if let Some(right) = right {
                out.push_str(&format!(" fill_right ({})", general(right)));
            }
        }
    }
    out
}

fn duration_expr(d: &DurationExpr, out: &mut Vec<Piece>) {
    if d.wrapped {
        out.push("(".into());
    }
    match (d.op, d.lhs, d.rhs) {
        (DurationOp::Step | DurationOp::Range, ..) => out.push(Piece::Text(format!("{}()", d.op))),
        (DurationOp::MinOf | DurationOp::MaxOf, Some(lhs), Some(rhs)) => {
            out.push(Piece::Text(format!("{}(", d.op)));
            out.extend([Piece::Node(lhs), ", ".into(), Piece::Node(rhs), ")".into()]);
        }
        (op, Some(lhs), Some(rhs)) => {
            out.extend([Piece::Node(lhs), Piece::Text(format!(" {op} ")), Piece::Node(rhs)]);
        }
        (op, lhs, rhs) => {
            if op == DurationOp::Sub {
                out.push("-".into());
            }
            out.extend(lhs.or(rhs).map(Piece::Node));
        }
    }
    if d.wrapped {
        out.push(")".into());
    }
}
