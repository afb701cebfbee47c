//! `topk`, `bottomk`, `limitk` and `limit_ratio`: some elements of each group, unchanged.
//!
//! Upstream: `aggregationK` in `promql/engine.go`. The best k are kept in a binary heap whose root is the worst: which
//! of equal elements stay follows from the order of its operations.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tithon_index::Labels;

use crate::annotations::Notes;
use crate::ast::{Aggregate, AggregateOp, NodeId};
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::format::{general, sample_value};
use crate::frame::{Cell, Column, Frame, Row, Steps, label_bytes};
use crate::{go_sort, kernel};

use super::aggregate::{Grouper, Param};

/// Evaluates the aggregation.
pub(crate) fn eval(
    ev: &Evaluator<'_>,
    id: NodeId,
    a: &Aggregate,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let param = Param::new(ev, a.param, steps)?;
    let is_empty = || param.max < 1.0 || param.has_nan;
    match a.op {
        AggregateOp::Topk | AggregateOp::Bottomk if !is_empty() => best(ev, id, a, &param, steps),
        AggregateOp::Limitk if !is_empty() => first(ev, a, &param, steps),
        _ => chosen(ev, a, &param, steps),
    }
}

/// `topk` and `bottomk`: one row at a time, so that only the elements kept are held.
fn best(
    ev: &Evaluator<'_>,
    id: NodeId,
    a: &Aggregate,
    param: &Param,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let topk = a.op == AggregateOp::Topk;
    let k_of: Vec<usize> = param.values.iter().map(|k| usize::try_from(whole(*k)).unwrap_or(0)).collect();
    let mut grouper = Grouper::new(&a.grouping, a.without);
    let mut notes = Notes::default();
    let mut groups: Vec<Heaps> = Vec::new();
    let mut rows: Vec<Option<(Labels, bool)>> = Vec::new();
    let mut held = Ok(());
    ev.for_each_row(a.expr, steps, |row| {
        let group = grouper.index(&row.labels);
        let mut bytes = 0;
        if groups.len() == group {
            groups.push(Heaps::new(&k_of, topk));
            bytes += (steps.len * (size_of::<Vec<(usize, f64)>>() + size_of::<f64>())) as u64;
            bytes += grouper.bytes_of_last();
        }
        let (is_kept, grown) = groups[group].offer(rows.len(), &row.column, &k_of);
        bytes += (grown * size_of::<(usize, f64)>() + size_of::<Option<(Labels, bool)>>()) as u64;
        bytes += if is_kept { label_bytes(&row.labels) } else { 0 };
        held = ev.budget.add(0, bytes);
        if held.is_err() {
            return ControlFlow::Break(());
        }
        if row.column.histograms().iter().any(|(step, _)| k_of[*step as usize] > 0) {
            notes.ignored_in_aggregation(a.op.as_str(), ev.pos(id));
        }
        rows.push(is_kept.then_some((row.labels, row.drop_name)));
        ControlFlow::Continue(())
    })?;
    held?;
    check(ev, a, param)?;
    let mut kept = Kept::new(ev, rows.len(), steps)?;
    for step in 0..steps.len {
        for group in &mut groups {
            ev.check_cancelled()?;
            let heap = &mut group.heaps[step];
            go_sort::sort(heap, |x, y| less(y.1, x.1, topk));
            for (i, v) in heap {
                kept.keep(*i, step, Cell::Float(*v))?;
            }
        }
    }
    ev.notes().merge(notes);
    Ok(kept.into_frame(|i| rows[i].take()))
}

/// The best elements of a group at each step.
struct Heaps {
    topk: bool,
    heaps: Vec<Vec<(usize, f64)>>,
    /// Steps whose heaps are full, as a bitmap.
    full: Vec<u64>,
    /// What an element must be better than where the heap is full.
    worst: Vec<f64>,
}

impl Heaps {
    /// Empty heaps for so many elements at each step; those for none are full.
    fn new(k_of: &[usize], topk: bool) -> Heaps {
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

    /// Offers the floats of row `i`; whether any was taken, and by how many elements the heaps grew.
    fn offer(&mut self, i: usize, column: &Column, k_of: &[usize]) -> (bool, usize) {
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

/// `limitk`: one row at a time, no further than needed.
fn first(ev: &Evaluator<'_>, a: &Aggregate, param: &Param, steps: &Steps) -> Result<Frame, QueryError> {
    if let Err(error) = check(ev, a, param) {
        ev.frame(a.expr, steps)?;
        return Err(error);
    }
    let k_of: Vec<i64> = param.values.iter().map(|k| whole(*k)).collect();
    let stops = a.grouping.is_empty() && !a.without && ev.may_stop_early(a.expr);
    let mut grouper = Grouper::new(&a.grouping, a.without);
    // By group and step: how many more are wanted.
    let mut wanted: Vec<i64> = Vec::new();
    let mut kept: Vec<Row> = Vec::new();
    let mut held = Ok(());
    ev.for_each_row(a.expr, steps, |mut row| {
        let group = grouper.index(&row.labels);
        if wanted.len() == group * steps.len {
            wanted.extend_from_slice(&k_of);
            held = ev.budget.add(0, steps.len as u64 * 8 + grouper.bytes_of_last());
        }
        let wanted = &mut wanted[group * steps.len..][..steps.len];
        let mut bits = row.column.presence();
        for (step, wanted) in wanted.iter_mut().enumerate() {
            let bit = 1 << (step % 64);
            if bits[step / 64] & bit != 0 {
                if *wanted < 1 {
                    bits[step / 64] &= !bit;
                }
                *wanted -= 1;
            }
        }
        row.column.mask(&bits, true);
        if !row.column.is_empty() {
            let (samples, bytes) = row.held();
            held = std::mem::replace(&mut held, Ok(())).and_then(|()| ev.budget.add(samples, bytes));
            kept.push(row);
        }
        let is_settled = stops && wanted.iter().all(|wanted| *wanted < 1);
        if is_settled || held.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    held?;
    // Upstream's order: step by step, each row where it is first kept.
    let first_step = |row: &Row| {
        row.column
            .presence()
            .iter()
            .position(|word| *word != 0)
            .map(|w| (w, row.column.presence()[w].trailing_zeros()))
    };
    let mut keyed: Vec<_> =
        kept.into_iter().map(|row| (first_step(&row), grouper.index(&row.labels), row)).collect();
    keyed.sort_by_key(|(step, group, _)| (*step, *group));
    let frame = Frame { rows: keyed.into_iter().map(|(_, _, row)| row).collect() };
    Ok(in_heap_order(frame, &mut grouper, steps))
}

/// `limit_ratio`, and the errors and empty results of the others.
fn chosen(ev: &Evaluator<'_>, a: &Aggregate, param: &Param, steps: &Steps) -> Result<Frame, QueryError> {
    let mut frame = ev.frame(a.expr, steps)?;
    if !check(ev, a, param)? {
        return Ok(Frame::default());
    }
    let mut grouper = Grouper::new(&a.grouping, a.without);
    let group_of: Vec<usize> = frame.rows.iter().map(|row| grouper.index(&row.labels)).collect();
    let mut kept = Kept::new(ev, frame.rows.len(), steps)?;
    let mut order: Vec<usize> = (0..frame.rows.len()).collect();
    order.sort_by_key(|i| group_of[*i]);
    let offsets: Vec<f64> = frame.rows.iter().map(offset).collect();
    for step in 0..steps.len {
        ev.check_cancelled()?;
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

/// Upstream keeps what `limitk` and `limit_ratio` choose of a group in a heap too; its order shows where there is only
/// one step.
fn in_heap_order(frame: Frame, grouper: &mut Grouper, steps: &Steps) -> Frame {
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

/// Checks the parameter; `false` when the result is empty at all steps.
fn check(ev: &Evaluator<'_>, a: &Aggregate, param: &Param) -> Result<bool, QueryError> {
    let fail = |text: String| Err(QueryError::Execution(text));
    if a.op == AggregateOp::LimitRatio {
        if param.max == 0.0 && param.min == 0.0 {
            return Ok(false);
        }
        if param.has_nan {
            return fail("Ratio value is NaN".to_owned());
        }
        let pos = a.param.map(|id| ev.pos(ev.unparen(id))).unwrap_or_default();
        for (value, cap) in [(param.max, 1.0), (param.min, -1.0)] {
            if value.abs() > 1.0 && (value > 0.0) == (cap > 0.0) {
                let (value, cap) = (general(value), general(cap));
                ev.notes().warn(
                    format!("ratio value should be between -1 and 1, got {value}, capping to {cap}"),
                    pos,
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

fn whole(k: f64) -> i64 {
    k as i64
}

/// Whether `a` is worse than `b`: it leaves the heap first. NaN is the worst.
fn less(a: f64, b: f64, topk: bool) -> bool {
    a.is_nan() || if topk { a < b } else { a > b }
}

/// Puts an element on a heap of at most `k`, or in the place of the worst if it is better; whether it did.
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

/// Where a series lies in [0, 1] by the hash of its labels.
fn offset(row: &Row) -> f64 {
    row.labels.hash64() as f64 / u64::MAX as f64
}

fn is_sampled(ratio: f64, offset: f64) -> bool {
    (ratio >= 0.0 && offset < ratio) || (ratio < 0.0 && offset >= 1.0 + ratio)
}

/// The elements kept, as columns of the input rows in order of first keeping.
struct Kept<'a> {
    ev: &'a Evaluator<'a>,
    /// By input row: the place of its column, or [`NOT_KEPT`].
    place: Vec<u32>,
    /// The rows kept, and their columns.
    order: Vec<usize>,
    columns: Vec<Column>,
    len: usize,
}

const NOT_KEPT: u32 = u32::MAX;

impl<'a> Kept<'a> {
    fn new(ev: &'a Evaluator<'a>, n_rows: usize, steps: &Steps) -> Result<Kept<'a>, QueryError> {
        ev.budget.add(0, (n_rows * size_of::<u32>()) as u64)?;
        let place = vec![NOT_KEPT; n_rows];
        Ok(Kept { ev, place, order: Vec::new(), columns: Vec::new(), len: steps.len })
    }

    fn keep(&mut self, i: usize, step: usize, cell: Cell<'_>) -> Result<(), QueryError> {
        if self.place[i] == NOT_KEPT {
            self.ev.budget.add(0, Column::bytes_of(self.len) + size_of::<Column>() as u64)?;
            self.place[i] = self.columns.len() as u32;
            self.order.push(i);
            self.columns.push(Column::new(self.len));
        }
        self.columns[self.place[i] as usize].copy(step, cell);
        Ok(())
    }

    /// The rows kept; `describe` gives labels and whether the name is to be dropped.
    fn into_frame(self, mut describe: impl FnMut(usize) -> Option<(Labels, bool)>) -> Frame {
        let row = |(i, column): (usize, Column)| {
            let (labels, drop_name) = describe(i)?;
            Some(Row { labels, drop_name, column })
        };
        Frame { rows: self.order.into_iter().zip(self.columns).filter_map(row).collect() }
    }
}
