//! The root of a query: its value in the form that the caller gets.

use std::sync::Arc;

use tithon_chunks::{SampleBatch, Samples, Timestamp};

use super::Evaluator;
use crate::ast::{NodeId, NodeKind};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Cell, Column, Frame, Output, Row, Steps, merge, without_metadata};
use crate::result::{MatrixSeries, Sample, Value, VectorSample};
use crate::value_type::ValueType;

impl Evaluator<'_> {
    /// Evaluates the root.
    pub(super) fn root_value(&self, steps: &Steps) -> Result<Value, QueryError> {
        let root = self.root();
        if self.ty(root) == ValueType::Matrix {
            return self.measured(root, |_| self.range_value(root, steps));
        }
        let ctx = &self.ctx;
        let t = Timestamp(steps.start);
        let is_instant = self.prepared.params.is_instant();
        match self.eval(root, steps)? {
            Output::Text(text) => Ok(Value::String { t, v: text }),
            Output::Scalar(values) if is_instant => {
                Ok(Value::Scalar { t, v: values.first().copied().unwrap_or(f64::NAN) })
            }
            Output::Scalar(values) => Ok(Value::Matrix(matrix(ctx, Frame::of_numbers(&values), steps)?)),
            Output::Frame(frame) => {
                let frame = cleaned(ctx, frame)?;
                Ok(match is_instant {
                    true => Value::Vector(vector(frame, t)),
                    false => Value::Matrix(matrix(ctx, frame, steps)?),
                })
            }
        }
    }

    /// The root without parentheses. Range vectors also lose the [`NodeKind::StepInvariant`] around them.
    fn root(&self) -> NodeId {
        let mut root = self.unparen(self.prepared.expr.root());
        while let NodeKind::StepInvariant(inner) = *self.kind(root) {
            let inner = self.unparen(inner);
            if !matches!(self.kind(inner), NodeKind::Matrix(_) | NodeKind::Subquery(_)) {
                break;
            }
            root = inner;
        }
        root
    }

    /// A range vector as the result of an instant query: samples at their original times, series sorted by labels.
    fn range_value(&self, root: NodeId, steps: &Steps) -> Result<Value, QueryError> {
        let delayed = self.ctx.options.delayed_name_removal;
        let rows = self.range_vector(root, steps)?.into_series(&self.ctx, steps)?;
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
}

/// With delayed name removal: removes the names now, and merges series that become equal.
fn cleaned(ctx: &Context<'_>, mut frame: Frame) -> Result<Frame, QueryError> {
    if !ctx.options.delayed_name_removal {
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

fn matrix(ctx: &Context<'_>, frame: Frame, steps: &Steps) -> Result<Vec<MatrixSeries>, QueryError> {
    let times: Vec<i64> = (0..steps.len).map(|step| steps.time(step)).collect();
    let mut series = Vec::with_capacity(frame.rows.len());
    for row in frame.rows.into_iter().filter(|row| !row.column.is_empty()) {
        ctx.check_cancelled()?;
        // The result stores the time of each point.
        ctx.held.add(0, times.len() as u64 * 8)?;
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
