//! Binary operators: which code serves which types of operands.
//!
//! Upstream: the `BinaryExpr` case of `eval`, `VectorBinop`, `VectorscalarBinop` in `promql/engine.go`.

mod columns;
mod element;
mod matching;
mod numbers;
mod sets;
#[cfg(test)]
mod tests;
mod vectors;

use crate::ast::{Binary, PosRange};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Frame, Output, Steps};
use crate::operator::on_scalars;

/// Combines the operands of the operation at `pos`.
pub(crate) fn eval(
    ctx: &Context<'_>,
    b: &Binary,
    pos: PosRange,
    lhs: Output,
    rhs: Output,
    steps: &Steps,
) -> Result<Output, QueryError> {
    Ok(match (lhs, rhs) {
        (Output::Scalar(lhs), Output::Scalar(rhs)) => {
            Output::Scalar(lhs.into_iter().zip(rhs).map(|(l, r)| on_scalars(b.op, l, r)).collect())
        }
        (Output::Scalar(scalar), rhs) => {
            Output::Frame(numbers::eval(ctx, b, pos, rhs.into_frame(), &scalar, true)?)
        }
        (lhs, Output::Scalar(scalar)) => {
            Output::Frame(numbers::eval(ctx, b, pos, lhs.into_frame(), &scalar, false)?)
        }
        (lhs, rhs) => Output::Frame(frames(ctx, b, pos, lhs.into_frame(), rhs.into_frame(), steps)?),
    })
}

fn frames(
    ctx: &Context<'_>,
    b: &Binary,
    pos: PosRange,
    lhs: Frame,
    rhs: Frame,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    if b.op.is_set() {
        return sets::eval(ctx, b, lhs, rhs);
    }
    match columns::eval(ctx, b, lhs, rhs)? {
        Ok(frame) => Ok(frame),
        Err((lhs, rhs)) => vectors::eval(ctx, b, pos, lhs, rhs, steps),
    }
}
