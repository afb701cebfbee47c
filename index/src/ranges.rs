//! Merging of byte ranges that lie close together, so that one read fetches them.

use std::ops::{Range, RangeInclusive};

/// Merges ranges that overlap or are at most `gap` bytes apart; the result ascends. Empty ranges are left out. Each range
/// given lies inside the first range of the result whose end is not before its own.
pub fn coalesce(ranges: &[Range<u64>], gap: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<&Range<u64>> = ranges.iter().filter(|range| !range.is_empty()).collect();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => merged.push(range.clone()),
        }
    }
    merged
}

/// The gap that [`coalesce`] must be given so that at most `n` ranges are left: the smallest that does it, within `gaps`.
pub fn gap_to_leave(ranges: &[Range<u64>], n: usize, gaps: RangeInclusive<u64>) -> u64 {
    let merged = coalesce(ranges, *gaps.start());
    let mut between: Vec<u64> = merged.windows(2).map(|pair| pair[1].start - pair[0].end).collect();
    match merged.len().checked_sub(n.max(1)) {
        Some(excess) if excess > 0 => (*between.select_nth_unstable(excess - 1).1).min(*gaps.end()),
        _ => *gaps.start(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_is_covered_and_nothing_close_is_apart(
            ranges in proptest::collection::vec((0u64..500, 0u64..40), 0..20),
            gap in 0u64..60,
            n in 1usize..8,
        ) {
            let ranges: Vec<Range<u64>> = ranges.into_iter().map(|(start, len)| start..start + len).collect();
            let merged = coalesce(&ranges, gap);
            prop_assert!(merged.windows(2).all(|pair| pair[0].end + gap < pair[1].start));
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                let i = merged.partition_point(|read| read.end < range.end);
                prop_assert!(merged[i].start <= range.start && range.end <= merged[i].end);
            }
            let (n, gaps) = (n, gap..=gap + 30);
            let chosen = gap_to_leave(&ranges, n, gaps.clone());
            prop_assert!(gaps.contains(&chosen));
            prop_assert!(coalesce(&ranges, chosen).len() <= n || chosen == *gaps.end());
            prop_assert!(chosen == gap || coalesce(&ranges, chosen - 1).len() > n);
            for read in &merged {
                prop_assert!(ranges.iter().any(|range| range.start == read.start));
                prop_assert!(ranges.iter().any(|range| range.end == read.end));
            }
        }
    }
}
