//! `start()`, `end()`, `range()` and `step()` are replaced by numbers: those of the outer query, inside subqueries too.

use crate::ast::{Expr, NodeId, NodeKind};
use crate::func::Func;
use crate::options::TimeParams;

/// Replaces the calls in place.
pub(super) fn resolve(expr: &mut Expr, params: &TimeParams) {
    let (start, end) = (params.start.0, params.end.0);
    for i in 0..expr.nodes().len() {
        let id = NodeId(i as u32);
        let NodeKind::Call(call) = &expr[id].kind else { continue };
        let value = match call.func {
            Func::Start => start as f64 / 1000.0,
            Func::End => end as f64 / 1000.0,
            Func::Range => end.saturating_sub(start) as f64 / 1000.0,
            Func::Step if start == end => 0.0,
            Func::Step => params.step_ms as f64 / 1000.0,
            _ => continue,
        };
        expr[id].kind = NodeKind::Number { value, is_duration: false };
    }
}
