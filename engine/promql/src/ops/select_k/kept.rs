//! The elements of a vector that are kept.

use tithon_index::Labels;

use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Cell, Column, Frame, Row, Steps};

/// The elements kept, as one column for each input row that has any, in the order in which rows were first kept.
pub(super) struct Kept<'a> {
    ctx: &'a Context<'a>,
    /// By input row: the index of its column, or [`NOT_KEPT`].
    place: Vec<u32>,
    /// By column: the index of its input row.
    order: Vec<usize>,
    columns: Vec<Column>,
    len: usize,
}

const NOT_KEPT: u32 = u32::MAX;

impl<'a> Kept<'a> {
    /// Keeps elements of `n_rows` input rows; none is kept yet.
    pub(super) fn new(ctx: &'a Context<'a>, n_rows: usize, steps: &Steps) -> Result<Kept<'a>, QueryError> {
        ctx.held.add(0, (n_rows * size_of::<u32>()) as u64)?;
        let place = vec![NOT_KEPT; n_rows];
        Ok(Kept { ctx, place, order: Vec::new(), columns: Vec::new(), len: steps.len })
    }

    /// Keeps the element of input row `i` at a step.
    pub(super) fn keep(&mut self, i: usize, step: usize, cell: Cell<'_>) -> Result<(), QueryError> {
        if self.place[i] == NOT_KEPT {
            self.ctx.held.add(0, Column::bytes_of(self.len) + size_of::<Column>() as u64)?;
            self.place[i] = self.columns.len() as u32;
            self.order.push(i);
            self.columns.push(Column::new(self.len));
        }
        self.columns[self.place[i] as usize].copy(step, cell);
        Ok(())
    }

    /// The rows kept; `describe` gives labels and whether the name is to be dropped.
    pub(super) fn into_frame(self, mut describe: impl FnMut(usize) -> Option<(Labels, bool)>) -> Frame {
        let row = |(i, column): (usize, Column)| {
            let (labels, drop_name) = describe(i)?;
            Some(Row { labels, drop_name, column })
        };
        Frame { rows: self.order.into_iter().zip(self.columns).filter_map(row).collect() }
    }
}
