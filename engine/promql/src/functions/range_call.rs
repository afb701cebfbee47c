//! A call of a range function, apart from its windows.

use std::sync::Arc;

use tithon_chunks::FloatHistogram;

use crate::ast::PosRange;
use crate::context::Context;
use crate::error::QueryError;
use crate::func::Func;
use crate::read::Windows;
use crate::result::Sample;

/// The result for one window, if there is one.
pub(super) type Outcome = Option<Sample>;

/// A histogram as a result.
pub(super) fn histogram(h: FloatHistogram) -> Outcome {
    Some(Sample::Histogram(Arc::new(h)))
}

/// A float as a result.
pub(super) fn float(v: f64) -> Outcome {
    Some(Sample::Float(v))
}

/// A call of a range function: the parts that are the same for all series and windows.
pub(crate) struct RangeCall {
    /// The function.
    pub(super) func: Func,
    /// The place of the first argument.
    pub(super) pos: PosRange,
    /// The range in seconds.
    pub(super) range_seconds: f64,
    /// Whether start timestamps count.
    pub(super) use_starts: bool,
    /// The modifier `anchored`.
    pub(super) anchored: bool,
    /// The modifier `smoothed`.
    pub(super) smoothed: bool,
    /// The scalar arguments in order, each with one value a step.
    pub(super) scalars: Vec<Vec<f64>>,
}

impl RangeCall {
    /// A call over these windows, whose first argument is at `pos`.
    ///
    /// Errors: those of [`check_modifiers`].
    pub(crate) fn new(
        ctx: &Context<'_>,
        func: Func,
        windows: &Windows,
        scalars: Vec<Vec<f64>>,
        pos: PosRange,
    ) -> Result<RangeCall, QueryError> {
        check_modifiers(func, windows)?;
        Ok(RangeCall {
            func,
            pos,
            range_seconds: windows.range_ms as f64 / 1000.0,
            use_starts: ctx.options.use_start_timestamps
                && matches!(func, Func::Rate | Func::Irate | Func::Increase | Func::Resets),
            anchored: windows.anchored,
            smoothed: windows.smoothed,
            scalars,
        })
    }

    /// Whether the function extrapolates a change of a counter: `rate` and `increase`.
    pub(super) fn is_counter_change(&self) -> bool {
        matches!(self.func, Func::Rate | Func::Increase)
    }
}

const ANCHORED: [Func; 5] = [Func::Changes, Func::Delta, Func::Increase, Func::Rate, Func::Resets];
const SMOOTHED: [Func; 3] = [Func::Delta, Func::Increase, Func::Rate];

/// Refuses `anchored` and `smoothed` below functions that do not know them.
///
/// Errors: [`QueryError::Execution`].
pub(super) fn check_modifiers(func: Func, windows: &Windows) -> Result<(), QueryError> {
    for (modifier, is_set, list) in
        [("anchored", windows.anchored, &ANCHORED[..]), ("smoothed", windows.smoothed, &SMOOTHED[..])]
    {
        if is_set && !list.contains(&func) {
            let list = list.iter().map(|func| func.name()).collect::<Vec<_>>().join(", ");
            return Err(QueryError::Execution(format!(
                "{modifier} modifier can only be used with: {list} - not with {func}"
            )));
        }
    }
    Ok(())
}
