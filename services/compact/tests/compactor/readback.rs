//! Nothing is given up for a block that cannot be read back: neither marked after an upload that went wrong, nor deleted
//! after the delay.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use tithon_bucket::{Mark, MarkKind};
use tithon_compact::{CompactorOptions, Report, Verify};
use tithon_engine::{BlockId, BlockMeta};

use crate::bed::{self, Spec};
use crate::faulty_store::{Fate, FaultyStore};

fn specs() -> Vec<Spec> {
    (0..5).map(|i| Spec::new(i as u64, (2 * i, 2 * i + 2), "a")).collect()
}

/// A bucket of five adjacent blocks, of which the first four are to be merged.
async fn bucket() -> Arc<InMemory> {
    Arc::new(bed::bucket_of(&specs()).await)
}

async fn iterate(store: &Arc<InMemory>, fate: Fate, change: impl FnOnce(&mut CompactorOptions)) -> Report {
    let dir = tempfile::tempdir().unwrap();
    let mut options = CompactorOptions { delete_delay: Duration::ZERO, ..bed::options(dir.path()) };
    change(&mut options);
    let store = FaultyStore::new(Arc::clone(store), fate);
    bed::compactor(Arc::new(store), options).iterate().await.unwrap()
}

async fn blocks(store: &InMemory) -> Vec<BlockMeta> {
    bed::metas(&bed::objects(store).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_delay_sources_go_in_the_run_that_merged_them() {
    for streaming in [false, true] {
        let store = bucket().await;
        let report = iterate(&store, Fate::Count, |options| options.streaming = streaming).await;
        assert_eq!((report.compacted, report.deleted, report.faults.len()), (1, 4, 0), "{report:?}");
        assert_eq!(blocks(&store).await.len(), 2);
    }
}

/// An upload that is not what was written: in a checksum, in a chunk's data, in the index, or shorter.
#[tokio::test(flavor = "multi_thread")]
async fn sources_stay_when_an_upload_went_wrong() {
    let fates = [
        Fate::Flips { key: "/chunks/", from_end: 1 },
        Fate::Flips { key: "/chunks/", from_end: 40 },
        Fate::Truncates { key: "/chunks/" },
        Fate::Flips { key: "/index", from_end: 900 },
        Fate::Truncates { key: "/index" },
    ];
    for (fate, streaming) in fates.into_iter().flat_map(|fate| [(fate, false), (fate, true)]) {
        let store = bucket().await;
        let before = bed::objects(&store).await;
        let report = iterate(&store, fate, |options| options.streaming = streaming).await;
        assert!(report.is_unfinished(), "{fate:?}: {report:?}");
        assert_eq!((report.compacted, report.marked_for_deletion), (0, 0), "{fate:?}: {report:?}");
        assert_eq!(bed::objects(&store).await, before, "{fate:?}: the bucket is as it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_not_read_back_unless_asked_for() {
    let fate = Fate::Flips { key: "/chunks/", from_end: 40 };
    let report = iterate(&bucket().await, fate, |options| options.verify = Verify::Index).await;
    assert_eq!((report.compacted, report.faults.len()), (1, 0), "{report:?}");
}

/// Merges, then damages the successor, then lets the delay of its sources pass, whose marks are old by then.
async fn delete_after(damage: impl AsyncFnOnce(&InMemory, &BlockMeta)) -> (usize, Vec<BlockMeta>) {
    let store = bucket().await;
    iterate(&store, Fate::Count, |options| options.delete_delay = Duration::from_secs(3600)).await;
    let made = blocks(&store).await.into_iter().find(|meta| meta.compaction.level == 2).unwrap();
    for spec in &specs()[..4] {
        let bytes = bed::get(&store, spec.id(), MarkKind::Deletion.file()).await.unwrap();
        let mut mark: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(mark["replaced_by"], serde_json::json!([made.ulid.to_string()]));
        mark["deletion_time"] = (bed::BASE / 1000).into();
        bed::put(&store, spec.id(), MarkKind::Deletion.file(), mark.to_string().into()).await;
    }
    damage(&store, &made).await;
    let report = iterate(&store, Fate::Count, |_| {}).await;
    (report.deleted, blocks(&store).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_deleted_once_their_successor_was_read_back() {
    assert_eq!(delete_after(async |_, _| {}).await.0, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_stay_when_their_successor_is_damaged_or_gone() {
    async fn flip(store: &InMemory, made: &BlockMeta, name: &str, at: usize) {
        let mut bytes = bed::get(store, made.ulid, name).await.unwrap().to_vec();
        bytes[at] ^= 1;
        bed::put(store, made.ulid, name, bytes).await;
    }
    let (deleted, left) =
        delete_after(async |store, made| flip(store, made, "chunks/000001", 60).await).await;
    assert_eq!((deleted, left.len()), (0, 6));
    let (deleted, left) = delete_after(async |store, made| flip(store, made, "index", 400).await).await;
    assert_eq!((deleted, left.len()), (0, 6));
    let gone = async |store: &InMemory, made: &BlockMeta| {
        bed::delete(store, made.ulid, "chunks/000001").await;
    };
    assert_eq!(delete_after(gone).await.0, 0);
    let gone = async |store: &InMemory, made: &BlockMeta| {
        for name in ["meta.json", "index", "chunks/000001"] {
            bed::delete(store, made.ulid, name).await;
        }
    };
    let (deleted, left) = delete_after(gone).await;
    assert_eq!((deleted, left.len()), (0, 5));
    let marked = async |store: &InMemory, made: &BlockMeta| mark(store, made.ulid, "by hand").await;
    // The successor itself goes, as it is marked by hand; its sources are all that is left.
    let (deleted, left) = delete_after(marked).await;
    assert_eq!((deleted, left.len()), (1, 5));
}

async fn mark(store: &InMemory, block: BlockId, details: &str) {
    let (kind, details) = (MarkKind::Deletion, details.to_owned());
    let mark =
        Mark { kind, block, details, time_s: bed::BASE / 1000, reason: String::new(), replaced_by: vec![] };
    bed::put(store, block, kind.file(), mark.to_json()).await;
}

/// Marks of other kinds, and those of Thanos whose successor is not known, are none of this.
#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_nothing_replaces_are_deleted_as_before() {
    let store = bucket().await;
    for (spec, details) in specs().iter().zip(["by hand", "block exceeding retention of 1h0m0s", ""]) {
        mark(&store, spec.id(), details).await;
    }
    mark(&store, specs()[3].id(), "source of compacted block").await;
    let report = iterate(&store, Fate::Count, |_| {}).await;
    assert_eq!((report.deleted, blocks(&store).await.len()), (4, 1), "{report:?}");
}
