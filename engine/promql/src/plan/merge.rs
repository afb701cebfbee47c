//! Selectors share a selection where one's conditions are a part of the other's: `a{x="1"} / a` selects `a` once.

use tithon_index::{MatchOp, Matcher};

use super::{Prepared, SelectSpec};

/// Leaves out selections whose series are among those of another; their selectors filter the other's.
pub(super) fn selects(prepared: &mut Prepared) {
    let wider: Vec<usize> = (0..prepared.selects.len()).map(|i| widest(&prepared.selects, i)).collect();
    let kept: Vec<usize> = (0..wider.len()).filter(|i| wider[*i] == *i).collect();
    let place = |i: usize| kept.iter().position(|k| *k == i).expect("the widest selection is kept");
    for reading in prepared.reads.values_mut() {
        let (own, shared) = (reading.select, wider[reading.select]);
        let given = &prepared.selects[shared].matchers;
        let missing = prepared.selects[own].matchers.iter().filter(|m| !given.contains(m));
        reading.filter = missing.cloned().collect();
        reading.select = place(shared);
    }
    let selects = std::mem::take(&mut prepared.selects);
    let kept = selects.into_iter().enumerate().filter(|(i, _)| wider[*i] == *i);
    prepared.selects = kept.map(|(_, spec)| spec).collect();
}

/// The selection with the fewest conditions that has all series of selection `i`.
fn widest(selects: &[SelectSpec], i: usize) -> usize {
    let own = &selects[i];
    let is_wider = |j: &usize| {
        let other = &selects[*j];
        other.range == own.range
            && other.hints == own.hints
            && other.matchers.iter().all(|m| own.matchers.contains(m))
            && other.matchers.iter().any(names_metric)
    };
    (0..selects.len()).filter(is_wider).min_by_key(|j| (selects[*j].matchers.len(), *j)).unwrap_or(i)
}

/// Sharing pays for the series of one metric only.
fn names_metric(m: &Matcher) -> bool {
    m.op() == MatchOp::Equal && m.name() == b"__name__"
}
