//! Signs before an expression. Upstream: the `UnaryExpr` case of `eval` in `promql/engine.go`.

use std::sync::Arc;

use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Column, Output, Row, merge, without_metadata};

/// `-expr`
pub(crate) fn negate(ctx: &Context<'_>, operand: Output) -> Result<Output, QueryError> {
    Ok(match operand {
        Output::Scalar(values) => Output::Scalar(values.into_iter().map(|v| -v).collect()),
        Output::Text(text) => Output::Text(text),
        Output::Frame(mut frame) => {
            for row in &mut frame.rows {
                ctx.check_cancelled()?;
                negate_row(row);
                row.drop_name = true;
                if !ctx.options.delayed_name_removal {
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
