//! Aggregations whose groups have a state at each step: `sum`, `avg`, `min`, `max`, `count`, `group`, `stddev`, `stdvar`,
//! `quantile`.
//!
//! Upstream: `rangeEvalAgg`, `aggregation` in `promql/engine.go`. Rows are folded in input order, which fixes the
//! rounding of sums.

mod fold;
mod histogram_fold;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use super::grouping::Grouper;
use super::parameter::Parameter;
use crate::annotations::Notes;
use crate::ast::{Aggregate, AggregateOp, PosRange};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Frame, Row, Steps};

use fold::Group;

/// The memory that the state of a group takes per step, bytes: a number, its compensation, a flag, a pointer to histograms.
const GROUP_BYTES_PER_STEP: u64 = 24;

/// An aggregation in progress: it takes rows one by one and holds no more than the states of its groups.
pub(crate) struct Aggregation<'a> {
    ctx: &'a Context<'a>,
    op: AggregateOp,
    param: Parameter,
    /// The place of the aggregated expression.
    pos: PosRange,
    n_steps: usize,
    grouper: Grouper<'a>,
    groups: Vec<Group>,
    notes: Notes,
    /// Whether to break off when there is a sample at each step, since more rows cannot change the result then.
    stops_when_present: bool,
    failed: Option<QueryError>,
}

impl<'a> Aggregation<'a> {
    /// The state before the first row. `pos` and `param_pos` are the places of the expression and of the parameter;
    /// `may_stop_early` says that rows may be left unread.
    pub(crate) fn new(
        ctx: &'a Context<'a>,
        a: &'a Aggregate,
        param: Parameter,
        (pos, param_pos): (PosRange, PosRange),
        steps: &Steps,
        may_stop_early: bool,
    ) -> Aggregation<'a> {
        let mut notes = Notes::default();
        if a.op == AggregateOp::Quantile {
            note_odd_quantiles(&param, param_pos, &mut notes);
        }
        Aggregation {
            ctx,
            op: a.op,
            param,
            pos,
            n_steps: steps.len,
            grouper: Grouper::new(&a.grouping, a.without),
            groups: Vec::new(),
            notes,
            stops_when_present: may_stop_early
                && a.op == AggregateOp::Group
                && a.grouping.is_empty()
                && !a.without,
            failed: None,
        }
    }

    /// Folds a row into its group. Breaks off when too much is held, or when more rows cannot change the result.
    pub(crate) fn add(&mut self, row: &Row) -> ControlFlow<()> {
        match self.try_add(row) {
            Ok(flow) => flow,
            Err(error) => {
                self.failed = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn try_add(&mut self, row: &Row) -> Result<ControlFlow<()>, QueryError> {
        let at = self.grouper.index(&row.labels);
        let is_new = at == self.groups.len();
        let (mut samples, mut bytes) = (0, 0);
        if is_new {
            bytes += self.n_steps as u64 * GROUP_BYTES_PER_STEP + self.grouper.bytes_of_last();
        }
        if self.op == AggregateOp::Quantile {
            // All values are kept until the end.
            samples = row.column.n_points();
            bytes += samples * 8;
        }
        self.ctx.held.add(samples, bytes)?;
        if is_new {
            self.groups.push(Group::new(self.op, self.n_steps));
        }
        let grown = self.groups[at].fold(row, self.pos, &mut self.notes);
        if grown > 0 {
            self.ctx.held.add(0, grown)?;
        }
        let stops = self.stops_when_present && self.groups[at].is_seen_everywhere();
        Ok(if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    /// The result: one row per group, in order of appearance.
    pub(crate) fn finish(mut self) -> Result<Frame, QueryError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut rows = Vec::with_capacity(self.groups.len());
        for (group, labels) in self.groups.into_iter().zip(self.grouper.into_labels()) {
            self.ctx.check_cancelled()?;
            let (column, drop_name) = group.finish(&self.param.values, self.pos, &mut self.notes);
            if !column.is_empty() {
                rows.push(Row { labels, drop_name, column });
            }
        }
        self.ctx.notes().merge(self.notes);
        Ok(Frame { rows })
    }
}

fn note_odd_quantiles(param: &Parameter, pos: PosRange, notes: &mut Notes) {
    if param.has_nan {
        notes.invalid_quantile(f64::NAN, pos);
    }
    if param.max > 1.0 {
        notes.invalid_quantile(param.max, pos);
    }
    if param.min < 0.0 {
        notes.invalid_quantile(param.min, pos);
    }
}
