//! A bucket that dies before or after every single request of an iteration: readers find everything afterwards, and the
//! next run ends where an undisturbed one does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::memory::InMemory;
use tithon_bucket::{Mark, MarkKind};
use tithon_compact::{CompactorOptions, Leases, Report};
use tithon_engine::plan::{DownsampleSpans, Retention, RetentionPolicy};

use crate::bed::{self, Spec, Summary};
use crate::faulty_store::{Fate, FaultyStore};

/// Work of every kind: a merge of adjacent blocks, one of replicas, downsampling to both levels, an expired block, a
/// block to be deleted, a superseded one, an upload that broke off.
async fn bucket() -> InMemory {
    let mut specs: Vec<Spec> =
        (0..5).map(|i| Spec::new(i, (2 * i as i64, 2 * i as i64 + 2), "merge")).collect();
    for (number, replica) in [(10, "a"), (11, "b")] {
        let mut spec = Spec::new(number, (0, 2), "replicas");
        spec.labels.push(("replica", replica));
        spec.shift = number as i64;
        specs.push(spec);
    }
    specs.push(Spec::new(20, (0, 40), "long"));
    specs.push(Spec { resolution: 3_600_000, ..Spec::new(30, (0, 2), "expired") });
    let deleted = Spec { resolution: 300_000, ..Spec::new(40, (0, 2), "deleted") };
    specs.push(deleted.clone());
    let half = Spec::new(50, (0, 2), "half");
    specs.push(half.clone());
    let store = bed::bucket_of(&specs).await;
    bed::delete(&store, half.id(), "meta.json").await;
    let mark = Mark {
        kind: MarkKind::Deletion,
        block: deleted.id(),
        details: "by hand".to_owned(),
        time_s: bed::BASE / 1000,
        reason: String::new(),
        replaced_by: vec![],
    };
    bed::put(&store, deleted.id(), MarkKind::Deletion.file(), mark.to_json()).await;
    store
}

/// How the iterations that die go about it.
#[derive(Clone, Copy, Debug)]
struct Way {
    streaming: bool,
    shards: u32,
    /// Whether merges and downsampling are done under leases.
    leases: bool,
    /// Die at one in so many requests.
    step: usize,
}

const PLAIN: Way = Way { streaming: false, shards: 0, leases: false, step: 1 };

fn options(dir: &Path, way: Way) -> CompactorOptions {
    // What is cut into shards is short, and is to be downsampled too.
    let span_ms = if way.shards > 1 { 8 } else { 40 } * bed::HOUR;
    CompactorOptions {
        streaming: way.streaming,
        split_shards: way.shards,
        replica_labels: vec!["replica".to_owned()],
        vertical: true,
        spans: DownsampleSpans { raw_min_ms: span_ms, five_minutes_min_ms: span_ms },
        policy: RetentionPolicy::plain(Retention { of_1h_blocks_ms: 24 * bed::HOUR, ..Retention::default() }),
        partial_age: Duration::ZERO,
        ..bed::options(dir)
    }
}

/// By the clock of each compactor the leases of those before it have run out.
async fn iterate(store: &FaultyStore, dir: &Path, way: Way) -> Option<Report> {
    static STARTED: AtomicI64 = AtomicI64::new(0);
    let mut compactor = bed::compactor(Arc::new(store.clone()), options(dir, way));
    if way.leases {
        let number = STARTED.fetch_add(1, Ordering::SeqCst);
        let leases = Leases::new(format!("compactor-{number}"), Duration::from_secs(60), move || {
            bed::BASE + number * bed::HOUR
        });
        compactor = compactor.with_leases(leases);
    }
    compactor.iterate().await.ok()
}

type Objects = BTreeMap<String, Bytes>;

/// Blocks without their ids, and which kinds of marks they have. Where cuts were begun and begun again, blocks that are
/// to be deleted do not count.
fn outcome(objects: &Objects, way: Way) -> Vec<Summary> {
    let blocks = bed::summaries(objects).into_iter();
    let counts = |id| way.shards < 2 || !bed::is_marked_for_deletion(objects, id);
    blocks.filter(|(id, _)| counts(*id)).map(|(_, summary)| summary).collect()
}

/// Whatever blocks readers leave out as superfluous, they find all samples.
fn check_readers(objects: &Objects, all: &BTreeSet<String>, fate: Fate) {
    let found = bed::samples(objects, &[]);
    assert!(found.is_superset(all), "{fate:?}: samples are gone");
    for blocks in [bed::seen_by_us(objects), bed::seen_by_thanos(objects)] {
        let found: BTreeSet<String> = bed::samples_of(objects, blocks).into_iter().collect();
        assert!(found.is_superset(all), "{fate:?}: readers miss samples");
    }
    // Coarser blocks hide finer ones of their time: where there are any, they have all series.
    let mut series: BTreeMap<_, u64> = BTreeMap::new();
    for meta in bed::served_by_us(objects).into_iter().filter(|meta| meta.resolution_ms() > 0) {
        let labels = meta.thanos.clone().unwrap().labels;
        *series.entry((meta.resolution_ms(), meta.min_time, labels)).or_default() += meta.stats.num_series;
    }
    assert!(series.values().all(|n| *n == 12), "{fate:?}: {series:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn death_before_and_after_every_request() {
    die_at_every(PLAIN).await;
}

/// The same for merges that stream; requests of other steps are the same, so one in three has to do.
#[tokio::test(flavor = "multi_thread")]
async fn death_while_streaming() {
    die_at_every(Way { streaming: true, step: 3, ..PLAIN }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn death_while_blocks_are_cut() {
    die_at_every(Way { shards: 3, step: 5, ..PLAIN }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn death_while_blocks_are_cut_in_streams() {
    die_at_every(Way { streaming: true, shards: 2, step: 9, ..PLAIN }).await;
}

/// What a dead compactor had decided to publish is published by the next one; what it had not, is not.
#[tokio::test(flavor = "multi_thread")]
async fn death_under_leases() {
    die_at_every(Way { leases: true, step: 2, ..PLAIN }).await;
}

async fn die_at_every(way: Way) {
    let start = bucket().await;
    let all = bed::samples(&bed::objects(&start).await, &[]);
    let dir = tempfile::tempdir().unwrap();
    let objects = Arc::new(start.fork());
    let counting = FaultyStore::new(Arc::clone(&objects), Fate::Count);
    // Twice: the first run marks, the second must find nothing more to do.
    let report = iterate(&counting, dir.path(), way).await.unwrap();
    let n = way.shards.max(1) as usize;
    // With shards, those of the merge of eight hours are downsampled as the long block is.
    let (compacted, downsampled) = (2 * n, if n > 1 { 2 + 2 * n } else { 2 });
    assert_eq!(
        (report.compacted, report.downsampled, report.deleted),
        (compacted, downsampled, 2),
        "{report:?}"
    );
    // Sources of both merges, and blocks of an hour past their time: the one that was there and those just made.
    assert_eq!(report.marked_for_deletion, 4 + 2 + 1 + downsampled / 2, "{report:?}");
    assert!(report.faults.is_empty(), "{report:?}");
    let requests = counting.requests();
    let expected = outcome(&bed::objects(&objects).await, way);
    let again = iterate(&counting, dir.path(), way).await.unwrap();
    assert_eq!(again, Report::default());
    assert!(requests > 100, "{requests}");

    println!("an iteration makes {requests} requests");
    let deaths = (1..=requests)
        .step_by(way.step)
        .flat_map(|request| [false, true].map(|after| Fate::DieAt { request, after }));
    let checks = stream::iter(deaths).map(|fate| {
        let (objects, all, expected) = (Arc::new(start.fork()), all.clone(), expected.clone());
        tokio::spawn(async move {
            let dir = tempfile::tempdir().unwrap();
            let report = iterate(&FaultyStore::new(Arc::clone(&objects), fate), dir.path(), way).await;
            assert!(report.is_none_or(|report| report.is_unfinished()), "{fate:?} was not noticed");
            check_readers(&bed::objects(&objects).await, &all, fate);
            let healthy = FaultyStore::new(Arc::clone(&objects), Fate::Count);
            let report = iterate(&healthy, dir.path(), way).await.unwrap();
            assert!(report.faults.is_empty(), "{fate:?}: {report:?}");
            // Half an upload that the crash left may be as young as this very millisecond.
            tokio::time::sleep(Duration::from_millis(2)).await;
            iterate(&healthy, dir.path(), way).await.unwrap();
            let end = bed::objects(&objects).await;
            check_readers(&end, &all, fate);
            assert_eq!(outcome(&end, way), expected, "{fate:?}");
            let whole = bed::metas(&end).len();
            let prefixes = end.keys().filter_map(|key| key.split('/').next());
            let prefixes: BTreeSet<&str> = prefixes.filter(|prefix| *prefix != "leases").collect();
            assert_eq!(prefixes.len(), whole, "{fate:?}: something is left over");
        })
    });
    checks.buffer_unordered(4).for_each(async |result| result.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_fail_now_and_then_are_repeated() {
    let objects = Arc::new(bucket().await);
    let store = FaultyStore::new(Arc::clone(&objects), Fate::NowAndThen);
    let retry = tithon_bucket::Retry { attempts: 12, first_pause: Duration::from_millis(1) };
    let bucket = tithon_bucket::Bucket::from_store(Arc::new(store), "").with_retry(retry);
    let dir = tempfile::tempdir().unwrap();
    let report = bed::compactor_over(bucket, options(dir.path(), PLAIN)).iterate().await.unwrap();
    assert_eq!((report.compacted, report.downsampled, report.faults.len()), (2, 2, 0), "{report:?}");
}
