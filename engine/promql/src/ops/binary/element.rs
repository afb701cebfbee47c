//! Binary operators on two samples. Upstream: `vectorElemBinop` in `promql/engine.go`.

use std::sync::Arc;

use tithon_chunks::{CounterResetHint, HistogramError, Keep};

use crate::annotations::Notes;
use crate::ast::{BinaryOp, PosRange};
use crate::frame::Cell;
use crate::math::log2;
use crate::operator::{arithmetic, compare};
use crate::result::Sample;

/// The result for two samples.
#[derive(Clone, Debug)]
pub(super) struct Done {
    /// The value; of a comparison, the left one.
    pub(crate) value: Sample,
    /// Whether the comparison is true; always `true` for other operators.
    pub(crate) keep: bool,
    /// The annotation of a result.
    pub(crate) remark: Option<Issue>,
}

/// Why there is no result, or the reason for an annotation of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issue {
    /// The operator does not take these types.
    Types(&'static str, &'static str),
    /// Custom buckets on one side only.
    Schemas,
    /// A histogram whose buckets and bounds contradict each other.
    Broken,
    /// The counter reset hints of the operands of this operation contradict each other.
    ResetCollision(&'static str),
    /// The custom bounds of the operands of this operation differed and were reconciled.
    Reconciled(&'static str),
}

impl Issue {
    /// Adds the annotation about an operation at `pos`.
    pub(super) fn note(&self, op: BinaryOp, pos: PosRange, notes: &mut Notes) {
        match self {
            Issue::Types(l, r) => notes.info(
                format!("incompatible sample types encountered for binary operator \"{op}\": {l} {op} {r}"),
                pos,
            ),
            Issue::Schemas => {
                notes.warn(format!("incompatible bucket layout encountered for binary operator {op}"), pos);
            }
            Issue::Broken => {}
            Issue::ResetCollision(operation) => notes.reset_collision(operation, pos),
            Issue::Reconciled(operation) => notes.bounds_reconciled(operation, pos),
        }
    }
}

fn done(value: Sample) -> Result<Done, Issue> {
    Ok(Done { value, keep: true, remark: None })
}

/// Combines two samples.
pub(super) fn combine(op: BinaryOp, l: Cell<'_>, r: Cell<'_>) -> Result<Done, Issue> {
    match (l, r) {
        (Cell::Float(l), Cell::Float(r)) => floats(op, l, r),
        (Cell::Float(l), Cell::Histogram(r)) => {
            if op != BinaryOp::Mul {
                return Err(Issue::Types("float", "histogram"));
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
                _ => return Err(Issue::Types("histogram", "float")),
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
                _ => return Err(Issue::Types("histogram", "histogram")),
            };
            let combined = combined.map_err(|e| match e {
                HistogramError::IncompatibleSchema => Issue::Schemas,
                _ => Issue::Broken,
            })?;
            if combined.counter_reset_collision {
                return Err(Issue::ResetCollision(operation));
            }
            if op == BinaryOp::Sub {
                h.counter_reset_hint = CounterResetHint::Gauge;
            }
            h.compact(0);
            let remark = combined.bounds_reconciled.then_some(Issue::Reconciled(operation));
            Ok(Done { value: Sample::Histogram(Arc::new(h)), keep: true, remark })
        }
    }
}

#[inline]
fn floats(op: BinaryOp, l: f64, r: f64) -> Result<Done, Issue> {
    match arithmetic(op, l, r) {
        Some(v) => done(Sample::Float(v)),
        None if op.is_comparison() => {
            Ok(Done { value: Sample::Float(l), keep: compare(op, l, r), remark: None })
        }
        None => Err(Issue::Types("float", "float")),
    }
}
