//! One element on each side. Upstream: `vectorElemBinop` in `promql/engine.go`.

use std::sync::Arc;

use tithon_chunks::{CounterResetHint, HistogramError, Keep};

use crate::annotations::Notes;
use crate::ast::{BinaryOp, PosRange};
use crate::frame::Cell;
use crate::math::log2;
use crate::operator::{arithmetic, compare};
use crate::result::Sample;

/// A result: for comparisons the left value and whether it is kept.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// The value.
    pub(crate) value: Sample,
    /// Whether a comparison held; true for other operators.
    pub(crate) keep: bool,
    /// Something to remark although there is a result.
    pub(crate) remark: Option<Trouble>,
}

/// Why there is no result, or what is to be remarked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The operator does not take these types.
    Types(&'static str, &'static str),
    /// Custom buckets on one side only.
    Schemas,
    /// A histogram whose parts do not fit together.
    Broken,
    /// Hints contradict each other in this operation.
    ResetCollision(&'static str),
    /// Custom bounds were reconciled in this operation.
    Reconciled(&'static str),
}

impl Trouble {
    /// Adds the annotation that tells of it.
    pub(super) fn note(&self, op: BinaryOp, pos: PosRange, notes: &mut Notes) {
        match self {
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
}

fn done(value: Sample) -> Result<Done, Trouble> {
    Ok(Done { value, keep: true, remark: None })
}

/// Combines two samples.
pub(super) fn combine(op: BinaryOp, l: Cell<'_>, r: Cell<'_>) -> Result<Done, Trouble> {
    match (l, r) {
        (Cell::Float(l), Cell::Float(r)) => floats(op, l, r),
        (Cell::Float(l), Cell::Histogram(r)) => {
            if op != BinaryOp::Mul {
                return Err(Trouble::Types("float", "histogram"));
            }
            let mut h = r.as_ref().clone();
            h.mul(l);
            h.compact(0);
            done(Sample::Histogram(Arc::new(h)))
        }
        (Cell::Histogram(l), Cell::Float(r)) => {
            let mut h = l.as_ref().clone();
            match op {
                BinaryOp::Mul => h.mul(r),
                BinaryOp::Div => h.div(r),
                BinaryOp::TrimUpper => {
                    h.trim(r, Keep::Below, log2);
                    return done(Sample::Histogram(Arc::new(h)));
                }
                BinaryOp::TrimLower => {
                    h.trim(r, Keep::Above, log2);
                    return done(Sample::Histogram(Arc::new(h)));
                }
                _ => return Err(Trouble::Types("histogram", "float")),
            }
            h.compact(0);
            done(Sample::Histogram(Arc::new(h)))
        }
        (Cell::Histogram(l), Cell::Histogram(r)) => {
            let mut h = l.as_ref().clone();
            let (combined, operation) = match op {
                BinaryOp::Add => (h.add(r), "addition"),
                BinaryOp::Sub => (h.sub(r), "subtraction"),
                BinaryOp::Equal | BinaryOp::NotEqual => {
                    let keep = l.equals(r) == (op == BinaryOp::Equal);
                    return Ok(Done { value: Sample::Histogram(Arc::clone(l)), keep, remark: None });
                }
                _ => return Err(Trouble::Types("histogram", "histogram")),
            };
            let combined = combined.map_err(|e| match e {
                HistogramError::IncompatibleSchema => Trouble::Schemas,
                _ => Trouble::Broken,
            })?;
            if combined.counter_reset_collision {
                return Err(Trouble::ResetCollision(operation));
            }
            if op == BinaryOp::Sub {
                h.counter_reset_hint = CounterResetHint::Gauge;
            }
            h.compact(0);
            let remark = combined.bounds_reconciled.then_some(Trouble::Reconciled(operation));
            Ok(Done { value: Sample::Histogram(Arc::new(h)), keep: true, remark })
        }
    }
}

#[inline]
fn floats(op: BinaryOp, l: f64, r: f64) -> Result<Done, Trouble> {
    match arithmetic(op, l, r) {
        Some(v) => done(Sample::Float(v)),
        None if op.is_comparison() => {
            Ok(Done { value: Sample::Float(l), keep: compare(op, l, r), remark: None })
        }
        None => Err(Trouble::Types("float", "float")),
    }
}
