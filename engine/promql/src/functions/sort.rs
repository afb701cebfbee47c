//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: they order the result of an instant query.

use std::cmp::Ordering;

use crate::ast::{Call, NodeId};
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Frame, Row, Steps};
use crate::go_sort;

/// Evaluates one of the four.
pub(super) fn eval(ev: &Evaluator<'_>, id: NodeId, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
    let mut frame = ev.frame(call.args[0], steps)?;
    let name = call.func.name;
    if steps.is_range {
        ev.notes().warn(
            "sort is ineffective for range queries since results are always ordered by labels",
            ev.pos(id),
        );
    }
    let is_seen = !ev.prepared.unsorted.contains(&id);
    if name == "sort" || name == "sort_desc" {
        for row in &mut frame.rows {
            row.column.map_floats(|_, v| Some(v));
        }
        frame.rows.retain(|row| !row.column.is_empty());
        if steps.len == 1 && is_seen {
            let value = |row: &Row| row.column.float(0).unwrap_or(f64::NAN);
            let descending = name == "sort_desc";
            go_sort::sort(&mut frame.rows, |a, b| is_before(value(a), value(b), descending));
        }
    } else if steps.len == 1 && is_seen {
        let labels: Vec<&[u8]> = call.args[1..].iter().map(|arg| ev.text(*arg)).collect();
        frame.rows.sort_by(|a, b| {
            let order = by_labels(a, b, &labels);
            if name == "sort_by_label" { order } else { order.reverse() }
        });
    }
    Ok(frame)
}

/// Whether `a` comes before `b`. NaN comes last either way, and after another one, as upstream's comparison has it.
fn is_before(a: f64, b: f64, descending: bool) -> bool {
    b.is_nan() || if descending { b < a } else { b > a }
}

fn by_labels(a: &Row, b: &Row, labels: &[&[u8]]) -> Ordering {
    for label in labels {
        let (x, y) = (a.labels.get(label).unwrap_or_default(), b.labels.get(label).unwrap_or_default());
        let order = natural(x, y);
        if order != Ordering::Equal {
            return order;
        }
    }
    a.labels.cmp(&b.labels)
}

/// Compares texts run by run, runs of digits as numbers.
fn natural(a: &[u8], b: &[u8]) -> Ordering {
    let (mut x, mut y) = (a, b);
    while !x.is_empty() && !y.is_empty() {
        let (run_x, rest_x) = run(x);
        let (run_y, rest_y) = run(y);
        let order = match (number(run_x), number(run_y)) {
            (Some(n), Some(m)) => n.cmp(&m),
            _ => run_x.cmp(run_y),
        };
        if order != Ordering::Equal {
            return order;
        }
        (x, y) = (rest_x, rest_y);
    }
    x.len().cmp(&y.len()).then_with(|| a.cmp(b))
}

/// The first run of digits or of other bytes, and the rest.
fn run(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text[0].is_ascii_digit();
    let len = text.iter().position(|c| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(len)
}

fn number(run: &[u8]) -> Option<i64> {
    if !run.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(run).ok()?.parse().ok()
}
