//! Downsampled shards whose siblings have not been downsampled yet. A reader that prefers a coarser block to all finer ones
//! of its time would miss the series of those siblings.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use super::shard::{Shard, ShardClass};
use crate::{BlockId, BlockMeta};

/// The downsampled shards that readers should ignore for now, ascending: a sibling of the same time exists in a finer
/// resolution only, and finer blocks cover the whole time of the shard itself.
pub fn incomplete_shards<M: Borrow<BlockMeta>>(blocks: &[M]) -> Vec<BlockId> {
    let mut streams: BTreeMap<_, Vec<Member<'_>>> = BTreeMap::new();
    for meta in blocks.iter().map(Borrow::borrow) {
        let shard = Shard::of(meta);
        let class = shard.as_ref().map_or(ShardClass::ALL, |shard| shard.class);
        let labels = meta.thanos.as_ref().map(|thanos| &thanos.labels);
        streams.entry(labels).or_default().push(Member { meta, class, shard });
    }
    let of_stream = |members: &Vec<Member<'_>>| -> Vec<BlockId> {
        members
            .iter()
            .filter(|member| member.has_finer_sibling(members))
            .map(|member| member.meta.ulid)
            .collect()
    };
    let mut found: Vec<BlockId> = streams.values().flat_map(of_stream).collect();
    found.sort_unstable();
    found
}

/// A block of a stream, and the series that it holds.
struct Member<'m> {
    meta: &'m BlockMeta,
    class: ShardClass,
    shard: Option<Shard>,
}

impl Member<'_> {
    /// Whether finer blocks cover the shard's time, and hold a sibling that this resolution lacks.
    fn has_finer_sibling(&self, stream: &[Member<'_>]) -> bool {
        let (Some(shard), true) = (&self.shard, self.meta.resolution_ms() > 0) else { return false };
        let overlaps = |other: &&Member<'_>| {
            other.meta.min_time < self.meta.max_time && other.meta.max_time > self.meta.min_time
        };
        let (same, finer): (Vec<&Member<'_>>, Vec<&Member<'_>>) = stream
            .iter()
            .filter(overlaps)
            .filter(|other| other.meta.resolution_ms() <= self.meta.resolution_ms())
            .partition(|other| other.meta.resolution_ms() == self.meta.resolution_ms());
        let has =
            |blocks: &[&Member<'_>], class: ShardClass| blocks.iter().any(|other| other.class.meets(class));
        let indexes = shard.cuts.iter().flat_map(|cut| &cut.indexes);
        let mut classes = indexes.map(|index| ShardClass { index: *index, count: self.class.count });
        let own = || finer.iter().filter(|other| other.class.meets(self.class)).map(|other| other.meta);
        let starts = own().map(|meta| meta.min_time).min().is_some_and(|min| min <= self.meta.min_time);
        let ends = own().map(|meta| meta.max_time).max().is_some_and(|max| max >= self.meta.max_time);
        starts && ends && classes.any(|class| !has(&same, class) && has(&finer, class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::shard::tests::shard;

    #[test]
    fn a_downsampled_shard_waits_while_its_sibling_is_raw() {
        let raw = |id, index, hours| shard(id, hours, (index, 2), &[0, 1], &[7]);
        let five = |id, index, hours| {
            let mut block = raw(id, index, hours);
            block.thanos.as_mut().unwrap().downsample.resolution = 300_000;
            block
        };
        let check = |blocks: &[BlockMeta], expected: &[u64]| {
            let found: Vec<u64> = incomplete_shards(blocks).iter().map(|id| id.unix_ms()).collect();
            assert_eq!(found, expected);
        };
        let (a, b) = (raw(1, 0, (0, 48)), raw(2, 1, (0, 48)));
        check(&[a.clone(), b.clone()], &[]);
        check(&[a.clone(), b.clone(), five(3, 0, (0, 48))], &[3]);
        check(&[a.clone(), b.clone(), five(3, 0, (0, 48)), five(4, 1, (0, 48))], &[]);
        // One of the shards has been merged further.
        check(&[a.clone(), b.clone(), five(3, 0, (0, 96)), five(4, 1, (0, 48)), five(5, 1, (48, 96))], &[]);
        // Raw blocks have expired, all or some: the remaining blocks are not hidden.
        check(&[five(3, 0, (0, 48))], &[]);
        check(&[b, five(3, 0, (0, 48))], &[]);
        check(&[a, raw(6, 1, (24, 48)), five(3, 0, (0, 96))], &[]);
    }
}
