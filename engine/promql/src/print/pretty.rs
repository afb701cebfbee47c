//! The text over several lines: nodes that do not fit a line are split, indented by two spaces per level.

use super::text::{aggregate_head, binary_modifiers, lengths, node_text, subquery_suffix_text};
use crate::ast::{Expr, NodeId, NodeKind};

/// Nodes with more bytes than this are split.
const LINE_MAX: usize = 100;

/// The expression as `format_query` answers it.
pub fn prettify(expr: &Expr) -> String {
    prettify_within(expr, usize::MAX).unwrap_or_default()
}

/// Like [`prettify`]; `None` when the text takes more than `bytes_max` bytes. Each operator of a chain is indented
/// further than the one before, so the text grows with the square of the length of the chain.
pub fn prettify_within(expr: &Expr, bytes_max: usize) -> Option<String> {
    let lengths = lengths(expr);
    let mut writer = Writer { out: String::new(), trim: false };
    let mut pending = vec![Piece::Node(expr.root(), 0)];
    while let Some(piece) = pending.pop() {
        match piece {
            Piece::Indent(level) => writer.indent(level),
            Piece::Text(text) => writer.push(&text),
            Piece::Trim => writer.trim = true,
            Piece::Node(id, level) => {
                let mut pieces = Vec::new();
                split(expr, id, level, lengths[id.0 as usize] > LINE_MAX, &mut pieces);
                pending.extend(pieces.into_iter().rev());
            }
        }
        if writer.out.len() > bytes_max {
            return None;
        }
    }
    Some(writer.out)
}

/// A part of the text that is still to be written.
enum Piece {
    /// Two spaces for each level.
    Indent(usize),
    Text(String),
    Node(NodeId, usize),
    /// Leaves out the spaces that follow.
    Trim,
}

struct Writer {
    out: String,
    trim: bool,
}

impl Writer {
    fn indent(&mut self, level: usize) {
        if !self.trim {
            self.out.extend(std::iter::repeat_n("  ", level));
        }
    }

    fn push(&mut self, text: &str) {
        let text = if self.trim { text.trim_start() } else { text };
        self.trim &= text.is_empty();
        self.out.push_str(text);
    }
}

fn split(expr: &Expr, id: NodeId, level: usize, is_long: bool, out: &mut Vec<Piece>) {
    let text = |text: &str| Piece::Text(text.to_owned());
    let indent = || Piece::Indent(level);
    match &expr[id].kind {
        NodeKind::StepInvariant(inner) => out.push(Piece::Node(*inner, level)),
        NodeKind::Unary { negate, expr } => {
            out.extend([indent(), text(if *negate { "-" } else { "+" })]);
            out.push(Piece::Trim);
            out.push(Piece::Node(*expr, level));
        }
        NodeKind::Aggregate(a) if is_long => {
            out.extend([indent(), Piece::Text(format!("{}(\n", aggregate_head(a)))]);
            if let Some(param) = a.param {
                out.push(Piece::Node(param, level + 1));
                out.push(text(",\n"));
            }
            out.push(Piece::Node(a.expr, level + 1));
            out.extend([text("\n"), indent(), text(")")]);
        }
        NodeKind::Binary(b) if is_long => {
            out.push(Piece::Node(b.lhs, level + 1));
            let operator = Piece::Text(format!("{}{}\n", b.op, binary_modifiers(b)));
            out.extend([text("\n"), indent(), operator]);
            out.push(Piece::Node(b.rhs, level + 1));
        }
        NodeKind::Call(c) if is_long => {
            out.extend([indent(), Piece::Text(format!("{}(\n", c.func))]);
            for (i, arg) in c.args.iter().enumerate() {
                if i > 0 {
                    out.push(text(",\n"));
                }
                out.push(Piece::Node(*arg, level + 1));
            }
            out.extend([text("\n"), indent(), text(")")]);
        }
        NodeKind::Paren(inner) if is_long => {
            out.extend([indent(), text("(\n")]);
            out.push(Piece::Node(*inner, level + 1));
            out.extend([text("\n"), indent(), text(")")]);
        }
        NodeKind::Subquery(s) if is_long => {
            out.push(Piece::Node(s.expr, level));
            out.push(Piece::Text(subquery_suffix_text(expr, s)));
        }
        // Upstream does not indent these.
        NodeKind::Subquery(_) => out.push(Piece::Text(node_text(expr, id))),
        _ => out.extend([indent(), Piece::Text(node_text(expr, id))]),
    }
}
