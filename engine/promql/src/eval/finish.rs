//! The root of a query: its value in the form that the caller gets.

use std::sync::Arc;

use tithon_chunks::{SampleBatch, Samples, Timestamp};

use super::{Evaluator, Output};
use crate::ast::{NodeKind, ValueType};
use crate::error::QueryError;
use crate::frame::{Cell, Column, Frame, Row, Steps, without_metadata};
use crate::ops::{merge, range};
use crate::result::{MatrixSeries, Sample, Value, VectorSample};

/// Evaluates the root.
pub(super) fn value(ev: &Evaluator<'_>, steps: Steps) -> Result<Value, QueryError> {
    let mut root = ev.unparen(ev.prepared.expr.root());
    while let NodeKind::StepInvariant(inner) = *ev.kind(root) {
        let inner = ev.unparen(inner);
        if !matches!(ev.kind(inner), NodeKind::Matrix(_) | NodeKind::Subquery(_)) {
            break;
        }
        root = inner;
    }
    if ev.ty(root) == ValueType::Matrix {
        return ev.measured(root, |_| matrix_root(ev, root, &steps));
    }
    let t = Timestamp(steps.start);
    let instant = ev.prepared.params.is_instant();
    match ev.eval(root, &steps)? {
        Output::Text(text) => Ok(Value::String { t, v: text }),
        Output::Scalar(values) if instant => {
            Ok(Value::Scalar { t, v: values.first().copied().unwrap_or(f64::NAN) })
        }
        Output::Scalar(values) => {
            let frame = crate::functions::scalar::vector(&values);
            Ok(Value::Matrix(matrix(ev, frame, &steps)?))
        }
        Output::Frame(frame) => {
            let frame = cleaned(ev, frame)?;
            Ok(if instant {
                Value::Vector(vector(frame, t))
            } else {
                Value::Matrix(matrix(ev, frame, &steps)?)
            })
        }
    }
}

/// With delayed name removal: names go now, and series that became equal are merged.
fn cleaned(ev: &Evaluator<'_>, mut frame: Frame) -> Result<Frame, QueryError> {
    if !ev.options().delayed_name_removal {
        return Ok(frame);
    }
    frame.rows.retain(|row| !row.column.is_empty());
    for row in frame.rows.iter_mut().filter(|row| row.drop_name) {
        row.labels = without_metadata(&row.labels);
    }
    merge::equal_labels(frame)
}

fn vector(frame: Frame, t: Timestamp) -> Vec<VectorSample> {
    let sample = |row: Row| {
        let sample = match row.column.get(0)? {
            Cell::Float(v) => Sample::Float(v),
            Cell::Histogram(h) => Sample::Histogram(h.clone()),
        };
        Some(VectorSample { labels: row.labels, t, sample })
    };
    frame.rows.into_iter().filter(|row| !row.column.is_empty()).filter_map(sample).collect()
}

fn matrix(ev: &Evaluator<'_>, frame: Frame, steps: &Steps) -> Result<Vec<MatrixSeries>, QueryError> {
    let times: Vec<i64> = (0..steps.len).map(|step| steps.time(step)).collect();
    let mut series = Vec::with_capacity(frame.rows.len());
    for row in frame.rows.into_iter().filter(|row| !row.column.is_empty()) {
        ev.check_cancelled()?;
        // Each point gets its time.
        ev.budget.add(0, times.len() as u64 * 8)?;
        series.push(MatrixSeries { labels: row.labels, samples: samples(row.column, &times) });
    }
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(series)
}

/// A column as samples at the times of its steps.
fn samples(column: Column, times: &[i64]) -> Samples {
    let mut samples = Samples::default();
    match column.into_full_floats() {
        Ok(values) => samples.floats = SampleBatch { timestamps: times.to_vec(), values },
        Err(column) => {
            for (step, v) in column.floats() {
                samples.floats.push(Timestamp(times[step]), v);
            }
            for (step, h) in column.into_histograms() {
                samples.histograms.timestamps.push(times[step as usize]);
                samples.histograms.values.push(Arc::unwrap_or_clone(h));
            }
        }
    }
    samples
}

/// A range vector as the result of an instant query: original times, sorted by labels.
fn matrix_root(ev: &Evaluator<'_>, root: crate::NodeId, steps: &Steps) -> Result<Value, QueryError> {
    let mut rows = Vec::new();
    range::for_each_root_series(ev, root, steps, |series| {
        rows.push(RangeRow { labels: series.labels, drop_name: series.drop_name, samples: series.samples });
        Ok(())
    })?;
    let delayed = ev.options().delayed_name_removal;
    let mut series: Vec<MatrixSeries> = rows
        .into_iter()
        .filter(|row| !row.samples.is_empty())
        .map(|row| MatrixSeries {
            labels: if delayed && row.drop_name { without_metadata(&row.labels) } else { row.labels },
            samples: row.samples,
        })
        .collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    if delayed {
        series = merge::equal_matrix_labels(series)?;
    }
    Ok(Value::Matrix(series))
}

/// A series of a range vector, not yet cleaned.
struct RangeRow {
    labels: tithon_index::Labels,
    drop_name: bool,
    samples: Samples,
}
