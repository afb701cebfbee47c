//! Filters of a compactor's blocks, and the blocks of a group that must not be merged. Thanos `pkg/block/fetcher.go`,

use std::collections::{BTreeSet, HashMap, HashSet};

use super::shard::lineage;
use crate::{BlockId, BlockMeta, SourceType};

/// Whether a block's time touches the closed range of milliseconds.
pub fn in_time(block: &BlockMeta, min_ms: i64, max_ms: i64) -> bool {
    block.max_time >= min_ms && block.min_time <= max_ms
}

/// Whether a block was uploaded (or created, if the upload time is unknown) less than `delay_ms` before `now_ms`: other
/// programs may not see all of it yet. Blocks made by a compactor or a repair are never too fresh.
pub fn too_fresh(block: &BlockMeta, delay_ms: i64, now_ms: i64) -> bool {
    let thanos = block.thanos.as_ref();
    let source = thanos.map_or(&SourceType::Unknown, |thanos| &thanos.source);
    if matches!(source, SourceType::Compactor | SourceType::CompactorRepair | SourceType::BucketRepair) {
        return false;
    }
    let uploaded = thanos.map(|thanos| &thanos.upload_time).filter(|time| !time.is_unset());
    let born = uploaded.and_then(|time| time.unix_ms()).unwrap_or(block.ulid.unix_ms() as i64);
    now_ms.saturating_sub(born) < delay_ms
}

/// The block without its replica labels; if no label is left, the first replica label gets the value `deduped`. The
/// second part says whether a label was removed. `replica_labels` ascend.
pub fn without_replica_labels(mut block: BlockMeta, replica_labels: &[String]) -> (BlockMeta, bool) {
    let Some(first) = replica_labels.first() else { return (block, false) };
    let Some(thanos) = &mut block.thanos else { return (block, false) };
    let before = thanos.labels.len();
    thanos.labels.retain(|name, _| !replica_labels.contains(name));
    let removed = thanos.labels.len() < before;
    if thanos.labels.is_empty() {
        thanos.labels.insert(first.clone(), "deduped".to_owned());
    }
    (block, removed)
}

/// The blocks whose times overlap, as half-open ranges, as upstream counts. `blocks` ascend by first time; the result
/// has one list for each cluster.
pub fn overlapping(blocks: &[BlockMeta]) -> Vec<Vec<BlockId>> {
    let mut clusters = Vec::new();
    let mut cluster: Vec<BlockId> = Vec::new();
    let mut end = i64::MIN;
    for block in blocks {
        if block.min_time >= end && !cluster.is_empty() {
            clusters.push(std::mem::take(&mut cluster));
        }
        cluster.push(block.ulid);
        end = end.max(block.max_time);
    }
    clusters.push(cluster);
    clusters.retain(|cluster| cluster.len() > 1);
    clusters
}

/// The blocks that share a source with another of `blocks`: their samples would occur twice.
pub fn sharing_sources(blocks: &[&BlockMeta]) -> BTreeSet<BlockId> {
    let mut first: HashMap<BlockId, BlockId> = HashMap::new();
    let mut found = BTreeSet::new();
    for block in blocks {
        for source in lineage(block).into_iter().collect::<HashSet<_>>() {
            if let Some(other) = first.insert(source, block.ulid) {
                found.extend([other, block.ulid]);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;
    use crate::{ThanosMeta, UploadTime};

    #[test]
    fn fresh_blocks_wait_unless_a_compactor_made_them() {
        let block = |source: SourceType, uploaded: &str| {
            let mut meta = meta(1_000_000, 0, 1, &[]);
            let upload_time = UploadTime(uploaded.to_owned());
            meta.thanos = Some(ThanosMeta { source, upload_time, ..ThanosMeta::default() });
            meta
        };
        let unset = "0001-01-01T00:00:00Z";
        assert!(too_fresh(&block(SourceType::Sidecar, unset), 1_000, 1_000_999));
        assert!(!too_fresh(&block(SourceType::Sidecar, unset), 1_000, 1_001_000));
        assert!(too_fresh(&block(SourceType::Receive, "1970-01-01T01:00:00.5Z"), 1_000, 3_601_499));
        assert!(!too_fresh(&block(SourceType::Receive, "1970-01-01T01:00:00.5Z"), 1_000, 3_601_500));
        assert!(!too_fresh(&block(SourceType::Compactor, unset), 1_000, 1_000_000));
        // An upload time in the future makes a block fresh, not old.
        assert!(too_fresh(&block(SourceType::Sidecar, "2100-01-01T00:00:00Z"), 1_000, 1_000_000));
    }

    #[test]
    fn replica_labels_go_and_one_stands_in_for_all() {
        let with = |pairs: &[(&str, &str)]| {
            let mut meta = meta(1, 0, 1, &[]);
            let labels = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            meta.thanos = Some(ThanosMeta { labels, ..ThanosMeta::default() });
            meta
        };
        let replica = ["prometheus".to_owned(), "replica".to_owned()];
        let check = |from: &[(&str, &str)], to: &[(&str, &str)], changed: bool| {
            assert_eq!(without_replica_labels(with(from), &replica), (with(to), changed));
        };
        check(&[("cluster", "a"), ("replica", "x")], &[("cluster", "a")], true);
        check(&[("replica", "x")], &[("prometheus", "deduped")], true);
        check(&[("cluster", "a")], &[("cluster", "a")], false);
    }

    #[test]
    fn clusters_and_shared_sources() {
        let block = |id: u64, min: i64, max: i64| meta(id, min, max, &[id]);
        let blocks = [block(1, 0, 2), block(2, 2, 4), block(3, 3, 6), block(4, 3, 4), block(5, 6, 8)];
        let ids = |of: &[u64]| of.iter().map(|id| BlockId::from_parts(*id, 0)).collect::<Vec<_>>();
        assert_eq!(overlapping(&blocks), [ids(&[2, 3, 4])]);
        assert!(overlapping(&[]).is_empty());
        let (a, b, c) = (meta(1, 0, 1, &[1, 2]), meta(2, 0, 1, &[2, 3]), meta(3, 0, 1, &[4]));
        assert_eq!(sharing_sources(&[&a, &b, &c]).into_iter().collect::<Vec<_>>(), ids(&[1, 2]));
    }

    #[test]
    fn the_time_asked_for_is_closed() {
        let block = meta(1, 10, 20, &[]);
        assert!(in_time(&block, 20, 30) && in_time(&block, 0, 10));
        assert!(!in_time(&block, 21, 30) && !in_time(&block, 0, 9));
    }
}
