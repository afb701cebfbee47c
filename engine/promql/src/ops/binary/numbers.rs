//! A vector and a scalar. Upstream: `VectorscalarBinop` in `promql/engine.go`.

use super::element::{self, Issue};
use crate::annotations::Notes;
use crate::ast::{Binary, BinaryOp, PosRange};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Cell, Column, Frame, merge, without_metadata};
use crate::operator::{for_operator, is_arithmetic};
use crate::result::Sample;

/// Combines a vector with a scalar on its right, or on its left if `swapped`.
pub(super) fn eval(
    ctx: &Context<'_>,
    b: &Binary,
    pos: PosRange,
    mut frame: Frame,
    scalar: &[f64],
    swapped: bool,
) -> Result<Frame, QueryError> {
    let mut notes = Notes::default();
    let drops_name = is_arithmetic(b.op) || b.return_bool;
    for row in &mut frame.rows {
        ctx.check_cancelled()?;
        let histograms = row.column.take_histograms();
        if !combine_floats(b, &mut row.column, scalar, swapped) && row.column.has_floats() {
            Issue::Types("float", "float").note(b.op, pos, &mut notes);
            row.column = Column::new(row.column.len());
        }
        for (step, h) in &histograms {
            let step = *step as usize;
            let (l, r) = (Cell::Histogram(h), Cell::Float(scalar[step]));
            let (l, r) = if swapped { (r, l) } else { (l, r) };
            match element::combine(b.op, l, r) {
                Ok(done) => {
                    if let Sample::Histogram(h) = done.value {
                        row.column.set_histogram(step, h);
                    }
                }
                Err(issue) => issue.note(b.op, pos, &mut notes),
            }
        }
        if drops_name {
            row.drop_name = true;
            if !ctx.options.delayed_name_removal {
                row.labels = without_metadata(&row.labels);
            }
        }
    }
    ctx.notes().merge(notes);
    frame.rows.retain(|row| !row.column.is_empty());
    merge::equal_labels(frame)
}

/// Combines the floats of a column with one number per step. Returns `false` when the operator does not take two floats.
fn combine_floats(b: &Binary, column: &mut Column, numbers: &[f64], swapped: bool) -> bool {
    macro_rules! apply {
        (arithmetic, $f:expr) => {{
            let f = |l: f64, r: f64| -> f64 { ($f)(l, r) };
            if swapped {
                column.zip_numbers(numbers, |v, n| f(n, v))
            } else {
                column.zip_numbers(numbers, f)
            }
            true
        }};
        (comparison, $f:expr) => {{
            let holds = |l: f64, r: f64| -> bool { ($f)(l, r) };
            let bit = |l: f64, r: f64| f64::from(u8::from(holds(l, r)));
            match (b.return_bool, swapped) {
                (true, false) => column.zip_numbers(numbers, bit),
                (true, true) => column.zip_numbers(numbers, |v, n| bit(n, v)),
                (false, false) => column.filter_numbers(numbers, holds),
                (false, true) => column.filter_numbers(numbers, |v, n| holds(n, v)),
            }
            true
        }};
    }
    for_operator!(b.op, apply, false)
}
