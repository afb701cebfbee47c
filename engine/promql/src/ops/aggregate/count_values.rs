//! `count_values`: how many series of a group have each value.

use std::collections::HashMap;

use tithon_index::Labels;

use super::grouping::Grouper;
use crate::annotations::quoted;
use crate::ast::Aggregate;
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::format::positional;
use crate::frame::{Cell, Column, Frame, Row, Steps};
use crate::functions::is_label_name;

/// Evaluates the aggregation. Groups come in order of appearance, step by step.
pub(super) fn eval(ev: &Evaluator<'_>, a: &Aggregate, steps: &Steps) -> Result<Frame, QueryError> {
    let label = a.param.map(|id| ev.text(id)).unwrap_or_default();
    if !is_label_name(label) {
        return Err(QueryError::Execution(format!("invalid label name {}", quoted(label))));
    }
    let frame = ev.frame(a.expr, steps)?;
    let mut names = a.grouping.clone();
    if !a.without {
        names.push(label.into());
    }
    let grouper = Grouper::new(&names, a.without);
    // Rows that differ in no label but those left out have their groups in common, value by value.
    let mut classes: HashMap<Labels, usize> = HashMap::new();
    let class_of: Vec<usize> = frame
        .rows
        .iter()
        .map(|row| {
            let bare = row.labels.to_builder().set(label, b"").finish();
            let next = classes.len();
            *classes.entry(grouper.labels(&bare)).or_insert(next)
        })
        .collect();
    let mut known: HashMap<(usize, u64), usize> = HashMap::new();
    let mut at: HashMap<Labels, usize> = HashMap::new();
    let mut counts: Vec<(Labels, Vec<u32>)> = Vec::new();
    let mut group_of = |row: &Row, value: &str, counts: &mut Vec<(Labels, Vec<u32>)>| {
        let labelled = row.labels.to_builder().set(label, value.as_bytes()).finish();
        let group = grouper.labels(&labelled);
        *at.entry(group.clone()).or_insert_with(|| {
            counts.push((group, vec![0; steps.len]));
            counts.len() - 1
        })
    };
    for step in 0..steps.len {
        ev.check_cancelled()?;
        for (row, class) in frame.rows.iter().zip(&class_of) {
            let at = match row.column.get(step) {
                None => continue,
                Some(Cell::Float(v)) => *known
                    .entry((*class, v.to_bits()))
                    .or_insert_with(|| group_of(row, &positional(v), &mut counts)),
                Some(Cell::Histogram(h)) => group_of(row, &h.to_string(), &mut counts),
            };
            counts[at].1[step] += 1;
        }
    }
    let rows = counts.into_iter().map(|(labels, counts)| {
        let mut column = Column::new(steps.len);
        for (step, n) in counts.into_iter().enumerate().filter(|(_, n)| *n > 0) {
            column.set_float(step, f64::from(n));
        }
        Row { labels, drop_name: false, column }
    });
    Ok(Frame { rows: rows.collect() })
}
