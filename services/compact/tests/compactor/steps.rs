//! Single steps: what is deleted and what is not, whose marks count, which blocks are ours.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use tithon_bucket::{Bucket, Mark, MarkKind, parse_selector};
use tithon_compact::{Compactor, CompactorOptions};
use tithon_engine::BlockId;
use tithon_engine::plan::NoCompactReason;
use tithon_engine::plan::TimeBound;
use tithon_runtime::{Cpu, Metrics, Shutdown};

use crate::bed::{self, Spec};
use crate::faulty_store::{Fate, FaultyStore};

fn adjacent(cluster: &'static str, from: u64) -> Vec<Spec> {
    (0..5).map(|i| Spec::new(from + i, (2 * i as i64, 2 * i as i64 + 2), cluster)).collect()
}

fn mark(kind: MarkKind, block: BlockId) -> Vec<u8> {
    let reason = NoCompactReason::Manual.to_string();
    Mark { kind, block, details: String::new(), time_s: bed::BASE / 1000, reason, replaced_by: vec![] }
        .to_json()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_kept_while_its_successor_is_not_whole() {
    let specs = adjacent("a", 0);
    let store = Arc::new(bed::bucket_of(&specs).await);
    let dir = tempfile::tempdir().unwrap();
    let compactor = || bed::compactor(Arc::clone(&store) as _, bed::options(dir.path()));
    assert_eq!(compactor().iterate().await.unwrap().compacted, 1);
    let objects = bed::objects(&store).await;
    let made = bed::metas(&objects).into_iter().find(|meta| meta.compaction.level == 2).unwrap();
    // The sources lose their marks, and the block that was made its index.
    let index = bed::get(&store, made.ulid, "index").await.unwrap();
    for spec in &specs[..4] {
        bed::delete(&store, spec.id(), "deletion-mark.json").await;
    }
    bed::delete(&store, made.ulid, "index").await;
    let report = compactor().iterate().await.unwrap();
    assert_eq!(report.marked_for_deletion, 0, "{report:?}");
    assert!(report.faults.iter().all(|fault| fault.block == Some(made.ulid)), "{report:?}");
    assert_eq!(report.faults.len(), 4, "{report:?}");
    bed::put(&store, made.ulid, "index", index.to_vec()).await;
    let report = compactor().iterate().await.unwrap();
    assert_eq!((report.marked_for_deletion, report.faults.len()), (4, 0), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_of_other_blocks_and_versions() {
    let specs = adjacent("a", 0);
    let store = Arc::new(bed::bucket_of(&[specs.clone(), adjacent("b", 10)].concat()).await);
    let foreign = mark(MarkKind::Deletion, specs[1].id());
    bed::put(&store, specs[0].id(), "deletion-mark.json", foreign).await;
    bed::put(&store, specs[3].id(), "no-compact-mark.json", b"{\"id\":".to_vec()).await;
    let version = br#"{"id":"x","version":2,"deletion_time":1}"#.to_vec();
    bed::put(&store, adjacent("b", 10)[4].id(), "deletion-mark.json", version).await;
    let dir = tempfile::tempdir().unwrap();
    let report = bed::compactor(Arc::clone(&store) as _, bed::options(dir.path())).iterate().await.unwrap();
    // A block of a version that is not known is left out, so that group lacks its newest block.
    assert_eq!((report.compacted, report.deleted), (1, 0), "{report:?}");
    assert_eq!(report.faults.len(), 1);
    assert!(report.faults[0].what.contains("marker version 2 is not supported"), "{report:?}");
    for spec in &specs {
        assert!(bed::get(&store, spec.id(), "meta.json").await.is_some());
    }
    // The foreign mark did not stand in the way of the block's own.
    let own = bed::get(&store, specs[0].id(), "deletion-mark.json").await.unwrap();
    assert!(String::from_utf8_lossy(&own).contains(&specs[0].id().to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_blocks_are_touched() {
    let specs = [adjacent("a", 0), adjacent("b", 10)].concat();
    let check = async |change: &dyn Fn(&mut CompactorOptions), compacted: usize| {
        let store = Arc::new(bed::bucket_of(&specs).await);
        let dir = tempfile::tempdir().unwrap();
        let mut options = bed::options(dir.path());
        change(&mut options);
        let report = bed::compactor(store, options).iterate().await.unwrap();
        assert_eq!((report.compacted, report.faults.len()), (compacted, 0), "{report:?}");
    };
    check(&|_| {}, 2).await;
    let keep = "[{action: keep, source_labels: [cluster], regex: b}]";
    check(&|options| options.scope.rules = parse_selector(keep).unwrap(), 1).await;
    check(&|options| options.scope.max_time = TimeBound::At(bed::BASE - 1), 0).await;
    check(&|options| options.scope.min_time = TimeBound::FromNow(-bed::HOUR), 0).await;
    check(&|options| options.scope.consistency_delay_ms = 1000 << 31, 0).await;
    check(&|options| options.levels_ms.truncate(1), 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_too_large_is_left_out_and_marked() {
    let specs = adjacent("a", 0);
    let store = Arc::new(bed::bucket_of(&specs).await);
    let dir = tempfile::tempdir().unwrap();
    let options = CompactorOptions { index_bytes_max: 1, ..bed::options(dir.path()) };
    let report = bed::compactor(Arc::clone(&store) as _, options).iterate().await.unwrap();
    assert_eq!(report.compacted, 0);
    assert!(!report.faults.is_empty() && report.faults.iter().all(|fault| fault.marked), "{report:?}");
    let mark = bed::get(&store, report.faults[0].block.unwrap(), "no-compact-mark.json").await.unwrap();
    assert!(String::from_utf8_lossy(&mark).contains("\"reason\":\"index-size-exceeding\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn halting_stops_at_the_first_fault() {
    let specs = [adjacent("a", 0), adjacent("b", 10)].concat();
    let store = Arc::new(bed::bucket_of(&specs).await);
    bed::put(&store, specs[0].id(), "meta.json", b"{".to_vec()).await;
    let dir = tempfile::tempdir().unwrap();
    let options = CompactorOptions { halt_on_error: true, ..bed::options(dir.path()) };
    let report = bed::compactor(store, options).iterate().await.unwrap();
    assert_eq!((report.compacted, report.faults.len()), (0, 1), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scratch_space_that_cannot_be_used_is_an_error() {
    let store = Arc::new(bed::bucket_of(&adjacent("a", 0)).await);
    let file = tempfile::NamedTempFile::new().unwrap();
    let result = bed::compactor(Arc::clone(&store) as _, bed::options(file.path())).iterate().await;
    match result {
        Err(error) => assert!(error.to_string().contains(file.path().to_str().unwrap()), "{error}"),
        Ok(report) => assert!(report.is_unfinished(), "{report:?}"),
    }
    assert!(bed::get(&store, adjacent("a", 0)[0].id(), "deletion-mark.json").await.is_none());
}

/// Requests of the first iteration, which merges one group of four blocks, and of the next; `others` are groups without work.
async fn requests_beside(others: u64) -> (u64, u64) {
    let mut specs = adjacent("a", 0);
    specs.extend((0..others).map(|i| Spec::new(100 + i, (0, 2), format!("other-{i}").leak())));
    let store = Arc::new(bed::bucket_of(&specs).await);
    let (dir, counting) = (tempfile::tempdir().unwrap(), FaultyStore::new(store, Fate::Count));
    let compactor = bed::compactor(Arc::new(counting.clone()), bed::options(dir.path()));
    // Metas are read once: that is the work of the first look.
    compactor.iterate().await.unwrap();
    let first = counting.requests();
    let report = compactor.iterate().await.unwrap();
    assert_eq!((report.compacted, report.faults.len()), (0, 0), "{report:?}");
    (first, counting.requests() - first)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steady_bucket_costs_one_listing_and_changes_cost_what_they_are() {
    let (few, many) = (requests_beside(0).await, requests_beside(40).await);
    assert_eq!((few.1, many.1), (1, 1));
    // A meta.json more for each block, and nothing else.
    assert_eq!(many.0 - few.0, 40);
}

/// Blocks without external labels are sound, but what is made of them is refused at every upload.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_fails_twice_on_sound_blocks_is_given_up() {
    for streaming in [false, true] {
        let unlabelled = adjacent("a", 0).into_iter().map(|spec| Spec { labels: Vec::new(), ..spec });
        let specs: Vec<Spec> = unlabelled.chain(adjacent("b", 10)).collect();
        let (store, dir) = (Arc::new(bed::bucket_of(&specs).await), tempfile::tempdir().unwrap());
        let metrics = Metrics::new("0");
        let compactor = Compactor::new(
            Bucket::from_store(Arc::clone(&store) as _, ""),
            CompactorOptions { streaming, ..bed::options(dir.path()) },
            Cpu::new(1).unwrap(),
            &metrics,
            Shutdown::default(),
            true,
        );
        let count = |name: &str| -> f64 {
            let text = metrics.text();
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap().parse().unwrap()
        };
        for (round, (failures, given_up)) in [(1.0, 0.0), (2.0, 1.0), (2.0, 1.0)].into_iter().enumerate() {
            let report = compactor.iterate().await.unwrap();
            assert_eq!(report.compacted, usize::from(round == 0), "{report:?}");
            let of_plan = report.faults.iter().filter(|fault| fault.what.contains("without external labels"));
            assert_eq!(of_plan.count(), 4, "round {round}: {report:?}");
            assert!(report.faults.iter().all(|fault| !fault.marked && !fault.unfinished), "{report:?}");
            let failed = count("thanos_compact_group_compactions_failures_total{resolution=\"0\"}");
            assert_eq!((failed, count("tithon_compact_plans_given_up_total")), (failures, given_up));
        }
        // A new block is another plan, which is tried.
        let more = Spec { labels: Vec::new(), ..Spec::new(20, (0, 2), "a") };
        let added = bed::objects(&bed::bucket_of(&[more]).await).await;
        for (key, bytes) in added {
            store.put(&object_store::path::Path::from(key), bytes.into()).await.unwrap();
        }
        bed::delete(&store, specs[0].id(), "meta.json").await;
        compactor.iterate().await.unwrap();
        assert_eq!(count("thanos_compact_group_compactions_failures_total{resolution=\"0\"}"), 3.0);
    }
}

/// The same for downsampling: a block of two days without external labels.
#[tokio::test(flavor = "multi_thread")]
async fn a_downsampling_that_is_refused_twice_is_given_up() {
    let unlabelled = |number| Spec { labels: Vec::new(), ..Spec::new(number, (0, 48), "a") };
    let (store, dir) = (Arc::new(bed::bucket_of(&[unlabelled(0)]).await), tempfile::tempdir().unwrap());
    let metrics = Metrics::new("0");
    let compactor = Compactor::new(
        Bucket::from_store(Arc::clone(&store) as _, ""),
        bed::options(dir.path()),
        Cpu::new(1).unwrap(),
        &metrics,
        Shutdown::default(),
        true,
    );
    let count = |name: &str| -> f64 {
        let text = metrics.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap().parse().unwrap()
    };
    let failures = || count("thanos_compact_downsample_failures_total{resolution=\"0\"}");
    // A run looks twice for what is due: the second time is the last.
    for is_given_up in [false, true, true] {
        let before = bed::objects(&store).await;
        let report = compactor.downsample().await.unwrap();
        assert_eq!((report.downsampled, report.faults.len()), (0, 2), "{report:?}");
        for fault in &report.faults {
            assert!(fault.what.contains("without external labels"), "{fault:?}");
            assert_eq!(fault.what.contains("is not tried again"), is_given_up, "{fault:?}");
            assert!(!fault.marked && !fault.unfinished, "{fault:?}");
        }
        assert_eq!((failures(), count("tithon_compact_plans_given_up_total")), (2.0, 1.0));
        assert_eq!(bed::objects(&store).await, before, "nothing is left of what was refused");
    }
    // Another block is another round, which is tried.
    for (key, bytes) in bed::objects(&bed::bucket_of(&[unlabelled(1)]).await).await {
        store.put(&object_store::path::Path::from(key), bytes.into()).await.unwrap();
    }
    compactor.downsample().await.unwrap();
    assert_eq!(failures(), 4.0);
}
