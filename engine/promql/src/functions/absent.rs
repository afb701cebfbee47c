//! `absent` and `absent_over_time`.

use std::collections::HashSet;
use std::ops::ControlFlow;

use tithon_index::{Labels, LabelsBuilder, MatchOp, Matcher};

use crate::ast::{Call, NodeId, NodeKind};
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Column, Frame, Row, Steps};
use crate::ops::range::RangeArg;

/// `absent`: 1 at the steps where the vector is empty.
pub(super) fn eval(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
    let mut bits = vec![0u64; steps.len.div_ceil(64)];
    let stops = ev.may_stop_early(call.args[0]);
    ev.for_each_row(call.args[0], steps, |row| {
        bits.iter_mut().zip(row.column.presence()).for_each(|(all, row)| *all |= row);
        let n: usize = bits.iter().map(|word| word.count_ones() as usize).sum();
        if stops && n == steps.len { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let present: Vec<bool> = (0..steps.len).map(|step| bits[step / 64] >> (step % 64) & 1 == 1).collect();
    Ok(ones(&present, labels(ev, call.args[0])))
}

/// `absent_over_time`: 1 at the steps where no series has a sample in its window.
pub(super) fn over_time(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
    let id = ev.unparen(call.args[0]);
    let arg = RangeArg::new(ev, id, steps)?;
    for (modifier, is_set, list) in [
        ("anchored", arg.anchored, "changes, delta, increase, rate, resets"),
        ("smoothed", arg.smoothed, "delta, increase, rate"),
    ] {
        if is_set {
            return Err(QueryError::Execution(format!(
                "{modifier} modifier can only be used with: {list} - not with absent_over_time"
            )));
        }
    }
    let mut present = vec![false; steps.len];
    arg.for_each(
        ev,
        steps,
        |arg, labels, samples, _| {
            let mut found = Vec::new();
            arg.each_window(labels, samples, steps, 0, |window| {
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
    Ok(ones(&present, labels(ev, id)))
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

/// The labels that a selector pins to one value; none for other expressions.
fn labels(ev: &Evaluator<'_>, id: NodeId) -> Labels {
    let selector = match ev.kind(ev.unparen(id)) {
        NodeKind::Matrix(m) => ev.kind(m.selector),
        kind => kind,
    };
    let NodeKind::Vector(s) = selector else { return Labels::default() };
    let mut builder = LabelsBuilder::default();
    let mut seen = HashSet::new();
    for m in in_order_of_selection(&s.matchers).into_iter().filter(|m| m.name() != b"__name__") {
        if m.op() == MatchOp::Equal && seen.insert(m.name()) {
            builder.set(m.name(), m.value());
        } else {
            builder.remove(m.name());
        }
    }
    builder.finish()
}

/// Upstream's selection moves the matchers that only take series away behind the others, in the selector itself.
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
