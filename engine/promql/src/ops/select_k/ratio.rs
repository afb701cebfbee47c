//! `limit_ratio`: elements chosen by the hash of their labels.

use super::check::check;
use super::heap::in_heap_order;
use super::kept::Kept;
use crate::ast::{Aggregate, PosRange};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Frame, Row, Steps};
use crate::ops::grouping::Grouper;
use crate::ops::parameter::Parameter;

/// Chooses elements of a vector. `topk`, `bottomk` and `limitk` come here too when their parameter selects nothing or is
/// not a number, for their errors and empty results.
pub(crate) fn choose(
    ctx: &Context<'_>,
    a: &Aggregate,
    param: &Parameter,
    param_pos: PosRange,
    mut frame: Frame,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    if !check(ctx, a.op, param, param_pos)? {
        return Ok(Frame::default());
    }
    let mut grouper = Grouper::new(&a.grouping, a.without);
    let group_of: Vec<usize> = frame.rows.iter().map(|row| grouper.index(&row.labels)).collect();
    let mut kept = Kept::new(ctx, frame.rows.len(), steps)?;
    let mut order: Vec<usize> = (0..frame.rows.len()).collect();
    order.sort_by_key(|i| group_of[*i]);
    let offsets: Vec<f64> = frame.rows.iter().map(offset).collect();
    for step in 0..steps.len {
        ctx.check_cancelled()?;
        let ratio = param.values[step];
        if ratio == 0.0 {
            continue;
        }
        for i in &order {
            let Some(cell) = frame.rows[*i].column.get(step) else { continue };
            if is_sampled(ratio.clamp(-1.0, 1.0), offsets[*i]) {
                kept.keep(*i, step, cell)?;
            }
        }
    }
    let frame =
        kept.into_frame(|i| Some((std::mem::take(&mut frame.rows[i].labels), frame.rows[i].drop_name)));
    Ok(in_heap_order(frame, &mut grouper, steps))
}

/// Where a series lies in [0, 1] by the hash of its labels.
fn offset(row: &Row) -> f64 {
    row.labels.hash64() as f64 / u64::MAX as f64
}

fn is_sampled(ratio: f64, offset: f64) -> bool {
    (ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
}
