//! `limitk`: the first elements of each group.

use std::ops::ControlFlow;

use super::check::check;
use super::heap::in_heap_order;
use crate::ast::{Aggregate, PosRange};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Frame, Row, Steps};
use crate::ops::grouping::Grouper;
use crate::ops::parameter::Parameter;

/// `limitk` in progress: it takes rows one by one, no more than needed.
pub(crate) struct First<'a> {
    ctx: &'a Context<'a>,
    steps: Steps,
    /// How many elements are wanted of each group at each step.
    k_of: Vec<i64>,
    grouper: Grouper<'a>,
    /// By group and step: how many more are wanted.
    wanted: Vec<i64>,
    kept: Vec<Row>,
    /// Whether to break off when no more elements are wanted at any step.
    stops_when_full: bool,
    failed: Option<QueryError>,
}

impl<'a> First<'a> {
    /// The state before the first row; `may_stop_early` says that rows may be left unread.
    ///
    /// Errors: [`QueryError::Execution`] when the parameter, at `param_pos`, is not a number of elements.
    pub(crate) fn new(
        ctx: &'a Context<'a>,
        a: &'a Aggregate,
        param: &Parameter,
        param_pos: PosRange,
        steps: &Steps,
        may_stop_early: bool,
    ) -> Result<First<'a>, QueryError> {
        check(ctx, a.op, param, param_pos)?;
        Ok(First {
            ctx,
            steps: *steps,
            k_of: param.values.iter().map(|k| *k as i64).collect(),
            grouper: Grouper::new(&a.grouping, a.without),
            wanted: Vec::new(),
            kept: Vec::new(),
            stops_when_full: may_stop_early && a.grouping.is_empty() && !a.without,
            failed: None,
        })
    }

    /// Takes those elements of a row that are still wanted. Breaks off when too much is held, or when no more elements
    /// can be wanted.
    pub(crate) fn add(&mut self, mut row: Row) -> ControlFlow<()> {
        let group = self.grouper.index(&row.labels);
        let n = self.steps.len;
        if self.wanted.len() == group * n {
            self.wanted.extend_from_slice(&self.k_of);
            self.hold(0, n as u64 * 8 + self.grouper.bytes_of_last());
        }
        let wanted = &mut self.wanted[group * n..][..n];
        let mut bits = row.column.presence();
        for (step, wanted) in wanted.iter_mut().enumerate() {
            let bit = 1 << (step % 64);
            if bits[step / 64] & bit != 0 {
                if *wanted < 1 {
                    bits[step / 64] &= !bit;
                }
                *wanted -= 1;
            }
        }
        let is_full = wanted.iter().all(|wanted| *wanted < 1);
        row.column.mask(&bits, true);
        if !row.column.is_empty() {
            let (samples, bytes) = row.held();
            self.hold(samples, bytes);
            self.kept.push(row);
        }
        let stops = (self.stops_when_full && is_full) || self.failed.is_some();
        if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Counts samples and bytes as held; remembers the first failure.
    fn hold(&mut self, samples: u64, bytes: u64) {
        if self.failed.is_none() {
            self.failed = self.ctx.held.add(samples, bytes).err();
        }
    }

    /// The rows of which elements are kept, in upstream's order: step by step, each row where it is first kept.
    pub(crate) fn finish(mut self) -> Result<Frame, QueryError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut keyed: Vec<_> = self
            .kept
            .into_iter()
            .map(|row| (row.column.first_step(), self.grouper.index(&row.labels), row))
            .collect();
        keyed.sort_by_key(|(step, group, _)| (*step, *group));
        let frame = Frame { rows: keyed.into_iter().map(|(_, _, row)| row).collect() };
        Ok(in_heap_order(frame, &mut self.grouper, &self.steps))
    }
}
