//! Functions that work on each sample of an instant vector alone.

use tithon_chunks::FloatHistogram;
use tithon_index::Labels;

use crate::context::Context;
use crate::date::Date;
use crate::error::QueryError;
use crate::frame::{Column, Frame, Row, Steps, merge, without_metadata, without_name};

/// Replaces each float by `f` of its step and itself, or leaves it out; leaves histograms out.
pub(crate) fn map_floats(
    ctx: &Context<'_>,
    mut frame: Frame,
    f: impl Fn(usize, f64) -> Option<f64>,
) -> Result<Frame, QueryError> {
    for row in &mut frame.rows {
        ctx.check_cancelled()?;
        row.column.map_floats(&f);
        drop_name(ctx, row, without_metadata);
    }
    merged(frame)
}

/// Replaces each native histogram by `f` of it; leaves floats out.
pub(crate) fn map_histograms(
    ctx: &Context<'_>,
    mut frame: Frame,
    f: fn(&FloatHistogram) -> f64,
) -> Result<Frame, QueryError> {
    for row in &mut frame.rows {
        ctx.check_cancelled()?;
        let mut column = Column::new(row.column.len());
        for (step, h) in row.column.histograms() {
            column.set_float(*step as usize, f(h));
        }
        row.column = column;
        drop_name(ctx, row, without_name);
    }
    merged(frame)
}

/// A part of the date of each step: the result of `hour()` and the other date functions without an argument.
pub(crate) fn of_step_dates(steps: &Steps, part: fn(&Date) -> f64) -> Frame {
    let date = |i: usize| Date::from_seconds(steps.time(i) / 1000);
    Frame::of_numbers(&(0..steps.len).map(|i| part(&date(i))).collect::<Vec<_>>())
}

fn drop_name(ctx: &Context<'_>, row: &mut Row, without: fn(&Labels) -> Labels) {
    row.drop_name = true;
    if !ctx.options.delayed_name_removal {
        row.labels = without(&row.labels);
    }
}

fn merged(mut frame: Frame) -> Result<Frame, QueryError> {
    frame.rows.retain(|row| !row.column.is_empty());
    merge::equal_labels(frame)
}
