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
    let mut at: HashMap<Labels, usize> = HashMap::new();
    let mut counts: Vec<(Labels, Vec<u32>)> = Vec::new();
    for step in 0..steps.len {
        ev.check_cancelled()?;
        for row in &frame.rows {
            let value = match row.column.get(step) {
                None => continue,
                Some(Cell::Float(v)) => positional(v),
                Some(Cell::Histogram(h)) => h.to_string(),
            };
            let labelled = row.labels.to_builder().set(label, value.as_bytes()).finish();
            let group = grouper.labels(&labelled);
            let at = *at.entry(group.clone()).or_insert_with(|| {
                counts.push((group, vec![0; steps.len]));
                counts.len() - 1
            });
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
