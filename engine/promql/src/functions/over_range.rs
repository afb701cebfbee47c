//! Range functions: series by series, window by window.

use std::collections::HashSet;
use std::ops::ControlFlow;

use tithon_chunks::Samples;
use tithon_index::Labels;

use super::range_call::{Outcome, RangeCall, float};
use super::{extended, over_time, rate, regression, sliding};
use crate::annotations::{Notes, quoted};
use crate::ast::PosRange;
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Column, Row, Steps, points_of, without_metadata};
use crate::func::Func;
use crate::read::{Flow, RangeVector, Window, Windows};

/// Hands the rows of a call to `sink`, those without a sample left out. Without delayed name removal it is an error
/// when two rows have equal labels, even if their samples are at different steps; labels count as equal when their hashes
/// are.
pub(crate) fn for_each(
    ctx: &Context<'_>,
    range: RangeVector,
    call: &RangeCall,
    steps: &Steps,
    mut sink: impl FnMut(Row) -> Flow + Send,
) -> Result<(), QueryError> {
    let windows = range.windows;
    let keeps_name = matches!(call.func, Func::FirstOverTime | Func::LastOverTime);
    let delayed = ctx.options.delayed_name_removal;
    let mut seen = HashSet::new();
    range.for_each(
        ctx,
        steps,
        |labels, samples, notes| {
            let _reserved = ctx.reserve(steps.len)?;
            let column = series(ctx, &windows, call, labels, samples, steps, notes)?;
            if call.is_counter_change() && column.has_floats() {
                note_name(ctx, labels, call.pos, notes);
            }
            Ok(column)
        },
        |labels, drop_name, column| {
            if column.is_empty() {
                return Ok(ControlFlow::Continue(()));
            }
            let drop_name = drop_name || !keeps_name;
            let labels = if drop_name && !delayed { without_metadata(&labels) } else { labels };
            if !delayed && !seen.insert(labels.hash64()) {
                return Err(QueryError::same_labelset());
            }
            sink(Row { labels, drop_name, column })
        },
    )
}

/// Evaluates the function over the windows of one series.
fn series(
    ctx: &Context<'_>,
    windows: &Windows,
    call: &RangeCall,
    labels: &Labels,
    samples: &mut Samples,
    steps: &Steps,
    notes: &mut Notes,
) -> Result<Column, QueryError> {
    if !call.use_starts {
        samples.float_start_timestamps.clear();
        samples.histogram_start_timestamps.clear();
    }
    if let Some(slid) = sliding::apply(call, windows, samples, steps, ctx.run.cancelled, notes) {
        ctx.check_cancelled()?;
        count(ctx, &slid.column, slid.touched, slid.largest, points_of(samples))?;
        return Ok(slid.column);
    }
    let falls = match call.is_counter_change() && !call.anchored && !call.smoothed {
        true => rate::falls(samples),
        false => Vec::new(),
    };
    let mut column = Column::new(steps.len);
    let mut scratch = Vec::new();
    let (mut touched, mut largest) = (0u64, 0u64);
    windows.each_window(labels, samples, steps, ctx.options.lookback_delta_ms, |window| {
        ctx.check_cancelled()?;
        let n = window.n_points();
        touched += n;
        largest = largest.max(n);
        if let Some(sample) = apply(call, window, &falls, &mut scratch, notes)? {
            column.set(window.step, sample);
        }
        Ok(())
    })?;
    count(ctx, &column, touched, largest, points_of(samples))?;
    Ok(column)
}

/// Counts the samples for a column: those of all its windows (`touched`), those of the largest window, which was held
/// for a moment, and those that were decoded.
fn count(
    ctx: &Context<'_>,
    column: &Column,
    touched: u64,
    largest: u64,
    read: u64,
) -> Result<(), QueryError> {
    ctx.held.touch(touched, read);
    ctx.held.add(column.n_points() + largest, column.bytes())?;
    ctx.held.release(largest, 0);
    Ok(())
}

/// The result of the function for one window. `falls` are [`rate::falls`] of the series.
pub(super) fn apply(
    call: &RangeCall,
    window: &Window<'_>,
    falls: &[usize],
    scratch: &mut Vec<f64>,
    notes: &mut Notes,
) -> Result<Outcome, QueryError> {
    Ok(match call.func {
        Func::Rate | Func::Increase | Func::Delta if call.anchored || call.smoothed => {
            extended::rate(call, window, notes)
        }
        Func::Rate | Func::Increase | Func::Delta => rate::extrapolated(call, window, falls, notes),
        Func::Irate | Func::Idelta => rate::instant(call, window, notes),
        Func::Resets | Func::Changes => over_time::transitions(call, window),
        Func::SumOverTime => over_time::sum(call, window, notes),
        Func::AvgOverTime => over_time::avg(call, window, notes),
        Func::CountOverTime => float(window.len() as f64),
        Func::PresentOverTime => float(1.0),
        Func::FirstOverTime => over_time::first(window),
        Func::LastOverTime => over_time::last(window),
        Func::TsOfFirstOverTime => over_time::time_of_first(window),
        Func::TsOfLastOverTime => over_time::time_of_last(window),
        Func::MaxOverTime | Func::MinOverTime | Func::TsOfMaxOverTime | Func::TsOfMinOverTime => {
            over_time::extreme(call, window, notes)
        }
        Func::StddevOverTime | Func::StdvarOverTime => over_time::variance(call, window, notes),
        Func::MadOverTime => over_time::mad(call, window, scratch, notes),
        Func::QuantileOverTime => over_time::quantile(call, window, scratch, notes),
        Func::Deriv | Func::PredictLinear => regression::linear(call, window, notes),
        Func::DoubleExponentialSmoothing => regression::smoothing(call, window, notes)?,
        func => return Err(QueryError::Execution(format!("function {func} takes no range vector"))),
    })
}

/// Adds the info that a metric may be no counter.
fn note_name(ctx: &Context<'_>, labels: &Labels, pos: PosRange, notes: &mut Notes) {
    let Some(name) = labels.metric_name() else { return };
    if ctx.options.type_and_unit_labels {
        let kind = labels.get("__type__").unwrap_or_default();
        if kind != b"counter" && kind != b"histogram" {
            notes.info(
                format!(
                    "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\", got {}: {}",
                    quoted(kind),
                    quoted(name)
                ),
                pos,
            );
        }
    } else if ![&b"_total"[..], b"_sum", b"_count", b"_bucket"].iter().any(|end| name.ends_with(end)) {
        notes.info(
            format!(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {}",
                quoted(name)
            ),
            pos,
        );
    }
}
