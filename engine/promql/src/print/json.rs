//! The tree as `parse_query` answers it.

use serde_json::{Value, json};
use tithon_index::Matcher;

use crate::ast::{AtModifier, Binary, Expr, NodeId, NodeKind, Subquery, VectorSelector};
use crate::format::positional;

/// Higher trees are not converted: the JSON nests as deep as the tree, and reading or dropping it recurses.
const HEIGHT_MAX: usize = 1000;

/// The tree as JSON; `None` if it is higher than 1,000 nodes.
pub fn to_json(expr: &Expr) -> Option<Value> {
    let order = expr.preorder();
    let mut height = vec![0usize; expr.nodes().len()];
    for id in order.iter().rev() {
        let mut highest = 0;
        expr.for_each_child(*id, |child| highest = highest.max(height[child.0 as usize]));
        height[id.0 as usize] = highest + 1;
    }
    (height[expr.root().0 as usize] <= HEIGHT_MAX).then(|| node(expr, expr.root()))
}

fn node(expr: &Expr, id: NodeId) -> Value {
    match &expr[id].kind {
        NodeKind::Number { value, .. } => json!({ "type": "numberLiteral", "val": positional(*value) }),
        NodeKind::String(val) => json!({ "type": "stringLiteral", "val": text(val) }),
        NodeKind::Vector(v) => selector(expr, v, "vectorSelector"),
        NodeKind::Matrix(m) => match &expr[m.selector].kind {
            NodeKind::Vector(v) => {
                let mut object = selector(expr, v, "matrixSelector");
                object["range"] = m.range_ms.into();
                object["rangeExpr"] = duration(expr, m.range_expr);
                object
            }
            _ => Value::Null,
        },
        NodeKind::Subquery(s) => subquery(expr, s),
        NodeKind::Unary { negate, expr: inner } => {
            let op = if *negate { "-" } else { "+" };
            json!({ "type": "unaryExpr", "op": op, "expr": node(expr, *inner) })
        }
        NodeKind::Binary(b) => binary(expr, b),
        NodeKind::Aggregate(a) => json!({
            "type": "aggregation",
            "op": a.op.as_str(),
            "expr": node(expr, a.expr),
            "param": a.param.map(|param| node(expr, param)),
            "grouping": texts(&a.grouping),
            "without": a.without,
        }),
        NodeKind::Call(c) => json!({
            "type": "call",
            "func": {
                "name": c.func.name(),
                "argTypes": c.func.signature().arg_types.iter().map(|ty| ty.as_str()).collect::<Vec<_>>(),
                "variadic": c.func.signature().variadic,
                "returnType": c.func.signature().return_type.as_str(),
            },
            "args": c.args.iter().map(|arg| node(expr, *arg)).collect::<Vec<_>>(),
        }),
        NodeKind::Paren(inner) => json!({ "type": "parenExpr", "expr": node(expr, *inner) }),
        NodeKind::StepInvariant(inner) => node(expr, *inner),
        NodeKind::Remote(remote) => json!({ "type": "remote", "query": *remote.query }),
        NodeKind::Part(place) => json!({ "type": "remote", "query": *place.text }),
        NodeKind::Duration(_) => duration(expr, Some(id)),
    }
}

fn selector(expr: &Expr, v: &VectorSelector, ty: &str) -> Value {
    let (timestamp, start_or_end) = at(v.at);
    let matcher =
        |m: &Matcher| json!({ "name": text(m.name()), "value": text(m.value()), "type": m.op().as_str() });
    json!({
        "type": ty,
        "name": text(&v.name),
        "offset": v.offset_ms,
        "offsetExpr": duration(expr, v.offset_expr),
        "matchers": v.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
        "anchored": v.anchored,
        "smoothed": v.smoothed,
    })
}

fn subquery(expr: &Expr, s: &Subquery) -> Value {
    let (timestamp, start_or_end) = at(s.at);
    json!({
        "type": "subquery",
        "expr": node(expr, s.expr),
        "range": s.range_ms,
        "rangeExpr": duration(expr, s.range_expr),
        "offset": s.offset_ms,
        "offsetExpr": duration(expr, s.offset_expr),
        "step": s.step_ms,
        "stepExpr": duration(expr, s.step_expr),
        "timestamp": timestamp,
        "startOrEnd": start_or_end,
    })
}

fn binary(expr: &Expr, b: &Binary) -> Value {
    let matching = b.matching.as_ref().map(|m| {
        json!({
            "card": m.cardinality.as_str(),
            "labels": texts(&m.labels),
            "on": m.on,
            "include": texts(&m.include),
            "fillValues": { "lhs": m.fill_left.map(number), "rhs": m.fill_right.map(number) },
        })
    });
    json!({
        "type": "binaryExpr",
        "op": b.op.as_str(),
        "lhs": node(expr, b.lhs),
        "rhs": node(expr, b.rhs),
        "matching": matching,
        "bool": b.return_bool,
    })
}

fn duration(expr: &Expr, id: Option<NodeId>) -> Value {
    let Some(id) = id else { return Value::Null };
    match &expr[id].kind {
        NodeKind::Duration(d) => json!({
            "type": "durationExpr",
            "op": d.op.as_str(),
            "lhs": duration(expr, d.lhs),
            "rhs": duration(expr, d.rhs),
            "wrapped": d.wrapped,
        }),
        NodeKind::Number { value, is_duration } => {
            json!({ "type": "numberLiteral", "val": positional(*value), "duration": is_duration })
        }
        _ => node(expr, id),
    }
}

/// A number as Go writes it: whole numbers without a decimal point.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { (value as i64).into() } else { value.into() }
}

fn at(at: AtModifier) -> (Option<i64>, Option<&'static str>) {
    match at {
        AtModifier::None => (None, None),
        AtModifier::At(ms) => (Some(ms), None),
        AtModifier::Start => (None, Some("start")),
        AtModifier::End => (None, Some("end")),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn texts(all: &[Box<[u8]>]) -> Vec<String> {
    all.iter().map(|label| text(label)).collect()
}
