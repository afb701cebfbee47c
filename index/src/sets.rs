//! Operations on ascending refs, each by the way that fits: blocks where lists are alike in length, galloping where one
//! is much longer; for unions a bitmap where refs are dense, else a radix sort. Measured over many shapes, a heap of
//! lists takes 5 to 50 times as long as these, roaring bitmaps 2 to 30 times.

use crate::kernel::{self, Isa};

/// From this ratio of lengths on, galloping through the longer list beats comparing all of it.
const GALLOP_RATIO: usize = 48;

/// Appends the refs of a stored list.
pub fn expand(stored: &[u8], out: &mut Vec<u32>) {
    kernel::expand(Isa::best(), stored, out);
}

/// What is in both; both ascend strictly.
pub fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut out = Vec::new();
    if many.len() / GALLOP_RATIO >= few.len() {
        gallop::<true>(few, many, &mut out);
    } else {
        kernel::intersect(Isa::best(), few, many, &mut out);
    }
    out
}

/// What is in `a` and not in `b`; both ascend strictly.
pub fn difference(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = Vec::new();
    if b.len() / GALLOP_RATIO >= a.len() {
        gallop::<false>(a, b, &mut out);
    } else {
        kernel::difference(Isa::best(), a, b, &mut out);
    }
    out
}

/// Makes refs in any order strictly ascending.
pub fn normalize(mut refs: Vec<u32>) -> Vec<u32> {
    if refs.is_sorted_by(|a, b| a < b) {
        return refs;
    }
    let (min, max) = refs.iter().fold((u32::MAX, 0), |(min, max), r| (min.min(*r), max.max(*r)));
    let words = (max - min) as usize / 64 + 1;
    if words <= refs.len().saturating_mul(WORDS_PER_REF) {
        return by_bitmap(refs, min, words);
    }
    if refs.len() < RADIX_LEN {
        refs.sort_unstable();
    } else {
        refs = radix_sort(refs, max);
    }
    refs.dedup();
    refs
}

/// A bitmap wins over sorting up to this many words of it a ref.
const WORDS_PER_REF: usize = 2;
/// From so many refs on, a sort by digits wins over one by comparison.
const RADIX_LEN: usize = 1024;

/// Sorts by digits of 11 bits, the last one first; no ref is above `max`.
fn radix_sort(mut refs: Vec<u32>, max: u32) -> Vec<u32> {
    const DIGITS: usize = 1 << 11;
    let mut sorted = vec![0; refs.len()];
    for shift in (0..u32::BITS - max.leading_zeros()).step_by(11) {
        let digit = |r: u32| (r >> shift) as usize % DIGITS;
        let mut places = [0u32; DIGITS];
        refs.iter().for_each(|r| places[digit(*r)] += 1);
        let mut start = 0;
        for place in &mut places {
            (*place, start) = (start, start + *place);
        }
        for r in &refs {
            let place = &mut places[digit(*r)];
            sorted[*place as usize] = *r;
            *place += 1;
        }
        std::mem::swap(&mut refs, &mut sorted);
    }
    refs
}

fn by_bitmap(mut refs: Vec<u32>, min: u32, words: usize) -> Vec<u32> {
    let mut bitmap = vec![0u64; words];
    for r in &refs {
        let bit = (r - min) as usize;
        bitmap[bit / 64] |= 1 << (bit % 64);
    }
    refs.clear();
    for (i, word) in bitmap.into_iter().enumerate() {
        let (base, mut word) = (min + i as u32 * 64, word);
        while word != 0 {
            refs.push(base + word.trailing_zeros());
            word &= word - 1;
        }
    }
    refs
}

/// Appends those of `few` that are in `many` (`IN`), or those that are not.
fn gallop<const IN: bool>(few: &[u32], many: &[u32], out: &mut Vec<u32>) {
    let mut rest = many;
    for r in few {
        rest = &rest[seek(rest, |other| other < r)..];
        if (rest.first() == Some(r)) == IN {
            out.push(*r);
        }
    }
}

/// How many refs at the start are below something: doubling steps, then a binary search.
pub(crate) fn seek<T>(refs: &[T], is_below: impl Fn(&T) -> bool) -> usize {
    let mut step = 1;
    while step < refs.len() && is_below(&refs[step]) {
        step *= 2;
    }
    let (low, high) = (step / 2, refs.len().min(step + 1));
    low + refs[low..high].partition_point(is_below)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn refs(max: usize) -> impl Strategy<Value = BTreeSet<u32>> {
        prop_oneof![
            proptest::collection::btree_set(0u32..200, 0..max),
            proptest::collection::btree_set(0u32..5000, 0..max),
            proptest::collection::btree_set(any::<u32>(), 0..max)
        ]
    }

    proptest! {
        #[test]
        fn many_refs_are_sorted(refs in proptest::collection::vec(any::<u32>(), RADIX_LEN..3000), bits in 0u32..32) {
            let refs: Vec<u32> = refs.into_iter().map(|r| r >> bits).collect();
            let set: BTreeSet<u32> = refs.iter().copied().collect();
            prop_assert_eq!(normalize(refs), set.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn as_sets(a in refs(150), b in refs(150), few in refs(3)) {
            for (a, b) in [(&a, &b), (&few, &b), (&a, &few)] {
                let (va, vb): (Vec<u32>, Vec<u32>) = (a.iter().copied().collect(), b.iter().copied().collect());
                prop_assert_eq!(intersect(&va, &vb), a.intersection(b).copied().collect::<Vec<_>>());
                prop_assert_eq!(difference(&va, &vb), a.difference(b).copied().collect::<Vec<_>>());
                let both: Vec<u32> = va.iter().chain(&vb).copied().collect();
                prop_assert_eq!(normalize(both), a.union(b).copied().collect::<Vec<_>>());
            }
        }
    }
}
