//! `quantile_over_time` over sliding windows: the window's values are kept sorted.

use super::slide::Sliding;
use crate::annotations::Notes;
use crate::frame::Column;
use crate::functions::range_call::RangeCall;
use crate::stats;

/// The quantile of each window.
pub(super) fn quantile(sliding: &mut Sliding<'_>, call: &RangeCall, notes: &mut Notes) -> Column {
    let q = &call.scalars[0];
    let mut check = |q: f64| {
        if !(0.0..=1.0).contains(&q) {
            notes.invalid_quantile(q, call.pos);
        }
    };
    if !stats::has_plain_order(sliding.values) {
        let mut scratch = Vec::new();
        return sliding.fill(|slide, _, values| {
            check(q[slide.step]);
            scratch.clear();
            scratch.extend_from_slice(&values[slide.from..slide.to]);
            Some(stats::quantile(q[slide.step], &mut scratch))
        });
    }
    let mut sorted: Vec<f64> = Vec::new();
    let mut held = 0..0;
    sliding.fill(|slide, _, values| {
        check(q[slide.step]);
        let moved = (slide.from - held.start) + (slide.to - held.end);
        if slide.from >= held.end || moved * 8 > slide.to - slide.from + 64 {
            sorted.clear();
            sorted.extend_from_slice(&values[slide.from..slide.to]);
            sorted.sort_unstable_by(f64::total_cmp);
        } else {
            for v in &values[held.start..slide.from] {
                sorted.remove(sorted.partition_point(|s| s < v));
            }
            for v in &values[held.end..slide.to] {
                sorted.insert(sorted.partition_point(|s| s < v), *v);
            }
        }
        held = slide.from..slide.to;
        Some(stats::quantile_of_sorted(q[slide.step], &sorted))
    })
}
