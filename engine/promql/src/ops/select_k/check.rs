//! The check of the parameter of `topk`, `bottomk`, `limitk` and `limit_ratio`.

use crate::ast::{AggregateOp, PosRange};
use crate::context::Context;
use crate::error::QueryError;
use crate::format::{general, sample_value};
use crate::ops::parameter::Parameter;

/// Checks the parameter, which stands at `param_pos`. Returns `false` when the result is empty at all steps.
///
/// Errors: [`QueryError::Execution`].
pub(super) fn check(
    ctx: &Context<'_>,
    op: AggregateOp,
    param: &Parameter,
    param_pos: PosRange,
) -> Result<bool, QueryError> {
    let fail = |text: String| Err(QueryError::Execution(text));
    if op == AggregateOp::LimitRatio {
        if param.max == 0.0 && param.min == 0.0 {
            return Ok(false);
        }
        if param.has_nan {
            return fail("Ratio value is NaN".to_owned());
        }
        for (value, cap) in [(param.max, 1.0), (param.min, -1.0)] {
            if value.abs() > 1.0 && (value > 0.0) == (cap > 0.0) {
                let (value, cap) = (general(value), general(cap));
                ctx.notes().warn(
                    format!("ratio value should be between -1 and 1, got {value}, capping to {cap}"),
                    param_pos,
                );
            }
        }
        return Ok(true);
    }
    if param.max < 1.0 {
        return Ok(false);
    }
    if param.has_nan {
        return fail("Parameter value is NaN".to_owned());
    }
    if param.min <= -9_223_372_036_854_775_808.0 {
        return fail(format!("Scalar value {} underflows int64", plain(param.min)));
    }
    if param.max >= 9_223_372_036_854_774_784.0 {
        return fail(format!("Scalar value {} overflows int64", plain(param.max)));
    }
    Ok(true)
}

/// Go's `%v` of a large number.
fn plain(v: f64) -> String {
    if v.abs() < 1e21 { general(v) } else { sample_value(v) }
}
