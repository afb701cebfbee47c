//! Binary heaps of elements whose root is the worst element. Which of equal elements is kept depends on the order of
//! operations, so it is upstream's.

use std::collections::BTreeMap;

use crate::frame::{Cell, Column, Frame, Row, Steps};
use crate::kernel;
use crate::ops::grouping::Grouper;

/// The best elements of a group at each step.
pub(super) struct Heaps {
    topk: bool,
    pub(super) heaps: Vec<Vec<(usize, f64)>>,
    /// The steps whose heaps are full, as a bitmap.
    full: Vec<u64>,
    /// By step: the worst value of a full heap, which an element must beat to be taken.
    worst: Vec<f64>,
}

impl Heaps {
    /// Empty heaps for `k_of` elements at each step. Heaps for 0 elements count as full.
    pub(super) fn new(k_of: &[usize], topk: bool) -> Heaps {
        let best = if topk { f64::INFINITY } else { f64::NEG_INFINITY };
        let is_full =
            |k: &[usize]| k.iter().enumerate().fold(0, |word, (i, k)| word | u64::from(*k == 0) << i);
        Heaps {
            topk,
            heaps: vec![Vec::new(); k_of.len()],
            full: k_of.chunks(64).map(is_full).collect(),
            worst: vec![best; k_of.len()],
        }
    }

    /// Offers the floats of row `i`. Returns whether any was taken, and by how many elements the heaps grew.
    pub(super) fn offer(&mut self, i: usize, column: &Column, k_of: &[usize]) -> (bool, usize) {
        let (mut is_taken, mut grown) = (false, 0);
        for (start, word, floats) in column.float_words() {
            let worst = &self.worst[start..start + floats.len()];
            if word & !self.full[start / 64] == 0 && !kernel::any_better(worst, floats, self.topk) {
                continue;
            }
            let mut rest = word;
            while rest != 0 {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                let (step, k) = (start + bit, k_of[start + bit]);
                let heap = &mut self.heaps[step];
                let before = heap.len();
                if k == 0 || !offer(heap, (i, floats[bit]), k, self.topk) {
                    continue;
                }
                is_taken = true;
                grown += heap.len() - before;
                if heap.len() == k {
                    self.full[start / 64] |= 1 << bit;
                    self.worst[step] = heap[0].1;
                }
            }
        }
        (is_taken, grown)
    }
}

/// Brings the rows of each group into the order of a heap if there is only one step: upstream keeps the elements that
/// `limitk` and `limit_ratio` choose in heaps too, and returns them in that order.
pub(super) fn in_heap_order(frame: Frame, grouper: &mut Grouper, steps: &Steps) -> Frame {
    if steps.len != 1 {
        return frame;
    }
    let mut heaps: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
    for (i, row) in frame.rows.iter().enumerate() {
        let value = match row.column.get(0) {
            Some(Cell::Float(value)) => value,
            _ => 0.0,
        };
        let heap = heaps.entry(grouper.index(&row.labels)).or_default();
        heap.push((i, value));
        sift_up(heap, true);
    }
    let mut rows: Vec<Option<Row>> = frame.rows.into_iter().map(Some).collect();
    Frame { rows: heaps.into_values().flatten().filter_map(|(i, _)| rows[i].take()).collect() }
}

/// Whether `a` is worse than `b`, and so replaced before it. NaN is the worst.
pub(super) fn less(a: f64, b: f64, topk: bool) -> bool {
    a.is_nan() || if topk { a < b } else { a > b }
}

/// Adds an element to a heap of at most `k` elements, or replaces the worst element by it if it is better. Returns whether
/// it was taken.
fn offer(heap: &mut Vec<(usize, f64)>, element: (usize, f64), k: usize, topk: bool) -> bool {
    if heap.len() < k {
        heap.push(element);
        sift_up(heap, topk);
        return true;
    }
    let (worst, v) = (heap[0].1, element.1);
    let better = if topk { worst < v } else { worst > v };
    let is_put = better || (worst.is_nan() && !v.is_nan());
    if is_put {
        heap[0] = element;
        sift_down(heap, topk);
    }
    is_put
}

fn sift_up(heap: &mut [(usize, f64)], topk: bool) {
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !less(heap[at].1, heap[parent].1, topk) {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

fn sift_down(heap: &mut [(usize, f64)], topk: bool) {
    let mut at = 0;
    loop {
        let left = 2 * at + 1;
        if left >= heap.len() {
            break;
        }
        let right = left + 1;
        let child = if right < heap.len() && less(heap[right].1, heap[left].1, topk) { right } else { left };
        if !less(heap[child].1, heap[at].1, topk) {
            break;
        }
        heap.swap(at, child);
        at = child;
    }
}
