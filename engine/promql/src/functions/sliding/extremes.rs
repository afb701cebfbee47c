//! `min_over_time` and `max_over_time` over sliding windows: a queue of those values that can still become the extreme.

use super::slide::Sliding;
use crate::frame::Column;

/// The extreme of each window: the first of equal values; the last NaN if there are only NaN.
///
/// `better(a, b)` says whether `b` replaces `a`.
#[inline(always)]
pub(super) fn extreme(sliding: &mut Sliding<'_>, better: impl Fn(f64, f64) -> bool) -> Column {
    // Indexes and values, each value at least as good as the next; those before `head` have left the window.
    let mut queue: Vec<(usize, f64)> = Vec::new();
    let (mut head, mut seen) = (0, 0);
    sliding.fill(|slide, _, values| {
        if seen < slide.from {
            (seen, head) = (slide.from, 0);
            queue.clear();
        }
        for (i, v) in values.iter().enumerate().take(slide.to).skip(seen) {
            if v.is_nan() {
                continue;
            }
            while queue.len() > head && better(queue[queue.len() - 1].1, *v) {
                queue.pop();
            }
            queue.push((i, *v));
        }
        seen = slide.to;
        while queue.get(head).is_some_and(|(i, _)| *i < slide.from) {
            head += 1;
        }
        if head > 1024 && head * 2 > queue.len() {
            queue.drain(..head);
            head = 0;
        }
        Some(queue.get(head).map_or(values[slide.to - 1], |(_, v)| *v))
    })
}
