//! `topk` and `bottomk`: the best elements of each group.

use std::ops::ControlFlow;

use tithon_index::Labels;

use super::check::check;
use super::heap::{Heaps, less};
use super::kept::Kept;
use crate::annotations::Notes;
use crate::ast::{Aggregate, AggregateOp, PosRange};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Cell, Frame, Row, Steps, label_bytes};
use crate::go_sort;
use crate::ops::grouping::Grouper;
use crate::ops::parameter::Parameter;

/// `topk` or `bottomk` in progress: it takes rows one by one and holds only elements that are among the best so far.
pub(crate) struct Best<'a> {
    ctx: &'a Context<'a>,
    op: AggregateOp,
    param: Parameter,
    pos: PosRange,
    param_pos: PosRange,
    steps: Steps,
    /// How many elements are wanted at each step.
    k_of: Vec<usize>,
    grouper: Grouper<'a>,
    /// The heaps of each group.
    groups: Vec<Heaps>,
    /// By row, if any of its elements was taken by a heap: labels, and whether the name is to be dropped.
    rows: Vec<Option<(Labels, bool)>>,
    notes: Notes,
    failed: Option<QueryError>,
}

impl<'a> Best<'a> {
    /// The state before the first row. `pos` and `param_pos` are the places of the aggregation and of its parameter.
    pub(crate) fn new(
        ctx: &'a Context<'a>,
        a: &'a Aggregate,
        param: Parameter,
        (pos, param_pos): (PosRange, PosRange),
        steps: &Steps,
    ) -> Best<'a> {
        let k_of = param.values.iter().map(|k| usize::try_from(*k as i64).unwrap_or(0)).collect();
        Best {
            ctx,
            op: a.op,
            param,
            pos,
            param_pos,
            steps: *steps,
            k_of,
            grouper: Grouper::new(&a.grouping, a.without),
            groups: Vec::new(),
            rows: Vec::new(),
            notes: Notes::default(),
            failed: None,
        }
    }

    fn is_topk(&self) -> bool {
        self.op == AggregateOp::Topk
    }

    /// Offers the elements of a row to the heaps of its group. Breaks off when too much is held.
    pub(crate) fn add(&mut self, row: Row) -> ControlFlow<()> {
        let group = self.grouper.index(&row.labels);
        let mut bytes = 0;
        if self.groups.len() == group {
            self.groups.push(Heaps::new(&self.k_of, self.is_topk()));
            bytes += (self.steps.len * (size_of::<Vec<(usize, f64)>>() + size_of::<f64>())) as u64;
            bytes += self.grouper.bytes_of_last();
        }
        let (is_kept, grown) = self.groups[group].offer(self.rows.len(), &row.column, &self.k_of);
        bytes += (grown * size_of::<(usize, f64)>() + size_of::<Option<(Labels, bool)>>()) as u64;
        bytes += if is_kept { label_bytes(&row.labels) } else { 0 };
        if let Err(error) = self.ctx.held.add(0, bytes) {
            self.failed = Some(error);
            return ControlFlow::Break(());
        }
        if row.column.histograms().iter().any(|(step, _)| self.k_of[*step as usize] > 0) {
            self.notes.ignored_in_aggregation(self.op.as_str(), self.pos);
        }
        self.rows.push(is_kept.then_some((row.labels, row.drop_name)));
        ControlFlow::Continue(())
    }

    /// The rows of which elements are kept, the best first.
    pub(crate) fn finish(mut self) -> Result<Frame, QueryError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        check(self.ctx, self.op, &self.param, self.param_pos)?;
        let topk = self.is_topk();
        let mut kept = Kept::new(self.ctx, self.rows.len(), &self.steps)?;
        for step in 0..self.steps.len {
            for group in &mut self.groups {
                self.ctx.check_cancelled()?;
                let heap = &mut group.heaps[step];
                go_sort::sort(heap, |x, y| less(y.1, x.1, topk));
                for (i, v) in heap {
                    kept.keep(*i, step, Cell::Float(*v))?;
                }
            }
        }
        self.ctx.notes().merge(self.notes);
        Ok(kept.into_frame(|i| self.rows[i].take()))
    }
}
