//! Computes duration expressions: at this point the step and range of the query are known.
//!
//! Upstream: `promql/durations.go`.

use crate::ast::{DurationOp, Expr, NodeId, NodeKind};
use crate::error::QueryError;
use crate::math;
use crate::options::TimeParams;

/// Durations beyond this many seconds do not fit 64-bit nanoseconds.
const SECONDS_MAX: f64 = (1u64 << 63) as f64 / 1e9;

/// Resolves the expressions of ranges, steps and offsets in place, in the order in which the nodes are met.
pub(super) fn resolve(expr: &mut Expr, params: &TimeParams) -> Result<(), QueryError> {
    for id in expr.preorder() {
        let (offset, step, range) = match &expr[id].kind {
            NodeKind::Vector(s) => (s.offset_expr, None, None),
            NodeKind::Matrix(m) => (None, None, m.range_expr),
            NodeKind::Subquery(s) => (s.offset_expr, s.step_expr, s.range_expr),
            _ => continue,
        };
        let offset_ms = offset.map(|e| milliseconds(expr, e, params, true)).transpose()?;
        let step_ms = step.map(|e| milliseconds(expr, e, params, false)).transpose()?;
        let range_ms = range.map(|e| milliseconds(expr, e, params, false)).transpose()?;
        match &mut expr[id].kind {
            NodeKind::Vector(s) => s.offset_ms = offset_ms.unwrap_or(s.offset_ms),
            NodeKind::Matrix(m) => m.range_ms = range_ms.unwrap_or(m.range_ms),
            NodeKind::Subquery(s) => {
                s.offset_ms = offset_ms.unwrap_or(s.offset_ms);
                s.step_ms = step_ms.unwrap_or(s.step_ms);
                s.range_ms = range_ms.unwrap_or(s.range_ms);
            }
            _ => {}
        }
    }
    Ok(())
}

fn milliseconds(expr: &Expr, id: NodeId, params: &TimeParams, signed: bool) -> Result<i64, QueryError> {
    let seconds = seconds(expr, id, params)?;
    if !seconds.is_finite() {
        return Err(bad(expr, id, "duration is NaN or infinite"));
    }
    if seconds <= 0.0 && !signed {
        return Err(bad(expr, id, "duration must be greater than 0"));
    }
    if seconds.abs() > SECONDS_MAX {
        return Err(bad(expr, id, "duration is out of range"));
    }
    Ok((seconds * 1000.0) as i64)
}

fn seconds(expr: &Expr, id: NodeId, params: &TimeParams) -> Result<f64, QueryError> {
    let d = match expr[id].kind {
        NodeKind::Number { value, .. } => return Ok(value),
        NodeKind::Paren(inner) => return seconds(expr, inner, params),
        NodeKind::Duration(d) => d,
        _ => return Err(bad(expr, id, "unexpected duration expression")),
    };
    let lhs = d.lhs.map(|e| seconds(expr, e, params)).transpose()?;
    let rhs = d.rhs.map(|e| seconds(expr, e, params)).transpose()?.unwrap_or_default();
    let left = lhs.unwrap_or_default();
    Ok(match d.op {
        DurationOp::Step => params.step_ms as f64 / 1000.0,
        DurationOp::Range => params.end.0.saturating_sub(params.start.0) as f64 / 1000.0,
        DurationOp::MinOf => math::min(left, rhs),
        DurationOp::MaxOf => math::max(left, rhs),
        DurationOp::Add if lhs.is_none() => rhs,
        DurationOp::Add => left + rhs,
        DurationOp::Sub if lhs.is_none() => -rhs,
        DurationOp::Sub => left - rhs,
        DurationOp::Mul => left * rhs,
        DurationOp::Div if rhs == 0.0 => return Err(bad(expr, id, "division by zero")),
        DurationOp::Div => left / rhs,
        DurationOp::Mod if rhs == 0.0 => return Err(bad(expr, id, "modulo by zero")),
        DurationOp::Mod => left % rhs,
        DurationOp::Pow => math::pow(left, rhs),
    })
}

fn bad(expr: &Expr, id: NodeId, message: &str) -> QueryError {
    let pos = expr[id].pos;
    QueryError::BadData(format!("{}:{}: {message}", pos.start, pos.end))
}
