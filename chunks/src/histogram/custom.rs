//! Custom bucket bounds that differ between two histograms: only the common ones survive.

use super::Span;
use super::kahan::Compensated;
use crate::histogram_chunk::spans_of;

/// Whether two lists of bounds are equal, number by number.
pub(crate) fn bounds_match(a: &[f64], b: &[f64]) -> bool {
    a == b
}

/// The bounds in both lists, which ascend.
pub(crate) fn intersect_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            out.push(*x);
            i += 1;
            j += 1;
        } else if x < y {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

/// Sorts the buckets of two histograms into `bounds`: each goes to the first bound that is not below its own upper
/// bound, or to the last bucket, which is open. Empty buckets are left out.
pub(crate) fn merge_into_bounds(
    bounds: &[f64],
    a: impl Iterator<Item = (i64, [f64; 2])>,
    a_bounds: &[f64],
    b: impl Iterator<Item = (i64, f64)>,
    b_bounds: &[f64],
) -> (Vec<Span>, Vec<Compensated>) {
    let mut target = vec![Compensated::default(); bounds.len() + 1];
    let mut first = 0;
    for (index, [sum, lost]) in a {
        let into = &mut target[place(index, a_bounds, bounds, &mut first)];
        into.add(sum);
        into.add(lost);
    }
    first = 0;
    for (index, count) in b {
        target[place(index, b_bounds, bounds, &mut first)].add(count);
    }
    let used = |pair: &&(i64, Compensated)| pair.1.sum != 0.0 || pair.1.lost != 0.0;
    let numbered: Vec<_> = (0i64..).zip(target).collect();
    let (indexes, kept): (Vec<i64>, Vec<Compensated>) = numbered.iter().filter(used).copied().unzip();
    (spans_of(&indexes), kept)
}

/// Position in `bounds` (its length for the open bucket) of a bucket of another histogram; `first` only moves on.
fn place(index: i64, from: &[f64], bounds: &[f64], first: &mut usize) -> usize {
    let Some(upper) = usize::try_from(index).ok().and_then(|index| from.get(index)) else {
        return bounds.len();
    };
    while let Some(bound) = bounds.get(*first) {
        if bound >= upper {
            return *first;
        }
        *first += 1;
    }
    bounds.len()
}
