//! `count_values`: how many series of a group have each value.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tithon_index::Labels;

use super::grouping::Grouper;
use crate::annotations::quoted;
use crate::ast::Aggregate;
use crate::context::Context;
use crate::error::QueryError;
use crate::format::positional;
use crate::frame::{Cell, Column, Frame, Row, Steps, label_bytes};
use crate::label_names::is_label_name;

/// About how many bytes an entry of the table of known values takes.
const KNOWN_BYTES: u64 = 40;

/// The label that is to hold the values.
///
/// Errors: [`QueryError::Execution`] when no label may have this name.
pub(crate) fn checked_label(label: &[u8]) -> Result<&[u8], QueryError> {
    if is_label_name(label) {
        return Ok(label);
    }
    Err(QueryError::Execution(format!("invalid label name {}", quoted(label))))
}

/// Counts the series of each group by their values, which `label` is to hold. Groups come in order of appearance, step
/// by step.
pub(crate) fn eval(
    ctx: &Context<'_>,
    a: &Aggregate,
    label: &[u8],
    frame: &Frame,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let mut names = a.grouping.clone();
    if !a.without {
        names.push(label.into());
    }
    let grouper = Grouper::new(&names, a.without);
    // Rows that differ only in labels that the grouping leaves out form a class: equal values put them in one group.
    let mut classes: HashMap<Labels, usize> = HashMap::new();
    let mut class_of: Vec<usize> = Vec::with_capacity(frame.rows.len());
    for row in &frame.rows {
        ctx.check_cancelled()?;
        let bare = grouper.labels(&row.labels.to_builder().set(label, b"").finish());
        ctx.held.add(0, label_bytes(&bare))?;
        let next = classes.len();
        class_of.push(*classes.entry(bare).or_insert(next));
    }
    let mut known: HashMap<(usize, u64), usize> = HashMap::new();
    let mut at: HashMap<Labels, usize> = HashMap::new();
    let mut counts: Vec<(Labels, Vec<u32>)> = Vec::new();
    // The counts at each step, and the column that they become.
    let group_bytes = steps.len as u64 * 4 + Column::bytes_of(steps.len) + (2 * size_of::<Row>()) as u64;
    let mut group_of = |row: &Row, value: &str, counts: &mut Vec<(Labels, Vec<u32>)>| {
        let labelled = row.labels.to_builder().set(label, value.as_bytes()).finish();
        let group = grouper.labels(&labelled);
        // The caller will remember the group of this class and value.
        ctx.held.add(0, KNOWN_BYTES)?;
        if let Some(at) = at.get(&group) {
            return Ok::<usize, QueryError>(*at);
        }
        ctx.held.add(0, group_bytes + label_bytes(&group))?;
        counts.push((group.clone(), vec![0; steps.len]));
        at.insert(group, counts.len() - 1);
        Ok(counts.len() - 1)
    };
    for step in 0..steps.len {
        ctx.check_cancelled()?;
        for (row, class) in frame.rows.iter().zip(&class_of) {
            ctx.check_cancelled()?;
            let at = match row.column.get(step) {
                None => continue,
                Some(Cell::Float(v)) => match known.entry((*class, v.to_bits())) {
                    Entry::Occupied(at) => *at.get(),
                    Entry::Vacant(place) => *place.insert(group_of(row, &positional(v), &mut counts)?),
                },
                Some(Cell::Histogram(h)) => group_of(row, &h.to_string(), &mut counts)?,
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
