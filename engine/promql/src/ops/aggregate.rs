//! Aggregations: rows are folded into groups, all steps of a row at a time.
//!
//! Upstream: `rangeEvalAgg`, `aggregation` in `promql/engine.go`. Rows are folded in input order, which fixes the
//! rounding of sums.

mod count_values;
mod fold;
mod grouping;
mod histogram_fold;

use std::ops::ControlFlow;

use crate::annotations::Notes;
use crate::ast::{Aggregate, AggregateOp, NodeId};
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Frame, Row, Steps};

use super::topk;
use fold::Group;
pub(crate) use grouping::{Grouper, Param};

/// What the state of a group takes at each step, bytes: a number and its compensation, a flag, room for histograms.
const GROUP_BYTES_PER_STEP: u64 = 24;

/// Evaluates an aggregation.
pub(crate) fn eval(
    ev: &Evaluator<'_>,
    id: NodeId,
    a: &Aggregate,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    match a.op {
        AggregateOp::CountValues => return count_values::eval(ev, a, steps),
        AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
            return topk::eval(ev, id, a, steps);
        }
        _ => {}
    }
    let param = Param::new(ev, a.param, steps)?;
    let pos = ev.pos(ev.unparen(a.expr));
    let mut notes = Notes::default();
    if let (AggregateOp::Quantile, Some(id)) = (a.op, a.param) {
        let param_pos = ev.pos(ev.unparen(id));
        if param.has_nan {
            notes.invalid_quantile(f64::NAN, param_pos);
        }
        if param.max > 1.0 {
            notes.invalid_quantile(param.max, param_pos);
        }
        if param.min < 0.0 {
            notes.invalid_quantile(param.min, param_pos);
        }
    }
    let mut grouper = Grouper::new(&a.grouping, a.without);
    let mut groups: Vec<Group> = Vec::new();
    let mut held = Ok(());
    let is_settled_by_presence = a.op == AggregateOp::Group && a.grouping.is_empty() && !a.without;
    let stops = is_settled_by_presence && ev.may_stop_early(a.expr);
    ev.for_each_row(a.expr, steps, |row| {
        let at = grouper.index(&row.labels);
        let mut more = (0, 0);
        let is_new = at == groups.len();
        if is_new {
            more.1 = steps.len as u64 * GROUP_BYTES_PER_STEP + grouper.bytes_of_last();
        }
        if a.op == AggregateOp::Quantile {
            // All values are needed in the end.
            more = (row.column.n_points(), more.1 + row.column.n_points() * 8);
        }
        held = ev.budget.add(more.0, more.1);
        if held.is_err() {
            return ControlFlow::Break(());
        }
        if is_new {
            groups.push(Group::new(a.op, steps.len));
        }
        let grown = groups[at].fold(&row, pos, &mut notes);
        if grown > 0 {
            held = ev.budget.add(0, grown);
            if held.is_err() {
                return ControlFlow::Break(());
            }
        }
        if stops && groups[at].is_seen_everywhere() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    held?;
    let mut rows = Vec::with_capacity(groups.len());
    for (group, labels) in groups.into_iter().zip(grouper.into_labels()) {
        ev.check_cancelled()?;
        let (column, drop_name) = group.finish(&param, pos, &mut notes);
        if !column.is_empty() {
            rows.push(Row { labels, drop_name, column });
        }
    }
    ev.notes().merge(notes);
    Ok(Frame { rows })
}
