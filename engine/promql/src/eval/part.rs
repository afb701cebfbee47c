//! Values of parts that another process evaluates: the value of a node goes out in one process and comes in in the other.

use std::sync::{Mutex, PoisonError};

use super::Evaluator;
use super::remote::{column, numbers};
use super::root::samples;
use crate::ast::{NodeId, PartPlace};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Frame, Output, Row, Steps};
use crate::part::PartValue;
use crate::result::MatrixSeries;
use crate::value_type::ValueType;

/// The values of the parts of a query; each is taken once.
pub(super) struct Parts(Vec<Mutex<Option<PartValue>>>);

impl Parts {
    /// Values in the order of [`crate::Prepared::store_parts`].
    pub(super) fn new(values: Vec<PartValue>) -> Parts {
        Parts(values.into_iter().map(|value| Mutex::new(Some(value))).collect())
    }

    fn take(&self, part: usize) -> Option<PartValue> {
        self.0.get(part)?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Evaluator<'_> {
    /// The value of a node that a store has evaluated, with all that its evaluation here would have left behind: annotations,
    /// counts, and the most samples held.
    pub(super) fn eval_part(
        &self,
        place: &PartPlace,
        ty: ValueType,
        steps: &Steps,
    ) -> Result<Output, QueryError> {
        let missing = || QueryError::Execution("the value of a part is missing".to_owned());
        let PartValue { series, annotations, stats } = self.parts.take(place.part).ok_or_else(missing)?;
        annotations.into_iter().for_each(|annotation| self.ctx.notes().add_told(annotation));
        self.ctx.held.touch(stats.total_samples, stats.samples_read);
        self.ctx.held.peaked(stats.peak_samples)?;
        let mut rows = Vec::with_capacity(series.len());
        for MatrixSeries { labels, samples } in series {
            self.ctx.check_cancelled()?;
            let reserved = self.ctx.reserve(steps.len)?;
            let column = column(samples, steps)?;
            drop(reserved);
            self.ctx.held.add(column.n_points(), column.bytes())?;
            rows.push(Row { labels, drop_name: false, column });
        }
        Ok(match ty {
            ValueType::Scalar => Output::Scalar(numbers(&rows, steps)),
            _ => Output::Frame(Frame { rows }),
        })
    }

    /// Evaluates a node for another process.
    pub(super) fn part_value(&self, id: NodeId, steps: &Steps) -> Result<PartValue, QueryError> {
        let frame = match self.eval(id, steps)? {
            Output::Scalar(values) => Frame::of_numbers(&values),
            Output::Frame(frame) => frame,
            Output::Text(_) => return Err(QueryError::Execution("a text is no part".to_owned())),
        };
        let series = told(&self.ctx, frame, steps)?;
        let annotations = std::mem::take(&mut *self.ctx.notes()).into_annotations();
        Ok(PartValue { series, annotations, stats: self.ctx.held.stats() })
    }
}

/// The rows of a frame as series, in their order.
fn told(ctx: &Context<'_>, frame: Frame, steps: &Steps) -> Result<Vec<MatrixSeries>, QueryError> {
    let times: Vec<i64> = (0..steps.len).map(|step| steps.time(step)).collect();
    let mut series = Vec::with_capacity(frame.rows.len());
    for row in frame.rows {
        ctx.check_cancelled()?;
        // The result stores the time of each point.
        ctx.held.add(0, times.len() as u64 * 8)?;
        series.push(MatrixSeries { labels: row.labels, samples: samples(row.column, &times) });
    }
    Ok(series)
}
