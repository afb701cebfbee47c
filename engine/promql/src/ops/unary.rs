//! Signs before an expression. Upstream: the `UnaryExpr` case of `eval` in `promql/engine.go`.

use std::sync::Arc;

use super::merge;
use crate::ast::NodeId;
use crate::error::QueryError;
use crate::eval::{Evaluator, Output};
use crate::frame::{Column, Row, Steps, without_metadata};

/// Evaluates `-expr` or `+expr`.
pub(crate) fn eval(
    ev: &Evaluator<'_>,
    negate: bool,
    expr: NodeId,
    steps: &Steps,
) -> Result<Output, QueryError> {
    let output = ev.eval(expr, steps)?;
    if !negate {
        return Ok(output);
    }
    Ok(match output {
        Output::Scalar(values) => Output::Scalar(values.into_iter().map(|v| -v).collect()),
        Output::Text(text) => Output::Text(text),
        Output::Frame(mut frame) => {
            for row in &mut frame.rows {
                ev.check_cancelled()?;
                negate_row(row);
                row.drop_name = true;
                if !ev.options().delayed_name_removal {
                    row.labels = without_metadata(&row.labels);
                }
            }
            Output::Frame(merge::equal_labels(frame)?)
        }
    })
}

fn negate_row(row: &mut Row) {
    let mut column = Column::new(row.column.len());
    for (step, v) in row.column.floats() {
        column.set_float(step, -v);
    }
    for (step, h) in row.column.histograms() {
        let mut negated = h.as_ref().clone();
        negated.mul(-1.0);
        column.set_histogram(*step as usize, Arc::new(negated));
    }
    row.column = column;
}
