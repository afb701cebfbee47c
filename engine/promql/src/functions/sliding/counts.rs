//! `changes` and `resets` over sliding windows: differences of running counts.

use super::slide::Sliding;
use crate::frame::Column;

/// How many pairs of neighbours inside each window are `related`.
#[inline(always)]
pub(super) fn pairs(sliding: &mut Sliding<'_>, related: impl Fn(f64, f64) -> bool) -> Column {
    let values = sliding.values;
    // At `i`: the number of related pairs among the values up to and including `i`.
    let mut counts: Vec<u32> = Vec::with_capacity(values.len());
    let mut n = 0;
    for i in 0..values.len() {
        n += u32::from(i > 0 && related(values[i - 1], values[i]));
        counts.push(n);
    }
    sliding.fill(|slide, _, _| Some(f64::from(counts[slide.to - 1] - counts[slide.from])))
}
