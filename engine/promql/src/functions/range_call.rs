//! Calls of functions over range vectors: series by series, window by window.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use tithon_chunks::{FloatHistogram, Samples};

use super::sliding::Sliding;
use super::{extended, over_time, rate, regression};
use crate::annotations::{Notes, quoted};
use crate::ast::{Call, NodeId, NodeKind, PosRange};
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Column, Frame, Row, Steps, points_of, without_metadata};
use crate::ops::decode::Flow;
use crate::ops::range::{RangeArg, Window};
use crate::result::Sample;

/// What a function gives for a window.
pub(super) type Outcome = Option<Sample>;

/// A call of a range function, apart from the windows.
pub(super) struct Site {
    /// The function's name.
    pub(crate) name: &'static str,
    /// The place of the first argument.
    pub(crate) pos: PosRange,
    /// The range in seconds.
    pub(crate) range_seconds: f64,
    /// Whether start timestamps count.
    pub(crate) use_starts: bool,
    /// The modifier `anchored`.
    pub(crate) anchored: bool,
    /// The modifier `smoothed`.
    pub(crate) smoothed: bool,
    /// The scalar arguments in order, each with one value a step.
    pub(crate) scalars: Vec<Vec<f64>>,
}

/// A histogram as a result.
pub(super) fn histogram(h: FloatHistogram) -> Outcome {
    Some(Sample::Histogram(Arc::new(h)))
}

/// A float as a result.
pub(super) fn float(v: f64) -> Outcome {
    Some(Sample::Float(v))
}

const ANCHORED: [&str; 5] = ["changes", "delta", "increase", "rate", "resets"];
const SMOOTHED: [&str; 3] = ["delta", "increase", "rate"];

/// Evaluates a call with a range vector among its arguments.
pub(super) fn eval(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
    let mut frame = Frame::default();
    for_each(ev, call, steps, |row| {
        frame.rows.push(row);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(frame)
}

/// Whether the call is one of this file's, over the series of a selector: its rows can be had one by one.
pub(crate) fn is_over_selector(ev: &Evaluator<'_>, call: &Call) -> bool {
    let is_matrix = |arg: &NodeId| matches!(ev.kind(ev.unparen(*arg)), NodeKind::Matrix(_));
    call.func.name != "absent_over_time" && call.args.iter().any(is_matrix)
}

/// Hands the rows of a call to `sink`, those without a sample left out. Without delayed name removal it is an error
/// when two have equal labels, whenever their samples are; labels count as equal when their hashes are.
pub(crate) fn for_each(
    ev: &Evaluator<'_>,
    call: &Call,
    steps: &Steps,
    mut sink: impl FnMut(Row) -> Flow + Send,
) -> Result<(), QueryError> {
    let (arg, site) = prepare(ev, call, steps)?;
    let keeps_name = matches!(site.name, "first_over_time" | "last_over_time");
    let delayed = ev.options().delayed_name_removal;
    let mut seen = HashSet::new();
    arg.for_each(
        ev,
        steps,
        |arg, labels, samples, notes| {
            let _reserved = ev.reserve(steps.len)?;
            let column = series(ev, arg, &site, labels, samples, steps, notes)?;
            if matches!(site.name, "rate" | "increase") && column.has_floats() {
                note_name(ev, labels, site.pos, notes);
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

/// Evaluates the arguments: a subquery first, then the scalars.
fn prepare(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<(RangeArg, Site), QueryError> {
    let args: Vec<NodeId> = call.args.iter().map(|arg| ev.unparen(*arg)).collect();
    let is_range = |id: NodeId| matches!(ev.kind(id), NodeKind::Matrix(_) | NodeKind::Subquery(_));
    let at = args.iter().position(|id| is_range(*id)).unwrap_or(0);
    let range = RangeArg::new(ev, args[at], steps)?;
    let name = call.func.name;
    let refuse = |modifier: &str, list: &[&str]| {
        let list = list.join(", ");
        Err(QueryError::Execution(format!(
            "{modifier} modifier can only be used with: {list} - not with {name}"
        )))
    };
    let mut scalars = Vec::new();
    for (i, id) in args.iter().enumerate() {
        if i != at {
            scalars.push(ev.scalar(*id, steps)?);
        }
    }
    if range.anchored && !ANCHORED.contains(&name) {
        return refuse("anchored", &ANCHORED);
    }
    if range.smoothed && !SMOOTHED.contains(&name) {
        return refuse("smoothed", &SMOOTHED);
    }
    // Upstream replaces a subquery by a selector without a place.
    let from_subquery = at == 0 && matches!(ev.kind(args[0]), NodeKind::Subquery(_));
    let site = Site {
        name,
        pos: if from_subquery { PosRange::default() } else { ev.pos(args[0]) },
        range_seconds: range.range_ms as f64 / 1000.0,
        use_starts: ev.options().use_start_timestamps
            && matches!(name, "rate" | "irate" | "increase" | "resets"),
        anchored: range.anchored,
        smoothed: range.smoothed,
        scalars,
    };
    Ok((range, site))
}

/// Evaluates the function over the windows of one series.
fn series(
    ev: &Evaluator<'_>,
    arg: &RangeArg,
    site: &Site,
    labels: &tithon_index::Labels,
    samples: &mut Samples,
    steps: &Steps,
    notes: &mut Notes,
) -> Result<Column, QueryError> {
    if !site.use_starts {
        samples.float_start_timestamps.clear();
        samples.histogram_start_timestamps.clear();
    }
    if let Some(mut sliding) = Sliding::new(arg, samples, steps, ev.ctx.cancelled)
        && let Some(column) = sliding.apply(site, notes)
    {
        ev.check_cancelled()?;
        let (touched, largest) = (sliding.touched, sliding.largest);
        count(ev, &column, touched, largest, points_of(samples))?;
        return Ok(column);
    }
    let falls = match site.name {
        "rate" | "increase" if !site.anchored && !site.smoothed => rate::falls(samples),
        _ => Vec::new(),
    };
    let mut column = Column::new(steps.len);
    let mut scratch = Vec::new();
    let (mut touched, mut largest) = (0u64, 0u64);
    arg.each_window(labels, samples, steps, ev.options().lookback_delta_ms, |window| {
        ev.check_cancelled()?;
        let n = window.n_points();
        touched += n;
        largest = largest.max(n);
        if let Some(sample) = apply(site, window, &falls, &mut scratch, notes)? {
            column.set(window.step, sample);
        }
        Ok(())
    })?;
    count(ev, &column, touched, largest, points_of(samples))?;
    Ok(column)
}

/// Counts the samples of a column, of all its windows and of the largest one, and the samples read for it.
fn count(
    ev: &Evaluator<'_>,
    column: &Column,
    touched: u64,
    largest: u64,
    read: u64,
) -> Result<(), QueryError> {
    ev.budget.touch(touched, read);
    ev.budget.add(column.n_points() + largest, column.bytes())?;
    ev.budget.release(largest, 0);
    Ok(())
}

/// What the function makes of one window. `falls` are [`rate::falls`] of the series.
pub(super) fn apply(
    site: &Site,
    window: &Window<'_>,
    falls: &[usize],
    scratch: &mut Vec<f64>,
    notes: &mut Notes,
) -> Result<Outcome, QueryError> {
    Ok(match site.name {
        "rate" | "increase" | "delta" if site.anchored || site.smoothed => {
            extended::rate(site, window, notes)
        }
        "rate" | "increase" | "delta" => rate::extrapolated(site, window, falls, notes),
        "irate" | "idelta" => rate::instant(site, window, notes),
        "resets" | "changes" => over_time::transitions(site, window),
        "sum_over_time" => over_time::sum(site, window, notes),
        "avg_over_time" => over_time::avg(site, window, notes),
        "count_over_time" => float(window.len() as f64),
        "present_over_time" => float(1.0),
        "first_over_time" => over_time::first(window),
        "last_over_time" => over_time::last(window),
        "ts_of_first_over_time" => over_time::time_of_first(window),
        "ts_of_last_over_time" => over_time::time_of_last(window),
        "max_over_time" | "min_over_time" | "ts_of_max_over_time" | "ts_of_min_over_time" => {
            over_time::extreme(site, window, notes)
        }
        "stddev_over_time" | "stdvar_over_time" => over_time::variance(site, window, notes),
        "mad_over_time" => over_time::mad(site, window, scratch, notes),
        "quantile_over_time" => over_time::quantile(site, window, scratch, notes),
        "deriv" | "predict_linear" => regression::linear(site, window, notes),
        "double_exponential_smoothing" => regression::smoothing(site, window, notes)?,
        other => return Err(QueryError::Execution(format!("function {other} takes no range vector"))),
    })
}

/// The info that a metric may be no counter.
fn note_name(ev: &Evaluator<'_>, labels: &tithon_index::Labels, pos: PosRange, notes: &mut Notes) {
    let Some(name) = labels.metric_name() else { return };
    if ev.options().type_and_unit_labels {
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
