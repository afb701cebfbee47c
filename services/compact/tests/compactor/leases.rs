//! Several compactors on one bucket: whatever becomes of them and whatever their clocks say, every block is merged and
//! downsampled exactly once, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tithon_compact::{Compactor, CompactorOptions, Leases, Report};

use crate::bed::{self, Spec, Summary};
use crate::faulty_store::{Fate, FaultyStore};

const LEASE_MS: i64 = 60_000;

/// A small generator of our own: the same numbers for the same seed everywhere.
fn seeded(seed: u64, n: u64) -> u64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ mixed >> 32).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) % n
}

/// Merges in three groups, one of which has replicas, and a block to be downsampled.
async fn bucket() -> InMemory {
    let mut specs = Vec::new();
    for (c, cluster) in ["a", "b"].into_iter().enumerate() {
        specs.extend(
            (0..5).map(|i| Spec::new((10 * c + i) as u64, (2 * i as i64, 2 * i as i64 + 2), cluster)),
        );
    }
    for (number, replica) in [(20, "a"), (21, "b")] {
        let mut spec = Spec::new(number, (0, 2), "replicas");
        spec.labels.push(("replica", replica));
        spec.shift = number as i64;
        specs.push(spec);
    }
    specs.push(Spec::new(30, (0, 40), "long"));
    bed::bucket_of(&specs).await
}

/// Simulated time, which passes with every request.
#[derive(Clone, Default)]
struct Time(Arc<AtomicI64>);

impl Time {
    /// What a clock that is wrong by `skew_ms` shows.
    fn clock(&self, skew_ms: i64) -> impl Fn() -> i64 + Send + Sync + 'static {
        let time = self.clone();
        move || bed::BASE + time.0.load(Ordering::SeqCst) + skew_ms
    }

    fn pass(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// A compactor that has the leases' flag.
fn worker(objects: &Arc<InMemory>, fate: Fate, time: &Time, seed: u64, dir: &std::path::Path) -> Compactor {
    // Up to three leases ahead or behind, which no two machines of a cluster are.
    let skew_ms = seeded(seed, 6 * LEASE_MS as u64) as i64 - 3 * LEASE_MS;
    let (passing, requests) = (time.clone(), AtomicU64::new(0));
    let store = FaultyStore::new(Arc::clone(objects), fate).with_hook(move || {
        // Mostly a moment; now and then longer than any lease.
        let number = requests.fetch_add(1, Ordering::SeqCst);
        let step = seeded(seed ^ number << 20, 100);
        passing.pass(if step == 0 { 2 * LEASE_MS } else { step as i64 * 20 });
        if step.is_multiple_of(3) {
            std::thread::yield_now();
        }
    });
    let options =
        CompactorOptions { replica_labels: vec!["replica".to_owned()], vertical: true, ..bed::options(dir) };
    let leases = Leases::new(format!("{seed}"), Duration::from_millis(LEASE_MS as u64), time.clock(skew_ms));
    bed::compactor(Arc::new(store), options).with_leases(leases)
}

/// The complete blocks, without ids.
async fn outcome(objects: &InMemory) -> Vec<Summary> {
    bed::summaries(&bed::objects(objects).await).into_iter().map(|(_, summary)| summary).collect()
}

/// Works until there is nothing to do.
async fn finish(objects: &Arc<InMemory>, time: &Time, seed: u64) -> Report {
    let mut last = Report::default();
    for round in 0..20 {
        // Whatever is held by compactors that are gone has run out by the clock of the next one.
        time.pass(10 * LEASE_MS);
        let dir = tempfile::tempdir().unwrap();
        last = worker(objects, Fate::Count, time, seed + round, dir.path()).iterate().await.unwrap();
        if last == Report::default() {
            break;
        }
    }
    last
}

async fn simulate(start: &InMemory, expected: &[Summary], seed: u64) {
    let (objects, time) = (Arc::new(start.fork()), Time::default());
    let workers = (0..4).map(|number| {
        let (objects, time) = (Arc::clone(&objects), time.clone());
        tokio::spawn(async move {
            for life in 0..3 {
                let seed = seed * 1_000 + number * 10 + life;
                let fate = match seeded(seed, 4) {
                    0 => Fate::Count,
                    die => Fate::DieAt { request: 1 + seeded(seed + 1, 300), after: die == 1 },
                };
                let dir = tempfile::tempdir().unwrap();
                let compactor = worker(&objects, fate, &time, seed, dir.path());
                // One that died has failed; the next one begins.
                drop(compactor.iterate().await);
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let last = finish(&objects, &time, seed * 1_000 + 500).await;
    assert_eq!(last, Report::default(), "seed {seed}: something is left to do");
    assert_eq!(outcome(&objects).await, expected, "seed {seed}");
}

/// Four compactors with clocks that are minutes apart, each killed at any request, their leases running out under them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_block_is_compacted_once_whatever_happens_to_the_workers() {
    let start = bucket().await;
    let alone = Arc::new(start.fork());
    finish(&alone, &Time::default(), 7).await;
    let expected = outcome(&alone).await;
    // Two merges of four blocks, one of two replicas, and a downsampled block.
    let made = expected.iter().filter(|block| block.level > 1 || block.resolution > 0);
    assert_eq!(made.count(), 4, "{expected:#?}");
    for seed in 0..60 {
        simulate(&start, &expected, seed).await;
    }
}

/// A compactor that was held up until somebody had its lease publishes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_compactor_that_lost_its_lease_publishes_nothing() {
    let objects = Arc::new(
        bed::bucket_of(
            &(0..5).map(|i| Spec::new(i, (2 * i as i64, 2 * i as i64 + 2), "a")).collect::<Vec<_>>(),
        )
        .await,
    );
    let (time, before) = (Time::default(), bed::objects(&objects).await);
    // Somebody else writes the lease whenever the slow one has uploaded an index.
    let (stolen, thief) = (Arc::clone(&objects), Arc::new(AtomicU64::new(0)));
    let store = FaultyStore::new(Arc::clone(&objects), Fate::Count).with_hook(move || {
        let has_index = |key: &str| key.ends_with("/index");
        let keys = futures::executor::block_on(bed::objects(&stolen));
        let indexes = keys.keys().filter(|key| has_index(key)).count();
        let lease = keys.iter().find(|(key, _)| key.starts_with("leases/"));
        if let Some((key, content)) = lease.filter(|_| indexes > 5) {
            if thief.fetch_add(1, Ordering::SeqCst) > 0 {
                return;
            }
            let mut content: serde_json::Value = serde_json::from_slice(content).unwrap();
            content["holder"] = "thief".into();
            content["nonce"] = "another".into();
            content["generation"] = 99.into();
            let path = Path::from(key.as_str());
            let put = stolen.put(&path, content.to_string().into_bytes().into());
            futures::executor::block_on(put).unwrap();
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let leases = Leases::new("slow".to_owned(), Duration::from_secs(60), time.clock(0));
    let compactor = bed::compactor(Arc::new(store), bed::options(dir.path())).with_leases(leases);
    let report = compactor.iterate().await.unwrap();
    assert!(report.is_unfinished(), "{report:?}");
    assert!(report.faults.iter().any(|fault| fault.what.contains("took the lease")), "{report:?}");
    let after = bed::objects(&objects).await;
    assert_eq!(bed::metas(&after).len(), bed::metas(&before).len());
    assert!(before.iter().all(|(key, bytes)| after.get(key) == Some(bytes)), "what was there is as it was");
}

const DAY_MS: i64 = 24 * 3_600_000;

/// The records of leases by their keys.
async fn records(objects: &InMemory) -> Vec<(String, serde_json::Value)> {
    let all = bed::objects(objects).await.into_iter().filter(|(key, _)| key.starts_with("leases/"));
    all.map(|(key, bytes)| (key, serde_json::from_slice(&bytes).unwrap())).collect()
}

async fn put_record(objects: &InMemory, key: &str, content: serde_json::Value) {
    let path = Path::from(format!("leases/{key}/1699488000000"));
    objects.put(&path, content.to_string().into_bytes().into()).await.unwrap();
}

/// Works once with a clock that is so many days ahead of the one by which the store tells when records were written.
async fn iterate_after(objects: &Arc<InMemory>, days: i64) -> Report {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let dir = tempfile::tempdir().unwrap();
    let leases = Leases::new("later".to_owned(), Duration::from_secs(60), move || now_ms + days * DAY_MS);
    let compactor = bed::compactor(Arc::clone(objects) as _, bed::options(dir.path())).with_leases(leases);
    compactor.iterate().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_nobody_had_for_a_week_are_removed() {
    let specs: Vec<Spec> = (0..5).map(|i| Spec::new(i, (2 * i as i64, 2 * i as i64 + 2), "a")).collect();
    let objects = Arc::new(bed::bucket_of(&specs).await);
    assert_eq!(iterate_after(&objects, 0).await.compacted, 1);
    let given_back = records(&objects).await;
    assert_eq!(given_back.len(), 1, "{given_back:?}");
    assert_eq!(given_back[0].1["holder"], "");

    let record = |holder: &str, more: serde_json::Value| {
        let mut record = serde_json::json!({
            "version": 1, "holder": holder, "generation": 3, "nonce": "1", "expires_ms": 0
        });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let nothing = || serde_json::json!({});
    put_record(&objects, "held", record("somebody", nothing())).await;
    // Whoever takes it next puts the block in its place.
    let publishing = serde_json::json!({"publishing": ["{}"]});
    put_record(&objects, "publishing", record("", publishing.clone())).await;
    // A compactor was killed between its two requests.
    put_record(&objects, "left", record("somebody", serde_json::json!({"removing": true}))).await;
    let keys = |records: Vec<(String, serde_json::Value)>| -> Vec<String> {
        records.iter().map(|(key, _)| key.split('/').nth(1).unwrap().to_owned()).collect()
    };
    assert_eq!(iterate_after(&objects, 6).await, Report::default());
    assert_eq!(records(&objects).await.len(), 4);
    iterate_after(&objects, 8).await;
    assert_eq!(keys(records(&objects).await), ["held", "publishing"]);
}

/// While a record is being removed nobody takes its lease: the store would remove that instead.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_record_is_being_removed_is_not_taken() {
    let specs: Vec<Spec> = (0..5).map(|i| Spec::new(i, (2 * i as i64, 2 * i as i64 + 2), "a")).collect();
    let objects = Arc::new(bed::bucket_of(&specs).await);
    iterate_after(&objects, 0).await;
    let (key, mut content) = records(&objects).await.remove(0);
    // The same merge again.
    let objects = Arc::new(bed::bucket_of(&specs).await);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    content["holder"] = "remover".into();
    content["removing"] = true.into();
    content["expires_ms"] = (now_ms + 3_600_000).into();
    objects.put(&Path::from(key), content.to_string().into_bytes().into()).await.unwrap();
    assert_eq!(iterate_after(&objects, 0).await.compacted, 0);
    assert_eq!(iterate_after(&objects, 1).await.compacted, 1);
}
