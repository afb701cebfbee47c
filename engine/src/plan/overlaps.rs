//! Blocks whose times overlap, as `thanos tools bucket verify` prints them, and those among them that are the same
//! block twice. Prometheus `tsdb/db.go`, Thanos `pkg/verifier`.

use std::collections::BTreeMap;
use std::fmt;

use tithon_chunks::calendar::go_duration;

use crate::BlockMeta;

/// Blocks that overlap.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlap<'b> {
    /// The time that they all have in common, half-open, milliseconds.
    pub range: (i64, i64),
    /// The blocks by first time.
    pub blocks: Vec<&'b BlockMeta>,
}

/// The overlaps of blocks that ascend by first time. Of several overlaps with the same common time, only the last is
/// returned, as upstream does.
pub fn overlaps(blocks: &[BlockMeta]) -> Vec<Overlap<'_>> {
    let Some((first, rest)) = blocks.split_first() else { return Vec::new() };
    let (mut clusters, mut pending, mut goes_on) = (Vec::<Vec<&BlockMeta>>::new(), vec![first], true);
    for block in rest {
        let before = pending.len();
        pending.retain(|other| block.min_time < other.max_time);
        goes_on &= pending.len() == before;
        pending.push(block);
        if pending.len() == 1 {
            continue;
        }
        match clusters.last_mut().filter(|_| goes_on) {
            Some(cluster) => cluster.push(block),
            None => {
                clusters.push(pending.clone());
                goes_on = true;
            }
        }
    }
    let mut by_range = BTreeMap::new();
    for blocks in clusters {
        let min = blocks.iter().map(|block| block.min_time).max().unwrap_or_default();
        let max = blocks.iter().map(|block| block.max_time).min().unwrap_or_default();
        by_range.insert((min.max(0), max), blocks);
    }
    by_range.into_iter().map(|(range, blocks)| Overlap { range, blocks }).collect()
}

/// Sets of twins: blocks of equal time, level, sources and counts. In each set, the first block of the input comes
/// first.
pub fn twins<'b>(blocks: &[&'b BlockMeta]) -> Vec<Vec<&'b BlockMeta>> {
    let mut sets: Vec<Vec<&BlockMeta>> = Vec::new();
    for block in blocks {
        let is_twin = |other: &BlockMeta| {
            (other.min_time, other.max_time) == (block.min_time, block.max_time)
                && other.compaction.level == block.compaction.level
                && other.compaction.sources == block.compaction.sources
                && other.stats == block.stats
        };
        match sets.iter_mut().find(|set| is_twin(set[0])) {
            Some(set) => set.push(block),
            None => sets.push(vec![block]),
        }
    }
    sets.retain(|set| set.len() > 1);
    sets
}

/// The text that upstream prints for an overlap.
impl fmt::Display for Overlap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The metas may hold any times: spans longer than Go's longest duration are printed as that duration.
        let span = |(min, max): (i64, i64)| {
            go_duration((max.saturating_sub(min) / 1000).saturating_mul(1_000_000_000))
        };
        let (min, max) = self.range;
        write!(
            f,
            "[mint: {min}, maxt: {max}, range: {}, blocks: {}]: ",
            span(self.range),
            self.blocks.len()
        )?;
        for (i, block) in self.blocks.iter().enumerate() {
            let (min, max) = (block.min_time, block.max_time);
            let comma = if i > 0 { ", " } else { "" };
            write!(
                f,
                "{comma}<ulid: {}, mint: {min}, maxt: {max}, range: {}>",
                block.ulid,
                span((min, max))
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;

    fn found(ranges: &[(i64, i64)]) -> Vec<((i64, i64), Vec<usize>)> {
        let metas: Vec<BlockMeta> =
            ranges.iter().enumerate().map(|(i, (min, max))| meta(i as u64, *min, *max, &[])).collect();
        let place = |block: &&BlockMeta| metas.iter().position(|meta| meta.ulid == block.ulid).unwrap();
        let one = |overlap: &Overlap<'_>| (overlap.range, overlap.blocks.iter().map(place).collect());
        overlaps(&metas).iter().map(one).collect()
    }

    /// Answers of Prometheus `tsdb/db_test.go`.
    #[test]
    fn overlaps_are_upstreams() {
        let row: Vec<(i64, i64)> = (0..10).map(|i| (i * 10, i * 10 + 10)).collect();
        assert_eq!(found(&row), []);
        assert_eq!(found(&[]), []);
        let with = |more: &[(i64, i64)]| {
            let mut ranges = [row.as_slice(), more].concat();
            ranges.sort();
            found(&ranges).into_iter().map(|(range, _)| range).collect::<Vec<_>>()
        };
        assert_eq!(with(&[(15, 17)]), [(15, 17)]);
        assert_eq!(with(&[(21, 31)]), [(21, 30), (30, 31)]);
        assert_eq!(with(&[(33, 39), (34, 36)]), [(34, 36)]);
        assert_eq!(with(&[(50, 60)]), [(50, 60)]);
        assert_eq!(with(&[(61, 85)]), [(61, 70), (70, 80), (80, 85)]);
        assert_eq!(with(&[(92, 105), (94, 99)]), [(94, 99)]);
    }

    #[test]
    fn any_times_can_be_printed() {
        let blocks = [meta(1, i64::MIN, i64::MAX, &[]), meta(2, 0, i64::MAX, &[])];
        let text = overlaps(&blocks)[0].to_string();
        assert!(
            text.starts_with("[mint: 0, maxt: 9223372036854775807, range: 2562047h47m16.854775807s"),
            "{text}"
        );
    }

    #[test]
    fn twins_are_equal_but_for_their_ids() {
        let (a, b) = (meta(1, 0, 10, &[1, 2]), meta(2, 0, 10, &[1, 2]));
        let (c, d) = (meta(3, 0, 10, &[2, 1]), meta(4, 0, 11, &[1, 2]));
        let sets = twins(&[&a, &c, &b, &d]);
        assert_eq!(sets, [[&a, &b]]);
        assert_eq!(
            Overlap { range: (0, 10_500), blocks: vec![&a] }.to_string(),
            format!(
                "[mint: 0, maxt: 10500, range: 10s, blocks: 1]: <ulid: {}, mint: 0, maxt: 10, range: 0s>",
                a.ulid
            )
        );
    }
}
