//! `absent` and `absent_over_time`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use tithon_index::{Labels, LabelsBuilder, MatchOp, Matcher};

use super::range_call::check_modifiers;
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Column, Frame, Row, Steps};
use crate::func::Func;
use crate::read::RangeVector;

/// `absent` in progress: it takes the rows of its argument one by one.
pub(crate) struct Absent {
    n_steps: usize,
    /// The steps that have a sample, as a bitmap.
    present: Vec<u64>,
    may_stop_early: bool,
}

impl Absent {
    /// The state before the first row; `may_stop_early` says that rows may be left unread.
    pub(crate) fn new(steps: &Steps, may_stop_early: bool) -> Absent {
        Absent { n_steps: steps.len, present: vec![0; steps.len.div_ceil(64)], may_stop_early }
    }

    /// Takes a row. Breaks off when more rows cannot change the result.
    pub(crate) fn add(&mut self, row: &Row) -> ControlFlow<()> {
        self.present.iter_mut().zip(row.column.presence()).for_each(|(all, row)| *all |= row);
        let n: usize = self.present.iter().map(|word| word.count_ones() as usize).sum();
        if self.may_stop_early && n == self.n_steps {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// 1 at the steps where the vector is empty.
    pub(crate) fn finish(self, labels: Labels) -> Frame {
        let is_present = |step: usize| self.present[step / 64] >> (step % 64) & 1 == 1;
        ones(&(0..self.n_steps).map(is_present).collect::<Vec<_>>(), labels)
    }
}

/// `absent_over_time`: 1 at the steps where no series has a sample in its window.
pub(crate) fn over_time(
    ctx: &Context<'_>,
    range: RangeVector,
    labels: Labels,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let windows = range.windows;
    check_modifiers(Func::AbsentOverTime, &windows)?;
    let mut present = vec![false; steps.len];
    range.for_each(
        ctx,
        steps,
        |labels, samples, _| {
            let mut found = Vec::new();
            windows.each_window(labels, samples, steps, ctx.options.lookback_delta_ms, |window| {
                found.push(window.step);
                Ok(())
            })?;
            Ok(found)
        },
        |_, _, found| {
            found.into_iter().for_each(|step| present[step] = true);
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(ones(&present, labels))
}

fn ones(present: &[bool], labels: Labels) -> Frame {
    let mut column = Column::new(present.len());
    for (step, _) in present.iter().enumerate().filter(|(_, present)| !**present) {
        column.set_float(step, 1.0);
    }
    if column.is_empty() {
        return Frame::default();
    }
    Frame { rows: vec![Row { labels, drop_name: false, column }] }
}

/// The labels that the conditions of a selector pin to one value.
pub(crate) fn pinned_labels(matchers: &[Matcher]) -> Labels {
    let mut builder = LabelsBuilder::default();
    let mut seen = HashSet::new();
    for m in in_order_of_selection(matchers).into_iter().filter(|m| m.name() != b"__name__") {
        if m.op() == MatchOp::Equal && seen.insert(m.name()) {
            builder.set(m.name(), m.value());
        } else {
            builder.remove(m.name());
        }
    }
    builder.finish()
}

/// The matchers in the order in which upstream's selection leaves them: those that only exclude series come last.
/// Upstream reorders the selector's own list, so `absent` sees the new order.
///
/// Upstream: `PostingsForMatchers` in `tsdb/querier.go`.
fn in_order_of_selection(matchers: &[Matcher]) -> Vec<&Matcher> {
    let must_be_set: HashSet<&[u8]> =
        matchers.iter().filter(|m| !m.matches(b"")).map(Matcher::name).collect();
    let takes_away = |m: &Matcher| {
        let is_negative = matches!(m.op(), MatchOp::NotEqual | MatchOp::NotRegex);
        !must_be_set.contains(m.name()) || (is_negative && m.matches(b""))
    };
    let (mut first, last): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(|m| !takes_away(m));
    first.extend(last);
    first
}
