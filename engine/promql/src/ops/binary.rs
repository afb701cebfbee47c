//! Binary operators: which code serves which types of operands.
//!
//! Upstream: the `BinaryExpr` case of `eval`, `VectorBinop`, `VectorscalarBinop` in `promql/engine.go`.

mod columns;
mod element;
mod matching;
mod sets;
mod vectors;

use crate::annotations::Notes;
use crate::ast::{Binary, BinaryOp, NodeId, PosRange, ValueType};
use crate::error::QueryError;
use crate::eval::{Evaluator, Output};
use crate::frame::{Cell, Column, Frame, Steps, without_metadata};
use crate::math;
use crate::ops::merge;
use crate::result::Sample;

use element::Trouble;

/// Evaluates a binary operation.
pub(crate) fn eval(ev: &Evaluator<'_>, id: NodeId, b: &Binary, steps: &Steps) -> Result<Output, QueryError> {
    let pos = ev.pos(id);
    let is_scalar = |id: NodeId| ev.ty(id) == ValueType::Scalar;
    match (is_scalar(b.lhs), is_scalar(b.rhs)) {
        (true, true) => {
            let (lhs, rhs) = (ev.scalar(b.lhs, steps)?, ev.scalar(b.rhs, steps)?);
            let values = lhs.into_iter().zip(rhs).map(|(l, r)| scalars(b.op, l, r));
            Ok(Output::Scalar(values.collect()))
        }
        (false, false) => {
            let (lhs, rhs) = (ev.frame(b.lhs, steps)?, ev.frame(b.rhs, steps)?);
            let frame = if b.op.is_set() {
                sets::eval(ev, b, lhs, rhs)?
            } else {
                match columns::eval(ev, b, lhs, rhs)? {
                    Ok(frame) => frame,
                    Err((lhs, rhs)) => vectors::eval(ev, b, pos, lhs, rhs, steps)?,
                }
            };
            Ok(Output::Frame(frame))
        }
        (true, false) => {
            let scalar = ev.scalar(b.lhs, steps)?;
            let frame = ev.frame(b.rhs, steps)?;
            Ok(Output::Frame(with_scalar(ev, b, pos, frame, &scalar, true)?))
        }
        (false, true) => {
            let frame = ev.frame(b.lhs, steps)?;
            let scalar = ev.scalar(b.rhs, steps)?;
            Ok(Output::Frame(with_scalar(ev, b, pos, frame, &scalar, false)?))
        }
    }
}

/// Calls a macro for the operator, as `apply!(arithmetic, f)` or `apply!(comparison, f)`: each with a function of two
/// floats that the compiler knows, so that loops over columns are made for it.
macro_rules! for_operator {
    ($op:expr, $apply:ident, $other:expr) => {
        match $op {
            BinaryOp::Add => $apply!(arithmetic, |l, r| l + r),
            BinaryOp::Sub => $apply!(arithmetic, |l, r| l - r),
            BinaryOp::Mul => $apply!(arithmetic, |l, r| l * r),
            BinaryOp::Div => $apply!(arithmetic, |l, r| l / r),
            BinaryOp::Mod => $apply!(arithmetic, math::modulo),
            BinaryOp::Pow => $apply!(arithmetic, math::pow),
            BinaryOp::Atan2 => $apply!(arithmetic, math::atan2),
            BinaryOp::Equal => $apply!(comparison, |l, r| l == r),
            BinaryOp::NotEqual => $apply!(comparison, |l, r| l != r),
            BinaryOp::Greater => $apply!(comparison, |l, r| l > r),
            BinaryOp::Less => $apply!(comparison, |l, r| l < r),
            BinaryOp::GreaterOrEqual => $apply!(comparison, |l, r| l >= r),
            BinaryOp::LessOrEqual => $apply!(comparison, |l, r| l <= r),
            _ => $other,
        }
    };
}
use for_operator;

/// Two numbers; comparisons give 1 or 0.
pub(crate) fn scalars(op: BinaryOp, l: f64, r: f64) -> f64 {
    match arithmetic(op, l, r) {
        Some(v) => v,
        None => f64::from(u8::from(compare(op, l, r))),
    }
}

/// An arithmetic operator on floats; `None` for the others.
#[inline]
fn arithmetic(op: BinaryOp, l: f64, r: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => math::modulo(l, r),
        BinaryOp::Pow => math::pow(l, r),
        BinaryOp::Atan2 => math::atan2(l, r),
        _ => return None,
    })
}

#[inline]
fn compare(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Equal => l == r,
        BinaryOp::NotEqual => l != r,
        BinaryOp::Greater => l > r,
        BinaryOp::Less => l < r,
        BinaryOp::GreaterOrEqual => l >= r,
        BinaryOp::LessOrEqual => l <= r,
        _ => false,
    }
}

/// Whether the result is no longer what the metric measures.
fn changes_schema(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
            | BinaryOp::Atan2
    )
}

/// A vector with a scalar on its right, or on its left if `swapped`.
fn with_scalar(
    ev: &Evaluator<'_>,
    b: &Binary,
    pos: PosRange,
    mut frame: Frame,
    scalar: &[f64],
    swapped: bool,
) -> Result<Frame, QueryError> {
    let mut notes = Notes::default();
    let drops_name = changes_schema(b.op) || b.return_bool;
    for row in &mut frame.rows {
        ev.check_cancelled()?;
        let histograms = row.column.take_histograms();
        if !columns::with_numbers(b, &mut row.column, scalar, swapped) && row.column.has_floats() {
            note(&Trouble::Types("float", "float"), b.op, pos, &mut notes);
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
                Err(trouble) => note(&trouble, b.op, pos, &mut notes),
            }
        }
        if drops_name {
            row.drop_name = true;
            if !ev.options().delayed_name_removal {
                row.labels = without_metadata(&row.labels);
            }
        }
    }
    ev.notes().merge(notes);
    frame.rows.retain(|row| !row.column.is_empty());
    merge::equal_labels(frame)
}

/// Turns trouble of an element into an annotation.
fn note(trouble: &Trouble, op: BinaryOp, pos: PosRange, notes: &mut Notes) {
    match trouble {
        Trouble::Types(l, r) => notes.info(
            format!("incompatible sample types encountered for binary operator \"{op}\": {l} {op} {r}"),
            pos,
        ),
        Trouble::Schemas => {
            notes.warn(format!("incompatible bucket layout encountered for binary operator {op}"), pos);
        }
        Trouble::Broken => {}
        Trouble::ResetCollision(operation) => notes.reset_collision(operation, pos),
        Trouble::Reconciled(operation) => notes.bounds_reconciled(operation, pos),
    }
}
