//! Operations on ascending refs: expansion of stored lists, intersection, union, difference.

/// Appends the refs of a stored list.
pub(crate) fn expand(stored: &[u8], out: &mut Vec<u32>) {
    let (refs, _) = stored.as_chunks::<4>();
    out.extend(refs.iter().map(|r| u32::from_be_bytes(*r)));
}

/// What is in both.
pub(crate) fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut out = Vec::with_capacity(few.len());
    let mut rest = many;
    for r in few {
        rest = &rest[seek(rest, *r)..];
        if rest.first() == Some(r) {
            out.push(*r);
        }
    }
    out
}

/// What is in `a` and not in `b`.
pub(crate) fn difference(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(a.len());
    let mut rest = b;
    for r in a {
        rest = &rest[seek(rest, *r)..];
        if rest.first() != Some(r) {
            out.push(*r);
        }
    }
    out
}

/// Makes refs in any order strictly ascending.
pub(crate) fn normalize(mut refs: Vec<u32>) -> Vec<u32> {
    if !refs.is_sorted_by(|a, b| a < b) {
        refs.sort_unstable();
        refs.dedup();
    }
    refs
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

    fn refs() -> impl Strategy<Value = BTreeSet<u32>> {
        prop_oneof![
            proptest::collection::btree_set(0u32..200, 0..150),
            proptest::collection::btree_set(any::<u32>(), 0..150)
        ]
    }

    proptest! {
        #[test]
        fn as_sets(a in refs(), b in refs()) {
            let (va, vb): (Vec<u32>, Vec<u32>) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(intersect(&va, &vb), a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(difference(&va, &vb), a.difference(&b).copied().collect::<Vec<_>>());
            let both: Vec<u32> = va.iter().chain(&vb).copied().collect();
            prop_assert_eq!(normalize(both), a.union(&b).copied().collect::<Vec<_>>());
        }
    }
}
