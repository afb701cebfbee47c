//! Merges that are cut into shards: what they leave, with blocks before and after them that are not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use tithon_compact::{CompactorOptions, Report};
use tithon_engine::plan::{DownsampleSpans, ShardClass};
use tithon_engine::{BlockId, BlockMeta};

use crate::bed::{self, Spec};

fn adjacent(numbers: std::ops::Range<u64>) -> Vec<Spec> {
    numbers.map(|i| Spec::new(i, (2 * i as i64, 2 * i as i64 + 2), "a")).collect()
}

/// One iteration, without downsampling unless `change` asks for it.
async fn iterate(store: &Arc<InMemory>, change: impl FnOnce(&mut CompactorOptions)) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let mut options = CompactorOptions { downsampling: false, ..bed::options(dir.path()) };
    change(&mut options);
    let report = bed::compactor(Arc::clone(store) as _, options).iterate().await.unwrap();
    assert!(report.faults.is_empty(), "{report:?}");
    report
}

/// Blocks that stay, in order of time and shard. Without the others every sample is there once, and readers find all in
/// what they choose to look at.
async fn check(store: &InMemory, all: &BTreeSet<String>) -> Vec<BlockMeta> {
    let objects = bed::objects(store).await;
    let mut live = bed::metas(&objects);
    live.retain(|meta| !bed::is_marked_for_deletion(&objects, meta.ulid));
    live.sort_by_key(|meta| (meta.resolution_ms(), meta.min_time, meta.max_time, ShardClass::of(meta)));
    let raw = live.iter().filter(|meta| meta.resolution_ms() == 0).cloned();
    let all: Vec<String> = all.iter().cloned().collect();
    let found = bed::samples_of(&objects, raw);
    let (n, expected) = (found.len(), all.len());
    assert!(found == all, "{n} samples, expected {expected}: {:?}", shapes(&live));
    assert!(bed::samples_of(&objects, bed::seen_by_us(&objects)) == all);
    let mut seen = bed::samples_of(&objects, bed::seen_by_thanos(&objects));
    seen.dedup();
    assert!(seen == all, "Thanos's readers miss samples");
    live
}

/// Hours from the base, index and count of the shard, level.
type Shape = ((i64, i64), (u32, u32), i64);

fn shapes(blocks: &[BlockMeta]) -> Vec<Shape> {
    let shape = |meta: &BlockMeta| {
        let hours = |ms: i64| (ms - bed::BASE) / bed::HOUR;
        let class = ShardClass::of(meta);
        ((hours(meta.min_time), hours(meta.max_time)), (class.index, class.count), meta.compaction.level)
    };
    blocks.iter().map(shape).collect()
}

async fn samples(store: &InMemory) -> BTreeSet<String> {
    bed::samples(&bed::objects(store).await, &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_grow_among_themselves() {
    for streaming in [false, true] {
        // Thirteen times two hours from midnight on: three times eight, and the newest block by itself.
        let store = Arc::new(bed::bucket_of(&adjacent(0..13)).await);
        let all = samples(&store).await;
        let run = |options: &mut CompactorOptions| (options.split_shards, options.streaming) = (2, streaming);
        let report = iterate(&store, run).await;
        assert_eq!((report.compacted, report.marked_for_deletion), (6, 12), "{report:?}");
        let live = check(&store, &all).await;
        let day = |i| [(0, 8), (8, 16), (16, 24)].map(|hours| (hours, (i, 2), 2));
        let mut expected = [&day(0)[..], &day(1)[..], &[((24, 26), (0, 1), 1)]].concat();
        expected.sort();
        assert_eq!(shapes(&live), expected);
        assert_eq!(iterate(&store, run).await, Report::default());
        // Two days are full once the next ones have come. 2023-11-15 is an even day since 1970.
        let more = bed::bucket_of(&adjacent(13..33)).await;
        copy(&more, &store).await;
        let all = samples(&store).await;
        let report = iterate(&store, run).await;
        // Five more of eight hours for each shard, and the two days.
        assert!(report.compacted > 10, "{report:?}");
        let live = check(&store, &all).await;
        let two_days = |i| ((0, 48), (i, 2), 3);
        assert!(
            shapes(&live).contains(&two_days(0)) && shapes(&live).contains(&two_days(1)),
            "{:?}",
            shapes(&live)
        );
        assert_eq!(iterate(&store, run).await, Report::default());
    }
}

async fn copy(from: &InMemory, to: &InMemory) {
    use object_store::{ObjectStoreExt, path::Path};
    for (key, bytes) in bed::objects(from).await {
        to.put(&Path::from(key), bytes.into()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_may_change_at_any_time() {
    // More shards than series: some are empty, and none of these is uploaded.
    let ways = [0, 3, 2, 64, 0, 1, 5];
    let store = Arc::new(InMemory::new());
    for (round, shards) in (0..).zip(ways) {
        let from = 5 * round;
        copy(&bed::bucket_of(&adjacent(from..from + 5)).await, &store).await;
        let all = samples(&store).await;
        let run = |options: &mut CompactorOptions| options.split_shards = shards;
        let report = iterate(&store, run).await;
        assert!(report.compacted > 0, "{report:?}");
        let live = check(&store, &all).await;
        if shards == 64 {
            let made: Vec<_> = live.iter().filter(|meta| ShardClass::of(meta).count == 64).collect();
            assert!((2..=24).contains(&made.len()), "{:?}", shapes(&live));
        }
        assert_eq!(iterate(&store, run).await, Report::default());
        check(&store, &all).await;
    }
    // Deleted at last, and nothing comes back.
    let all = samples(&store).await;
    let delete = |options: &mut CompactorOptions| options.delete_delay = Duration::ZERO;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(iterate(&store, delete).await.deleted > 20);
    let objects = bed::objects(&store).await;
    assert!(bed::metas(&objects).iter().all(|meta| !bed::is_marked_for_deletion(&objects, meta.ulid)));
    check(&store, &all).await;
    assert_eq!(iterate(&store, delete).await, Report::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_too_large_for_one_block_makes_shards() {
    let store = Arc::new(bed::bucket_of(&adjacent(0..5)).await);
    let all = samples(&store).await;
    let sizes = bed::metas(&bed::objects(&store).await).into_iter().map(|meta| {
        let files = meta.thanos.unwrap().files;
        files.iter().find(|file| file.rel_path == "index").unwrap().size_bytes
    });
    let size = sizes.max().unwrap();
    // Four indexes against 85 % of two: three are needed.
    let run = |options: &mut CompactorOptions| options.index_bytes_max = 2 * size;
    assert_eq!(iterate(&store, run).await.compacted, 3);
    let live = check(&store, &all).await;
    assert!(shapes(&live)[..3].iter().all(|(_, (_, count), _)| *count == 3));
    assert!(bed::objects(&store).await.keys().all(|key| !key.ends_with("no-compact-mark.json")));
    // Shards whose indexes are too large together are cut again. Theirs are a third of the samples, but have all strings.
    copy(&bed::bucket_of(&adjacent(5..33)).await, &store).await;
    let all = samples(&store).await;
    iterate(&store, run).await;
    let live = check(&store, &all).await;
    assert!(shapes(&live).iter().any(|(_, (_, count), _)| *count > 3), "{:?}", shapes(&live));
    assert_eq!(iterate(&store, run).await, Report::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_are_downsampled_together() {
    let store = Arc::new(bed::bucket_of(&adjacent(0..5)).await);
    let all = samples(&store).await;
    let run = |options: &mut CompactorOptions| {
        options.split_shards = 2;
        options.downsampling = true;
        options.spans = DownsampleSpans { raw_min_ms: 8 * bed::HOUR, five_minutes_min_ms: 8 * bed::HOUR };
    };
    let report = iterate(&store, run).await;
    assert_eq!((report.compacted, report.downsampled), (2, 4), "{report:?}");
    let live = check(&store, &all).await;
    for resolution in [300_000, 3_600_000] {
        let made: Vec<&BlockMeta> = live.iter().filter(|meta| meta.resolution_ms() == resolution).collect();
        let classes: Vec<u32> = made.iter().map(|meta| ShardClass::of(meta).index).collect();
        assert_eq!((classes, made.iter().map(|meta| meta.stats.num_series).sum()), (vec![0, 1], 12));
    }
    assert_eq!(iterate(&store, run).await, Report::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_stays_while_a_shard_is_missing_or_to_be_deleted() {
    let specs = adjacent(0..5);
    let store = Arc::new(bed::bucket_of(&specs).await);
    let run = |options: &mut CompactorOptions| options.split_shards = 2;
    let all = samples(&store).await;
    iterate(&store, run).await;
    let live = check(&store, &all).await;
    let unmark = async || {
        for spec in &specs[..4] {
            bed::delete(&store, spec.id(), "deletion-mark.json").await;
        }
    };
    let marked = async |id: BlockId| bed::get(&store, id, "deletion-mark.json").await.is_some();
    // A mark on one of the shards: the other one is not enough.
    unmark().await;
    let mark = tithon_bucket::Mark {
        kind: tithon_bucket::MarkKind::Deletion,
        block: live[1].ulid,
        details: String::new(),
        time_s: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64,
        reason: String::new(),
        replaced_by: vec![],
    };
    bed::put(&store, live[1].ulid, "deletion-mark.json", mark.to_json()).await;
    assert_eq!(iterate(&store, run).await, Report::default());
    assert!(!marked(specs[0].id()).await);
    // Both are there: the sources are marked again.
    bed::delete(&store, live[1].ulid, "deletion-mark.json").await;
    assert_eq!(iterate(&store, run).await.marked_for_deletion, 4);
    // One is gone: the sources are cut again, and the shard that was there stays the one.
    unmark().await;
    for name in ["meta.json", "index", "chunks/000001"] {
        bed::delete(&store, live[1].ulid, name).await;
    }
    assert_eq!(iterate(&store, run).await.compacted, 2);
    assert_eq!(iterate(&store, run).await.marked_for_deletion, 1);
    let again = check(&store, &all).await;
    assert_eq!(shapes(&again), shapes(&live));
    assert_eq!(again[0].ulid, live[0].ulid);
}
