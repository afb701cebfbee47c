//! Requests to delete series, carried out for good: exactly what was asked for is gone in the end, whatever happens on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::memory::InMemory;
use tithon_bucket::{Bucket, DeletionRecord};
use tithon_chunks::TimeRange;
use tithon_compact::{CompactorOptions, Leases, Report};
use tithon_engine::plan::{DownsampleSpans, SeriesDeletion};
use tithon_engine::{BlockId, BlockMeta};
use tithon_index::{MatchOp, Matcher};

use crate::bed::{self, Spec};
use crate::faulty_store::{Fate, FaultyStore};

type Objects = BTreeMap<String, Bytes>;

fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).unwrap()
}

/// Series 03 and 04 of cluster `merge`, and all of cluster `whole`, in hours 1 to 5.
fn request(number: u64, blocks: &[BlockMeta]) -> DeletionRecord {
    let some = vec![matcher(MatchOp::Equal, "cluster", "merge"), matcher(MatchOp::Regex, "n", "03|04")];
    let whole = vec![matcher(MatchOp::Equal, "cluster", "whole")];
    let deletion = SeriesDeletion {
        id: BlockId::from_parts(bed::BASE as u64, u128::from(number)),
        selectors: vec![some, whole],
        range: TimeRange::new(bed::BASE + bed::HOUR, bed::BASE + 5 * bed::HOUR),
        data: SeriesDeletion::data_of(blocks),
        include_later: false,
    };
    DeletionRecord { deletion, author: "test".to_owned(), reason: String::new(), done_ms: None }
}

/// Whether a line of [`bed::samples`] is deleted by [`request`].
fn is_deleted(line: &str) -> bool {
    let t = line.split("} ").nth(1).unwrap().split(' ').next().unwrap().parse::<i64>().unwrap();
    let is_of = line.starts_with("whole ")
        || (line.starts_with("merge ") && (line.contains("n=\"03\"") || line.contains("n=\"04\"")));
    is_of && (bed::BASE + bed::HOUR..=bed::BASE + 5 * bed::HOUR).contains(&t)
}

/// Blocks to be merged, one that is emptied, and one to be downsampled.
fn specs() -> Vec<Spec> {
    let mut specs: Vec<Spec> =
        (0..5).map(|i| Spec::new(i, (2 * i as i64, 2 * i as i64 + 2), "merge")).collect();
    specs.push(Spec::new(10, (2, 4), "whole"));
    specs.push(Spec::new(20, (0, 40), "long"));
    specs
}

fn options(dir: &Path) -> CompactorOptions {
    let span_ms = 40 * bed::HOUR;
    CompactorOptions {
        spans: DownsampleSpans { raw_min_ms: span_ms, five_minutes_min_ms: 2 * span_ms },
        delete_delay: Duration::ZERO,
        partial_age: Duration::ZERO,
        ..bed::options(dir)
    }
}

async fn put_request(store: &InMemory, record: &DeletionRecord) {
    Bucket::from_store(Arc::new(store.clone()), "").put_deletion(record).await.unwrap();
}

async fn requests(objects: &Objects) -> (Vec<String>, Vec<String>) {
    let below = |folder: &str| {
        let keys = objects.keys().filter_map(|key| key.strip_prefix(folder));
        keys.filter(|name| !name.contains('/')).map(str::to_owned).collect()
    };
    (below("deletions/"), below("deletions/done/"))
}

fn left(all: &BTreeSet<String>) -> BTreeSet<String> {
    all.iter().filter(|line| !is_deleted(line)).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_is_gone_and_the_request_is_done() {
    let store = Arc::new(bed::bucket_of(&specs()).await);
    let objects = bed::objects(&store).await;
    let (all, record) = (bed::samples(&objects, &[]), request(1, &bed::metas(&objects)));
    put_request(&store, &record).await;
    let dir = tempfile::tempdir().unwrap();
    let compactor = bed::compactor(Arc::clone(&store) as _, options(dir.path()));
    let first = compactor.iterate().await.unwrap();
    // Hours 1 to 5 are in three blocks of one cluster, and in the one of another.
    assert_eq!((first.rewritten, first.compacted, first.downsampled), (4, 1, 1), "{first:?}");
    assert!(first.faults.is_empty(), "{first:?}");
    let mut report = first;
    for _ in 0..2 {
        if report.deletions_done > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        report = compactor.iterate().await.unwrap();
        assert_eq!((report.rewritten, report.compacted, report.downsampled), (0, 0, 0), "{report:?}");
    }
    let objects = bed::objects(&store).await;
    assert_eq!(bed::samples(&objects, &[]), left(&all));
    let id = format!("{}.json", record.deletion.id);
    assert_eq!(requests(&objects).await, (vec![], vec![id]));
    let merged = bed::metas(&objects).into_iter().find(|meta| meta.compaction.level == 2).unwrap();
    assert!(record.deletion.is_done(&merged));
    assert_eq!(merged.compaction.sources.len(), 4);
    // A downsampled block is not made again.
    assert_eq!(bed::metas(&objects).iter().filter(|meta| meta.resolution_ms() > 0).count(), 1);
}

/// What was merged meanwhile by somebody who knows nothing of the request is cut too, and what came later is not.
#[tokio::test(flavor = "multi_thread")]
async fn merged_data_is_still_subject_and_later_data_is_not() {
    let there: Vec<Spec> = specs().into_iter().take(2).collect();
    let store = Arc::new(bed::bucket_of(&specs()[..5]).await);
    let objects = bed::objects(&store).await;
    let all = bed::samples(&objects, &[]);
    let ids: Vec<BlockId> = there.iter().map(Spec::id).collect();
    let metas: Vec<BlockMeta> =
        bed::metas(&objects).into_iter().filter(|meta| ids.contains(&meta.ulid)).collect();
    let dir = tempfile::tempdir().unwrap();
    let compactor = bed::compactor(Arc::clone(&store) as _, options(dir.path()));
    assert_eq!(compactor.iterate().await.unwrap().compacted, 1);
    put_request(&store, &request(1, &metas)).await;
    let mut report = Report::default();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let next = compactor.iterate().await.unwrap();
        report.rewritten += next.rewritten;
        report.deletions_done += next.deletions_done;
    }
    assert_eq!((report.rewritten, report.deletions_done), (1, 1), "{report:?}");
    // Of the first four hours only.
    let is_later = |line: &String| {
        let t: i64 = line.split("} ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        t >= bed::BASE + 4 * bed::HOUR
    };
    let expected: BTreeSet<String> =
        all.iter().filter(|line| is_later(line) || !is_deleted(line)).cloned().collect();
    assert_eq!(bed::samples(&bed::objects(&store).await, &[]), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_later_data_stays_until_it_is_cancelled() {
    let store = Arc::new(bed::bucket_of(&specs()[..2]).await);
    let mut record = request(1, &[]);
    record.deletion.include_later = true;
    put_request(&store, &record).await;
    let dir = tempfile::tempdir().unwrap();
    let compactor = bed::compactor(Arc::clone(&store) as _, options(dir.path()));
    let all = bed::samples(&bed::objects(&store).await, &[]);
    for rewritten in [2, 0, 0] {
        let report = compactor.iterate().await.unwrap();
        assert_eq!((report.rewritten, report.deletions_done), (rewritten, 0), "{report:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let objects = bed::objects(&store).await;
    assert_eq!((bed::samples(&objects, &[]), requests(&objects).await.0.len()), (left(&all), 1));
}

/// How the iterations that die go about it.
#[derive(Clone, Copy, Debug)]
struct Way {
    streaming: bool,
    leases: bool,
    shards: u32,
    step: usize,
}

async fn iterate(store: &FaultyStore, dir: &Path, way: Way) -> Option<Report> {
    static STARTED: AtomicI64 = AtomicI64::new(0);
    let options = CompactorOptions { streaming: way.streaming, split_shards: way.shards, ..options(dir) };
    let mut compactor = bed::compactor(Arc::new(store.clone()), options);
    if way.leases {
        let number = STARTED.fetch_add(1, Ordering::SeqCst);
        let leases = Leases::new(format!("compactor-{number}"), Duration::from_secs(60), move || {
            bed::BASE + number * bed::HOUR
        });
        compactor = compactor.with_leases(leases);
    }
    compactor.iterate().await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn death_before_and_after_every_request() {
    die(Way { streaming: false, leases: false, shards: 0, step: 1 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn death_while_streaming_under_leases() {
    die(Way { streaming: true, leases: true, shards: 0, step: 4 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn death_while_blocks_are_cut_into_shards() {
    die(Way { streaming: false, leases: false, shards: 2, step: 5 }).await;
}

async fn die(way: Way) {
    let start = bed::bucket_of(&specs()).await;
    let objects = bed::objects(&start).await;
    let (all, record) = (bed::samples(&objects, &[]), request(1, &bed::metas(&objects)));
    let wanted = left(&all);
    put_request(&start, &record).await;
    let dir = tempfile::tempdir().unwrap();
    let counting = FaultyStore::new(Arc::new(start.fork()), Fate::Count);
    let report = iterate(&counting, dir.path(), way).await.unwrap();
    assert!(report.faults.is_empty(), "{report:?}");
    let requests_made = counting.requests();
    assert!(requests_made > 50, "{requests_made}");
    let deaths = (1..=requests_made)
        .step_by(way.step)
        .flat_map(|request| [false, true].map(|after| Fate::DieAt { request, after }));
    let checks = stream::iter(deaths).map(|fate| {
        let (objects, all, wanted) = (Arc::new(start.fork()), all.clone(), wanted.clone());
        tokio::spawn(async move {
            let dir = tempfile::tempdir().unwrap();
            iterate(&FaultyStore::new(Arc::clone(&objects), fate), dir.path(), way).await;
            let found = bed::objects(&objects).await;
            for blocks in [bed::metas(&found), bed::seen_by_us(&found), bed::seen_by_thanos(&found)] {
                let raw = blocks.into_iter().filter(|meta| meta.resolution_ms() == 0);
                let seen: BTreeSet<String> = bed::samples_of(&found, raw).into_iter().collect();
                assert!(seen.is_superset(&wanted), "{fate:?}: samples are gone");
                assert!(seen.is_subset(&all), "{fate:?}: samples came");
            }
            let healthy = FaultyStore::new(Arc::clone(&objects), Fate::Count);
            for _ in 0..4 {
                let report = iterate(&healthy, dir.path(), way).await.unwrap();
                assert!(report.faults.is_empty(), "{fate:?}: {report:?}");
                // Half an upload that the crash left may be as young as this very millisecond.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let end = bed::objects(&objects).await;
            assert_eq!(bed::samples(&end, &[]), wanted, "{fate:?}");
            let (in_force, done) = requests(&end).await;
            assert_eq!((in_force.len(), done.len()), (0, 1), "{fate:?}");
            let prefixes = end.keys().filter_map(|key| key.split('/').next());
            let prefixes: BTreeSet<&str> =
                prefixes.filter(|prefix| !["leases", "deletions"].contains(prefix)).collect();
            assert_eq!(prefixes.len(), bed::metas(&end).len(), "{fate:?}: something is left over");
        })
    });
    checks.buffer_unordered(4).for_each(async |result| result.unwrap()).await;
}
