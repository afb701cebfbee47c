//! The text over several lines: what is longer than a line is split, with two spaces per level.

use super::text::{aggregate_head, binary_modifiers, node_text, subquery_suffix_text};
use crate::ast::{Expr, NodeId, NodeKind};

/// Nodes with more bytes than this are split.
const LINE_MAX: usize = 100;

/// The expression as `format_query` answers it.
pub fn prettify(expr: &Expr) -> String {
    let mut writer = Writer { out: String::new(), trim: false };
    let mut pending = vec![Piece::Node(expr.root(), 0)];
    while let Some(piece) = pending.pop() {
        match piece {
            Piece::Text(text) => writer.push(&text),
            Piece::Trim => writer.trim = true,
            Piece::Node(id, level) => {
                let mut pieces = Vec::new();
                split(expr, id, level, &mut pieces);
                pending.extend(pieces.into_iter().rev());
            }
        }
    }
    writer.out
}

/// A part of the text still to be written.
enum Piece {
    Text(String),
    Node(NodeId, usize),
    /// Leave out the spaces that come next.
    Trim,
}

struct Writer {
    out: String,
    trim: bool,
}

impl Writer {
    fn push(&mut self, text: &str) {
        let text = if self.trim { text.trim_start() } else { text };
        self.trim &= text.is_empty();
        self.out.push_str(text);
    }
}

fn split(expr: &Expr, id: NodeId, level: usize, out: &mut Vec<Piece>) {
    let indent = "  ".repeat(level);
    let text = |text: &str| Piece::Text(text.to_owned());
    let is_long = || node_text(expr, id, LINE_MAX).len() > LINE_MAX;
    match &expr[id].kind {
        NodeKind::StepInvariant(inner) => out.push(Piece::Node(*inner, level)),
        NodeKind::Unary { negate, expr } => {
            out.push(Piece::Text(indent + if *negate { "-" } else { "+" }));
            out.push(Piece::Trim);
            out.push(Piece::Node(*expr, level));
        }
        NodeKind::Aggregate(a) if is_long() => {
            out.push(Piece::Text(format!("{indent}{}(\n", aggregate_head(a))));
            if let Some(param) = a.param {
                out.push(Piece::Node(param, level + 1));
                out.push(text(",\n"));
            }
            out.push(Piece::Node(a.expr, level + 1));
            out.push(Piece::Text(format!("\n{indent})")));
        }
        NodeKind::Binary(b) if is_long() => {
            out.push(Piece::Node(b.lhs, level + 1));
            out.push(Piece::Text(format!("\n{indent}{}{}\n", b.op, binary_modifiers(b))));
            out.push(Piece::Node(b.rhs, level + 1));
        }
        NodeKind::Call(c) if is_long() => {
            out.push(Piece::Text(format!("{indent}{}(\n", c.func.name)));
            for (i, arg) in c.args.iter().enumerate() {
                if i > 0 {
                    out.push(text(",\n"));
                }
                out.push(Piece::Node(*arg, level + 1));
            }
            out.push(Piece::Text(format!("\n{indent})")));
        }
        NodeKind::Paren(inner) if is_long() => {
            out.push(Piece::Text(format!("{indent}(\n")));
            out.push(Piece::Node(*inner, level + 1));
            out.push(Piece::Text(format!("\n{indent})")));
        }
        NodeKind::Subquery(s) if is_long() => {
            out.push(Piece::Node(s.expr, level));
            out.push(Piece::Text(subquery_suffix_text(expr, s)));
        }
        // Upstream forgets to indent these.
        NodeKind::Subquery(_) => out.push(Piece::Text(node_text(expr, id, usize::MAX))),
        _ => out.push(Piece::Text(indent + &node_text(expr, id, usize::MAX))),
    }
}
