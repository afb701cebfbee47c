//! Results of other queriers as results of nodes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tithon_chunks::Samples;
use tithon_index::Labels;

use super::Evaluator;
use crate::ast::RemoteResult;
use crate::error::QueryError;
use crate::frame::{Column, Frame, Output, Row, Steps};
use crate::series::SeriesData;
use crate::value_type::ValueType;

impl Evaluator<'_> {
    /// The result of an expression that other queriers evaluate, its series ascending by labels. Where parts overlap, the sample
    /// of the last one counts.
    pub(super) fn eval_remote(
        &self,
        remote: &RemoteResult,
        ty: ValueType,
        steps: &Steps,
    ) -> Result<Output, QueryError> {
        let mut columns: HashMap<Labels, Column> = HashMap::new();
        for part in remote.parts.iter().rev() {
            for (labels, column) in self.part(*part, steps)? {
                match columns.entry(labels) {
                    Entry::Vacant(place) => {
                        place.insert(column);
                    }
                    Entry::Occupied(mut place) => {
                        let (later, mut earlier) = (place.get_mut(), column);
                        earlier.mask(&later.presence(), false);
                        assert!(later.absorb(&earlier), "no step has samples of both");
                    }
                }
            }
        }
        let mut rows: Vec<Row> = columns
            .into_iter()
            .filter(|(_, column)| !column.is_empty())
            .map(|(labels, column)| Row { labels, drop_name: false, column })
            .collect();
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(match ty {
            ValueType::Scalar => Output::Scalar(numbers(&rows, steps)),
            _ => Output::Frame(Frame { rows }),
        })
    }

    /// The series of one part.
    fn part(&self, part: usize, steps: &Steps) -> Result<Vec<(Labels, Column)>, QueryError> {
        let slot = &self.inputs[self.prepared.selects.len() + part];
        let mut found = Vec::new();
        for series in slot.take(&[], &self.ctx).into_iter().flatten() {
            self.ctx.check_cancelled()?;
            let series = series.map_err(QueryError::of_source)?;
            let SeriesData::Samples(samples) = series.data else {
                return Err(QueryError::Execution("a result of another querier is encoded".to_owned()));
            };
            let reserved = self.ctx.reserve(steps.len)?;
            let column = column(*samples, steps)?;
            let n = column.n_points();
            self.ctx.held.touch(n, n);
            drop(reserved);
            self.ctx.held.add(n, column.bytes())?;
            found.push((series.labels, column));
        }
        Ok(found)
    }
}

/// Samples at steps as a column.
fn column(samples: Samples, steps: &Steps) -> Result<Column, QueryError> {
    let mut column = Column::new(steps.len);
    for (t, v) in samples.floats.timestamps.iter().zip(&samples.floats.values) {
        column.set_float(place(*t, &column, steps)?, *v);
    }
    let histograms = samples.histograms;
    for (t, h) in histograms.timestamps.iter().zip(histograms.values) {
        column.set_histogram(place(*t, &column, steps)?, Arc::new(h));
    }
    Ok(column)
}

/// The step of a time. Fails if there is none, or if it has a sample already.
fn place(t: i64, column: &Column, steps: &Steps) -> Result<usize, QueryError> {
    let wrong =
        |what: &str| Err(QueryError::Execution(format!("a result of another querier has {what} at {t} ms")));
    let distance = i128::from(t) - i128::from(steps.start);
    let step = usize::try_from(distance / i128::from(steps.interval)).unwrap_or(usize::MAX);
    if distance < 0 || distance % i128::from(steps.interval) != 0 || step >= steps.len {
        return wrong("a sample that belongs to no step");
    }
    if column.get(step).is_some() {
        return wrong("two samples");
    }
    Ok(step)
}

/// The only series as numbers; NaN where it has no float, or if there are several series or none.
pub(super) fn numbers(rows: &[Row], steps: &Steps) -> Vec<f64> {
    let [row] = rows else { return vec![f64::NAN; steps.len] };
    (0..steps.len).map(|step| row.column.float(step).unwrap_or(f64::NAN)).collect()
}
