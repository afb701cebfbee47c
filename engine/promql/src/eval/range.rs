//! Range vectors as arguments: selectors and subqueries, and the calls of range functions over them.

use super::Evaluator;
use crate::ast::{Call, NodeId, NodeKind, PosRange};
use crate::error::QueryError;
use crate::frame::{Frame, Steps};
use crate::func::Func;
use crate::functions::RangeCall;
use crate::read::{RangeVector, subquery};

impl Evaluator<'_> {
    /// A range vector; the inner expression of a subquery is evaluated.
    pub(super) fn range_vector(&self, id: NodeId, steps: &Steps) -> Result<RangeVector, QueryError> {
        match self.kind(id) {
            NodeKind::Matrix(m) => {
                let NodeKind::Vector(s) = self.kind(m.selector) else {
                    return Err(QueryError::Execution("a range belongs to a selector".to_owned()));
                };
                Ok(RangeVector::of_selector(self.select(m.selector), s, m.range_ms))
            }
            NodeKind::Subquery(s) => {
                let inner = subquery::inner_steps(s, self.ctx.options.default_subquery_step_ms, steps);
                self.ctx.held.check_steps(inner.len)?;
                let frame = if inner.len == 0 { Frame::default() } else { self.frame(s.expr, &inner)? };
                Ok(RangeVector::of_subquery(frame, inner, s))
            }
            NodeKind::Paren(inner) | NodeKind::StepInvariant(inner) => self.range_vector(*inner, steps),
            _ => Err(QueryError::Execution("a range vector was expected".to_owned())),
        }
    }

    /// The arguments of a range function: the range vector first, then the scalars.
    pub(super) fn range_call(
        &self,
        call: &Call,
        steps: &Steps,
    ) -> Result<(RangeVector, RangeCall), QueryError> {
        let args: Vec<NodeId> = call.args.iter().map(|arg| self.unparen(*arg)).collect();
        let is_range = |id: &NodeId| matches!(self.kind(*id), NodeKind::Matrix(_) | NodeKind::Subquery(_));
        let at = args.iter().position(is_range).unwrap_or(0);
        let range = self.range_vector(args[at], steps)?;
        let mut scalars = Vec::new();
        for (i, id) in args.iter().enumerate() {
            if i != at {
                scalars.push(self.scalar(*id, steps)?);
            }
        }
        // Upstream replaces a subquery by a selector that has no position.
        let is_subquery = matches!(self.kind(args[0]), NodeKind::Subquery(_));
        let pos = if is_subquery { PosRange::default() } else { self.pos(args[0]) };
        let call = RangeCall::new(&self.ctx, call.func, &range.windows, scalars, pos)?;
        Ok((range, call))
    }

    /// Whether a call applies a range function to the series of a selector: then its rows can be produced one by one.
    pub(super) fn is_over_selector(&self, call: &Call) -> bool {
        let is_matrix = |arg: &NodeId| matches!(self.kind(self.unparen(*arg)), NodeKind::Matrix(_));
        call.func != Func::AbsentOverTime && call.args.iter().any(is_matrix)
    }
}
