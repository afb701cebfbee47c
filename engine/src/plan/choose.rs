//! Chooses the blocks of a group to merge next. Thanos `pkg/compact/planner.go`.

use std::collections::HashSet;

use crate::{BlockId, BlockMeta};

/// The lengths to which blocks grow: 1 h, 2 h, 8 h, 2 d, 14 d, in milliseconds.
pub const LEVELS_MS: [i64; 5] = [3_600_000, 7_200_000, 28_800_000, 172_800_000, 1_209_600_000];

/// The share of deleted intervals among series above which a large block is rewritten.
const TOMBSTONES_SHARE: f64 = 0.05;

/// The blocks to merge into one next, in order of time; empty if there is nothing to do.
///
/// `blocks` is one group in order of first time, and `levels_ms` ascend. Blocks in `excluded` may not be merged, but
/// count as existing. Overlapping blocks come first, then the shortest level that can be completed, then a single block
/// with many deletions.
pub fn choose<'m>(
    blocks: &'m [BlockMeta],
    levels_ms: &[i64],
    excluded: &HashSet<BlockId>,
) -> Vec<&'m BlockMeta> {
    let mut free: Vec<&BlockMeta> = blocks.iter().filter(|b| !excluded.contains(&b.ulid)).collect();
    let overlapping = first_overlap(&free);
    if !overlapping.is_empty() {
        return overlapping;
    }
    let Some((newest, older)) = blocks.split_last() else { return Vec::new() };
    if !excluded.contains(&newest.ulid) {
        free.pop();
    }
    let by_level = by_level(older, levels_ms, excluded);
    if !by_level.is_empty() {
        return by_level;
    }
    let middle = levels_ms.get(levels_ms.len() / 2).copied().unwrap_or(i64::MAX);
    for block in free.into_iter().rev() {
        if block.max_time - block.min_time < middle {
            break;
        }
        let (tombstones, series) = (block.stats.num_tombstones as f64, block.stats.num_series as f64);
        if tombstones / (series + 1.0) > TOMBSTONES_SHARE {
            return vec![block];
        }
    }
    Vec::new()
}

/// The first run of overlapping blocks: each begins before one of those before it has ended.
fn first_overlap<'m>(blocks: &[&'m BlockMeta]) -> Vec<&'m BlockMeta> {
    let mut found: Vec<&BlockMeta> = Vec::new();
    let Some(first) = blocks.first() else { return found };
    let mut end = first.max_time;
    for pair in blocks.windows(2) {
        if pair[1].min_time < end {
            if found.is_empty() {
                found.push(pair[0]);
            }
            found.push(pair[1]);
        } else if !found.is_empty() {
            break;
        }
        end = end.max(pair[1].max_time);
    }
    found
}

fn by_level<'m>(
    blocks: &'m [BlockMeta],
    levels_ms: &[i64],
    excluded: &HashSet<BlockId>,
) -> Vec<&'m BlockMeta> {
    let (Some(last), [_, levels @ ..]) = (blocks.last(), levels_ms) else { return Vec::new() };
    let high = last.min_time;
    for &level in levels {
        for part in windows(blocks, level) {
            if part.len() < 2 || part.iter().any(|b| b.compaction.failed) {
                continue;
            }
            let (start, end) = (part[0].min_time, part[part.len() - 1].max_time);
            if end - start != level && end > high {
                continue;
            }
            let runs = part.split(|b| excluded.contains(&b.ulid));
            if let Some(run) = runs.into_iter().find(|run| run.len() > 1) {
                return run.iter().collect();
            }
        }
    }
    Vec::new()
}

/// Cuts blocks into runs that lie in one window of `length` aligned to the epoch. Blocks that reach beyond the end of
/// their window are left out.
fn windows(blocks: &[BlockMeta], length: i64) -> Vec<&[BlockMeta]> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < blocks.len() {
        let end = blocks[at].min_time.div_euclid(length).saturating_add(1).saturating_mul(length);
        if blocks[at].max_time > end {
            at += 1;
            continue;
        }
        let n = blocks[at..].iter().take_while(|b| b.max_time <= end).count();
        found.push(&blocks[at..at + n]);
        at += n;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;

    const HOUR: i64 = 3_600_000;

    /// Blocks are pairs of hours, with ids from 1; the plan is a list of ids.
    fn check(hours: &[(i64, i64)], excluded: &[u64], expected: &[u64]) {
        let metas: Vec<BlockMeta> = hours
            .iter()
            .enumerate()
            .map(|(i, (from, to))| meta(i as u64 + 1, from * HOUR, to * HOUR, &[]))
            .collect();
        let excluded = excluded.iter().map(|id| BlockId::from_parts(*id, 0)).collect();
        let plan: Vec<u64> = choose(&metas, &LEVELS_MS, &excluded).iter().map(|m| m.ulid.unix_ms()).collect();
        assert_eq!(plan, expected, "{hours:?}");
    }

    #[test]
    fn levels_need_a_newer_block() {
        check(&[], &[], &[]);
        check(&[(0, 2), (2, 4), (4, 6), (6, 8)], &[], &[]);
        check(&[(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)], &[], &[1, 2, 3, 4]);
        // The window lacks its last block until the second newest block starts after it.
        check(&[(0, 2), (2, 4), (4, 6), (8, 10)], &[], &[]);
        check(&[(0, 2), (2, 4), (4, 6), (8, 10), (10, 12)], &[], &[1, 2, 3]);
        check(&[(-8, -6), (-6, -4), (-4, -2), (-2, 0), (0, 2)], &[], &[1, 2, 3, 4]);
    }

    #[test]
    fn overlaps_come_first_and_ignore_levels() {
        check(&[(0, 2), (1, 3)], &[], &[1, 2]);
        check(&[(0, 336), (5, 7), (336, 338)], &[], &[1, 2]);
        check(&[(0, 2), (1, 3), (3, 5), (4, 6)], &[], &[1, 2]);
        check(&[(0, 2), (1, 3)], &[2], &[]);
    }

    #[test]
    fn excluded_blocks_split_windows() {
        let hours = [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)];
        check(&hours, &[2], &[3, 4]);
        check(&hours, &[1], &[2, 3, 4]);
        check(&hours, &[2, 4], &[]);
    }

    #[test]
    fn blocks_over_a_border_are_left_out() {
        check(&[(0, 3), (3, 5), (5, 7), (8, 9), (9, 10)], &[], &[1, 2, 3]);
        check(&[(6, 9), (9, 11), (11, 13), (16, 18), (18, 20)], &[], &[2, 3]);
    }

    #[test]
    fn failed_parts_and_tombstones() {
        let hours = [(0, 2), (2, 4), (4, 6), (6, 8), (8, 10)];
        let mut metas: Vec<BlockMeta> =
            hours.iter().map(|(a, b)| meta(*a as u64, a * HOUR, b * HOUR, &[])).collect();
        metas[1].compaction.failed = true;
        assert!(choose(&metas, &LEVELS_MS, &HashSet::new()).is_empty());
        let mut large = vec![meta(1, 0, 8 * HOUR, &[]), meta(2, 8 * HOUR, 16 * HOUR, &[])];
        large[0].stats.num_series = 99;
        large[0].stats.num_tombstones = 5;
        assert!(choose(&large, &LEVELS_MS, &HashSet::new()).is_empty());
        large[0].stats.num_tombstones = 6;
        assert_eq!(choose(&large, &LEVELS_MS, &HashSet::new()), [&large[0]]);
    }
}
