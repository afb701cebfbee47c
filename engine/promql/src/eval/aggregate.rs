//! Aggregations: which operators take the rows of their operand one by one, and which need all of them.

use super::Evaluator;
use crate::ast::{Aggregate, AggregateOp, NodeId};
use crate::error::QueryError;
use crate::frame::{Frame, Steps};
use crate::ops::{Aggregation, Best, First, Parameter, choose, count_values};

impl Evaluator<'_> {
    /// Evaluates the aggregation `id`: the parameter first, then the operand.
    pub(super) fn eval_aggregate(
        &self,
        id: NodeId,
        a: &Aggregate,
        steps: &Steps,
    ) -> Result<Frame, QueryError> {
        let ctx = &self.ctx;
        if a.op == AggregateOp::CountValues {
            let label = a.param.map(|param| self.text(param)).unwrap_or_default();
            let label = count_values::checked_label(label)?;
            return count_values::eval(ctx, a, label, &self.frame(a.expr, steps)?, steps);
        }
        let param = match a.param {
            Some(param) => Parameter::new(self.scalar(param, steps)?),
            None => Parameter::none(steps.len),
        };
        let param_pos = a.param.map(|param| self.inner_pos(param)).unwrap_or_default();
        let may_stop_early = self.may_stop_early(a.expr);
        match a.op {
            AggregateOp::Topk | AggregateOp::Bottomk if !param.selects_nothing() => {
                let mut best = Best::new(ctx, a, param, (self.pos(id), param_pos), steps);
                self.for_each_row(a.expr, steps, |row| best.add(row))?;
                best.finish()
            }
            AggregateOp::Limitk if !param.selects_nothing() => {
                match First::new(ctx, a, &param, param_pos, steps, may_stop_early) {
                    Ok(mut first) => {
                        self.for_each_row(a.expr, steps, |row| first.add(row))?;
                        first.finish()
                    }
                    // An error of the operand comes before that of the parameter.
                    Err(error) => self.frame(a.expr, steps).and(Err(error)),
                }
            }
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                choose(ctx, a, &param, param_pos, self.frame(a.expr, steps)?, steps)
            }
            AggregateOp::Sum
            | AggregateOp::Avg
            | AggregateOp::Count
            | AggregateOp::Min
            | AggregateOp::Max
            | AggregateOp::Group
            | AggregateOp::Stddev
            | AggregateOp::Stdvar
            | AggregateOp::Quantile
            | AggregateOp::CountValues => {
                let places = (self.inner_pos(a.expr), param_pos);
                let mut groups = Aggregation::new(ctx, a, param, places, steps, may_stop_early);
                self.for_each_row(a.expr, steps, |row| groups.add(&row))?;
                groups.finish()
            }
        }
    }
}
