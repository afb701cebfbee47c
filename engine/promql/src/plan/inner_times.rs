//! The times at which the inner expression of a subquery is evaluated.
//!
//! Upstream: `evalSubquery` in `promql/engine.go`.

use crate::ast::{AtModifier, Subquery};

/// The first step, a bound of the last one and their distance in milliseconds: all that the windows of the subquery may reach
/// when it is evaluated from `outer.0` to `outer.1`, or none if it is not evaluated at all.
///
/// They are multiples of the subquery's step by the absolute clock; the first lies strictly after the left end of the
/// first window, the last not after the last window.
pub(crate) fn inner_times(s: &Subquery, default_step_ms: i64, outer: Option<(i64, i64)>) -> (i64, i64, i64) {
    let interval = if s.step_ms == 0 { default_step_ms } else { s.step_ms }.max(1);
    let read_at = |t: i64| match s.at {
        AtModifier::At(fixed) => fixed.saturating_sub(s.offset_ms),
        AtModifier::None | AtModifier::Start | AtModifier::End => t.saturating_sub(s.offset_ms),
    };
    let (first, last) = outer.unwrap_or((0, i64::MIN));
    let left = read_at(first).saturating_sub(s.range_ms);
    let mut start = (left / interval).saturating_mul(interval);
    if start <= left {
        start = start.saturating_add(interval);
    }
    (start, if outer.is_some() { read_at(last) } else { i64::MIN }, interval)
}
