//! Blocks are opened on demand and closed when idle, and a block found damaged does not hide data that others hold.

#![allow(clippy::unwrap_used)]

mod bed;

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use tithon_bucket::{Bucket, BucketConfig};
use tithon_chunks::TimeRange;
use tithon_engine::{LabelsRequest, SeriesRequest};
use tithon_index::{MatchOp, Matcher};
use tithon_runtime::Metrics;
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::{SeriesPart, StoreApi};
use tower::ServiceExt;

fn matching(name: &str, value: &str) -> SeriesRequest {
    SeriesRequest::new(vec![Matcher::new(MatchOp::Equal, name, value).unwrap()], TimeRange::ALL)
}

/// Number of series and warnings.
async fn select(store: &Store, request: SeriesRequest) -> (usize, Vec<String>) {
    let (mut series, mut warnings) = (0, Vec::new());
    let mut parts = store.series(request);
    while let Some(part) = parts.next().await {
        match part.unwrap() {
            SeriesPart::Series(batch) => series += batch.series.len(),
            SeriesPart::Warning(warning) => warnings.push(warning),
            SeriesPart::Lease(_) => {}
        }
    }
    (series, warnings)
}

fn value_of(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn n_open(metrics: &Metrics) -> u64 {
    value_of(metrics, "tithon_store_blocks_open")
}

fn bucket(dir: &Path, kept: &Path) -> Bucket {
    Bucket::open(&BucketConfig::filesystem(dir)).unwrap().with_headers(kept.to_owned()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_open_at_first_use_and_close_when_idle() {
    let (dir, kept) = (bed::bucket_of(&["replica-a"]), tempfile::tempdir().unwrap());
    let idle_timeout = Duration::from_millis(1);
    for by_ranges in [false, true] {
        let (options, metrics) =
            (StoreOptions { idle_timeout, ..StoreOptions::default() }, Metrics::new("0"));
        let bucket = bucket(dir.path(), kept.path());
        let bucket = if by_ranges { bucket.by_ranges() } else { bucket };
        let store = bed::store_with(bucket, options, &metrics).await;
        assert_eq!((store.n_blocks(), n_open(&metrics)), (6, 0));
        let info = store.info().unwrap();
        assert!(!info.label_sets.is_empty() && info.range.min < info.range.max);
        assert_eq!(n_open(&metrics), 0, "what the store has is known without opening a block");
        let begin = TimeRange::new(info.range.min.0, info.range.min.0 + 600_000);
        let up = || SeriesRequest { range: begin, ..matching("__name__", "up") };
        let (all, warnings) = select(&store, up()).await;
        assert!(all > 0 && warnings.is_empty());
        let opened = n_open(&metrics);
        assert!(opened > 0 && opened < 6, "{opened} of 6: a request opens what it needs");
        store.labels(LabelsRequest::names(vec![], TimeRange::ALL)).await.unwrap();
        assert_eq!(n_open(&metrics), 6);
        // An answer that is not read to its end holds its blocks.
        let mut parts = store.series(up());
        let lease = parts.next().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(store.close_idle_blocks() as u64, 6 - opened);
        assert_eq!(n_open(&metrics), opened);
        drop((parts, lease));
        while n_open(&metrics) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            store.close_idle_blocks();
        }
        assert_eq!(value_of(&metrics, "thanos_bucket_store_indexheader_lazy_unload_total"), 6);
        // Label filters are kept, so a matcher that excludes all blocks opens none.
        assert_eq!(select(&store, matching("__name__", "no such metric")).await.0, 0);
        assert_eq!(n_open(&metrics), 0);
        assert_eq!(select(&store, up()).await, (all, vec![]));
        assert_eq!(n_open(&metrics), opened);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_open_a_block_once() {
    let dir = bed::bucket_of(&["replica-a"]);
    let metrics = Metrics::new("0");
    let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
    let store = bed::store_with(bucket, StoreOptions::default(), &metrics).await;
    let calls = (0..40).map(|_| select(&store, matching("__name__", "up")));
    let answers = futures::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer == &answers[0] && answer.0 > 0));
    assert_eq!(value_of(&metrics, "thanos_bucket_store_block_loads_total"), n_open(&metrics));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_is_damaged_later_gives_its_sources_back() {
    let dir = bed::bucket_of(&["replica-a"]);
    let ids: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let meta_of = |id: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(dir.path().join(id).join("meta.json")).unwrap()).unwrap()
    };
    let raw: Vec<_> =
        ids.iter().map(|id| meta_of(id)).filter(|m| m["thanos"]["downsample"]["resolution"] == 0).collect();
    let before = bed::store_over(dir.path(), StoreOptions::default()).await;
    let (all, _) = select(&before, matching("__name__", "up")).await;
    // A copy of one block whose meta lists all blocks as its sources; it can be opened.
    let (from, successor) = (raw[0]["ulid"].as_str().unwrap(), "01HRQZZZZZ0000000000000000");
    tithon_testdata::copy_dir(&dir.path().join(from), &dir.path().join(successor));
    let mut meta = raw[0].clone();
    meta["ulid"] = successor.into();
    let sources = raw.iter().flat_map(|m| m["compaction"]["sources"].as_array().unwrap().clone());
    meta["compaction"]["sources"] = sources.collect::<Vec<_>>().into();
    let file = |name: &str| dir.path().join(successor).join(name);
    std::fs::write(file("meta.json"), meta.to_string()).unwrap();
    let metrics = Metrics::new("0");
    let options = StoreOptions { idle_timeout: Duration::from_millis(1), ..StoreOptions::default() };
    let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
    let store = bed::store_with(bucket, options, &metrics).await;
    // The sync opened it before it dropped the sources; afterwards nothing held it open.
    assert_eq!((store.n_blocks(), n_open(&metrics)), (ids.len() + 1 - raw.len(), 1));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((store.close_idle_blocks(), n_open(&metrics)), (1, 0));
    std::fs::write(file("index"), b"damaged").unwrap();
    let (some, warnings) = select(&store, matching("__name__", "up")).await;
    assert!(some < all && warnings.len() == 1, "{some} of {all}, {warnings:?}");
    assert!(warnings[0].contains(successor) && warnings[0].contains("index"), "{warnings:?}");
    assert_eq!(value_of(&metrics, "tithon_store_blocks_faulty"), 1);
    while store.n_blocks() < ids.len() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(select(&store, matching("__name__", "up")).await, (all, vec![]));
    assert_eq!(value_of(&metrics, "tithon_store_blocks_faulty"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_web_api_lists_what_is_served() {
    let dir = bed::bucket_of(&["replica-a"]);
    let store = bed::store_over(dir.path(), StoreOptions::default()).await;
    let ask = async |uri: &str| -> serde_json::Value {
        let request = axum::http::Request::get(uri).body(axum::body::Body::empty()).unwrap();
        let response = store.router("", true).oneshot(request).await.unwrap();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        serde_json::from_slice(&body).unwrap()
    };
    let answer = ask("/api/v1/blocks?view=loaded").await;
    assert_eq!((&answer["status"], &answer["data"]["err"]), (&"success".into(), &serde_json::Value::Null));
    let blocks = answer["data"]["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 6);
    let meta = dir.path().join(blocks[0]["ulid"].as_str().unwrap()).join("meta.json");
    let meta = tithon_engine::BlockMeta::parse(&std::fs::read(meta).unwrap()).unwrap();
    assert_eq!(blocks[0], serde_json::to_value(&meta).unwrap());
    assert!(answer["data"]["refreshedAt"].as_str().unwrap().starts_with("20"), "{answer}");
    let global = ask("/api/v1/blocks").await;
    assert_eq!(global["data"]["refreshedAt"], "0001-01-01T00:00:00Z");
    assert_eq!(global["data"]["blocks"].as_array().unwrap().len(), 0);
}
