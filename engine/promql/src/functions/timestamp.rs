//! `timestamp` and `start_timestamp`.

use std::ops::ControlFlow;

use crate::ast::VectorSelector;
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Column, Frame, Row, Steps, merge, without_metadata};
use crate::read::{Picker, Reach, Reference, Selection, for_each_series};

/// The function directly on a selector: it sees the samples' own times, or their start timestamps if `of_start`.
pub(crate) fn of_selector(
    ctx: &Context<'_>,
    selection: Selection,
    s: &VectorSelector,
    of_start: bool,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let reference = Reference::new(s.at, s.offset_ms).without_offset_if_fixed();
    let lookback = ctx.options.lookback_delta_ms;
    let is_empty = of_start && !ctx.options.use_start_timestamps;
    let mut frame = Frame::default();
    for_each_series(
        ctx,
        selection,
        &Reach::new(reference, steps, lookback, 0),
        |_, samples, _| {
            let _reserved = ctx.reserve(steps.len)?;
            let mut picker = Picker::new(samples);
            let mut column = Column::new(steps.len);
            for step in 0..steps.len {
                if let Some(picked) = picker.pick(reference.at(steps.time(step)), lookback) {
                    let t = if of_start { picked.start } else { picked.t };
                    column.set_float(step, t as f64 / 1000.0);
                }
            }
            ctx.held.add(column.n_points(), column.bytes())?;
            Ok(column)
        },
        |labels, column| {
            if !is_empty && !column.is_empty() {
                frame.rows.push(Row { labels, drop_name: true, column });
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    without_names(ctx, frame)
}

/// The function on anything else: samples have the times of their steps, and no start timestamps.
pub(crate) fn of_result(
    ctx: &Context<'_>,
    mut frame: Frame,
    of_start: bool,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    if of_start {
        frame.rows.clear();
    }
    for row in &mut frame.rows {
        let mut column = Column::new(steps.len);
        for step in (0..steps.len).filter(|step| row.column.get(*step).is_some()) {
            column.set_float(step, steps.time(step) as f64 / 1000.0);
        }
        (row.column, row.drop_name) = (column, true);
    }
    without_names(ctx, frame)
}

fn without_names(ctx: &Context<'_>, mut frame: Frame) -> Result<Frame, QueryError> {
    if !ctx.options.delayed_name_removal {
        frame.rows.iter_mut().for_each(|row| row.labels = without_metadata(&row.labels));
    }
    merge::equal_labels(frame)
}
