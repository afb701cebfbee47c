//! Selectors share a selection if the matchers of one are a subset of the other's: `a{x="1"} / a` selects `a` once.
//!
//! Series cannot be filtered by a label that the source has removed, so selectors whose matchers on such a label differ do
//! not share.

use std::collections::HashMap;

use tithon_chunks::TimeRange;
use tithon_index::{MatchOp, Matcher};

use super::{Prepared, SelectHints, SelectSpec};

/// The most selections of one metric, time and purpose that others are compared with. If there are more, the ones with the
/// most matchers are not shared, except by equal ones.
const WIDER_MAX: usize = 16;

/// Removes selections whose series are a subset of another's; their selectors filter the series of the other.
pub(super) fn selects(prepared: &mut Prepared) {
    let sets = Sets::new(&prepared.selects, &prepared.options.dropped_labels);
    let wider = sets.wider(&prepared.selects);
    let mut place = vec![0; wider.len()];
    for (kept, i) in (0..wider.len()).filter(|i| wider[*i] == *i).enumerate() {
        place[i] = kept;
    }
    for reading in prepared.reads.values_mut() {
        let (own, shared) = (reading.select, wider[reading.select]);
        reading.filter = sets.missing(own, shared).map(|m| sets.matchers[m as usize].clone()).collect();
        reading.select = place[shared];
    }
    let selects = std::mem::take(&mut prepared.selects);
    let kept = selects.into_iter().enumerate().filter(|(i, _)| wider[*i] == *i);
    prepared.selects = kept.map(|(_, spec)| spec).collect();
}

/// The matchers of each selection as ascending lists of numbers; equal matchers have the same number.
struct Sets {
    matchers: Vec<Matcher>,
    /// Whether the source removes the label of each matcher.
    is_dropped: Vec<bool>,
    /// Whether each matcher names a metric. Only selections of one metric are shared.
    is_name: Vec<bool>,
    of: Vec<Vec<u32>>,
}

impl Sets {
    fn new(selects: &[SelectSpec], dropped_labels: &[Box<[u8]>]) -> Sets {
        let mut numbers: HashMap<(MatchOp, &[u8], &[u8]), u32> = HashMap::new();
        let mut sets =
            Sets { matchers: Vec::new(), is_dropped: Vec::new(), is_name: Vec::new(), of: Vec::new() };
        for spec in selects {
            let mut own: Vec<u32> = Vec::with_capacity(spec.matchers.len());
            for m in &spec.matchers {
                let next = sets.matchers.len() as u32;
                let number = *numbers.entry((m.op(), m.name(), m.value())).or_insert(next);
                if number == next {
                    sets.matchers.push(m.clone());
                    sets.is_dropped.push(dropped_labels.iter().any(|label| **label == *m.name()));
                    sets.is_name.push(m.op() == MatchOp::Equal && m.name() == b"__name__");
                }
                own.push(number);
            }
            own.sort_unstable();
            own.dedup();
            sets.of.push(own);
        }
        sets
    }

    /// For each selection, the selection with the fewest matchers that has all its series, perhaps the selection
    /// itself.
    fn wider(&self, selects: &[SelectSpec]) -> Vec<usize> {
        let mut wider: Vec<usize> = (0..selects.len()).collect();
        let mut alike: HashMap<(TimeRange, &SelectHints, u32), Vec<usize>> = HashMap::new();
        for (i, spec) in selects.iter().enumerate() {
            if let Some(name) = self.of[i].iter().find(|m| self.is_name[**m as usize]) {
                alike.entry((spec.range, &spec.hints, *name)).or_default().push(i);
            }
        }
        for mut group in alike.into_values().filter(|group| group.len() > 1) {
            group.sort_by_key(|i| (self.of[*i].len(), *i));
            let mut equal: HashMap<&[u32], usize> = HashMap::new();
            let mut bases: Vec<usize> = Vec::new();
            for i in group {
                let first = *equal.entry(&self.of[i]).or_insert(i);
                if first != i {
                    wider[i] = wider[first];
                } else if let Some(base) = bases.iter().find(|base| self.has_all_of(**base, i)) {
                    wider[i] = *base;
                } else if bases.len() < WIDER_MAX {
                    bases.push(i);
                }
            }
        }
        wider
    }

    /// Whether selection `base` has all series of selection `i`, and these can be filtered from its series.
    fn has_all_of(&self, base: usize, i: usize) -> bool {
        let mut own = self.of[i].iter();
        self.of[base].iter().all(|m| own.any(|o| o == m))
            && self.missing(i, base).all(|m| !self.is_dropped[m as usize])
    }

    /// The matchers of selection `i` that `base` does not have.
    fn missing(&self, i: usize, base: usize) -> impl Iterator<Item = u32> {
        let base = &self.of[base];
        self.of[i].iter().copied().filter(|m| base.binary_search(m).is_err())
    }
}
