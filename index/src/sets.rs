//! Operations on ascending refs, each by the way that fits: blocks where lists are alike in length, galloping where one
//! is much longer, a bitmap where many lists are dense.

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
    refs.sort_unstable();
    refs.dedup();
    refs
}

/// A bitmap wins over sorting up to this many words of it a ref.
const WORDS_PER_REF: usize = 4;

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
        rest = &rest[seek(rest, *r)..];
        if (rest.first() == Some(r)) == IN {
            out.push(*r);
        }
    }
}

/// Index of the first ref not less than `target`: doubling steps, then a binary search.
fn seek(refs: &[u32], target: u32) -> usize {
    let mut step = 1;
    while step < refs.len() && refs[step] < target {
        step *= 2;
    }
    let low = step / 2;
    let high = refs.len().min(step + 1);
    low + refs[low..high].partition_point(|r| *r < target)
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
