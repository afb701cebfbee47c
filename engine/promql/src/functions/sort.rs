//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`: they order the result of an instant query.

use std::cmp::Ordering;

use crate::frame::{Frame, Row};
use crate::go_sort;

/// The direction of a sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

/// `sort` and `sort_desc`: leaves histograms out; orders the rows by their values at the first step, unless `order` is
/// none.
pub(crate) fn by_value(mut frame: Frame, order: Option<Order>) -> Frame {
    for row in &mut frame.rows {
        row.column.map_floats(|_, v| Some(v));
    }
    frame.rows.retain(|row| !row.column.is_empty());
    if let Some(order) = order {
        let value = |row: &Row| row.column.float(0).unwrap_or(f64::NAN);
        go_sort::sort(&mut frame.rows, |a, b| is_before(value(a), value(b), order == Order::Descending));
    }
    frame
}

/// `sort_by_label` and `sort_by_label_desc`: orders the rows by the values of these labels.
pub(crate) fn by_label(mut frame: Frame, labels: &[&[u8]], order: Order) -> Frame {
    frame.rows.sort_by(|a, b| match order {
        Order::Ascending => by_labels(a, b, labels),
        Order::Descending => by_labels(a, b, labels).reverse(),
    });
    frame
}

/// Whether `a` comes before `b`. NaN comes last in both directions; of two NaN, each comes before the other, as in
/// upstream's comparison.
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

/// Compares texts in natural order: runs of digits are compared as numbers.
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
