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

/// Chooses elements of a vector. Also serves `topk`, `bottomk` and `limitk` when their parameter selects nothing or is NaN:
/// then the result is empty, or an error.
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
    let hashes: Vec<f64> = frame.rows.iter().map(hash_share).collect();
    for step in 0..steps.len {
        ctx.check_cancelled()?;
        let ratio = param.values[step];
        if ratio == 0.0 {
            continue;
        }
        for i in &order {
            let Some(cell) = frame.rows[*i].column.get(step) else { continue };
            if is_sampled(ratio.clamp(-1.0, 1.0), hashes[*i]) {
                kept.keep(*i, step, cell)?;
            }
        }
    }
    let frame =
        kept.into_frame(|i| Some((std::mem::take(&mut frame.rows[i].labels), frame.rows[i].drop_name)));
    Ok(in_heap_order(frame, &mut grouper, steps))
}

/// The hash of a series' labels as a number in [0, 1].
fn hash_share(row: &Row) -> f64 {
    row.labels.hash64() as f64 / u64::MAX as f64
}

fn is_sampled(ratio: f64, hash: f64) -> bool {
    (ratio >= 0.0 && hash < ratio) || (ratio < 0.0 && hash >= 1.0 + ratio)
}
