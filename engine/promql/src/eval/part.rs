//! Values of parts that another process evaluates: the value of a node goes out in one process and comes in in the other.

use std::sync::{Mutex, PoisonError};

use super::Evaluator;
use super::remote::numbers;
use crate::ast::{NodeId, PartPlace};
use crate::error::QueryError;
use crate::frame::{Frame, Output, Row, Steps};
use crate::part::{PartRow, PartValue};
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
        let PartValue { rows, annotations, stats } = self.parts.take(place.part).ok_or_else(missing)?;
        annotations.into_iter().for_each(|annotation| self.ctx.notes().add_told(annotation));
        self.ctx.held.touch(stats.total_samples, stats.samples_read);
        self.ctx.held.peaked(stats.peak_samples)?;
        let rows: Vec<Row> = rows.into_iter().map(PartRow::into_row).collect();
        if rows.iter().any(|row| row.column.len() != steps.len) {
            return Err(QueryError::Execution("the value of a part has other steps".to_owned()));
        }
        for row in &rows {
            let (samples, bytes) = row.held();
            self.ctx.held.add(samples, bytes)?;
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
        let rows = frame.rows.into_iter().map(PartRow::of).collect();
        let annotations = std::mem::take(&mut *self.ctx.notes()).into_annotations();
        Ok(PartValue { rows, annotations, stats: self.ctx.held.stats() })
    }
}
