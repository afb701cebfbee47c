//! The cache of what matchers select: the same answers, fewer looks at the index, and nothing is left of blocks that go. Bytes
//! that a call may read.

#![allow(clippy::unwrap_used)]

mod bed;

use futures::StreamExt;
use tithon_bucket::{Bucket, BucketConfig};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesRequest};
use tithon_index::{MatchOp, Matcher};
use tithon_runtime::Metrics;
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::{SeriesPart, StoreApi, StoreApiError};

fn matchers() -> Vec<Matcher> {
    let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
    vec![matcher(MatchOp::Regex, "job", ".+e.*"), matcher(MatchOp::NotEqual, "__name__", "up")]
}

async fn ask(store: &Store, request: SeriesRequest) -> Result<Vec<SelectedSeries>, StoreApiError> {
    let (mut series, mut parts) = (Vec::new(), store.series(request));
    while let Some(part) = parts.next().await {
        if let SeriesPart::Series(batch) = part? {
            series.extend(batch.series);
        }
    }
    Ok(series)
}

/// The value of a metric of the cache.
fn value(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.text();
    let line = text.lines().find(|line| line.starts_with(&format!("thanos_store_index_cache_{name}")));
    line.and_then(|line| line.rsplit_once(' ')).map_or(0, |(_, value)| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_matchers_are_looked_up_once() {
    let dir = bed::bucket_of(&["replica-a"]);
    let metrics = Metrics::new("0");
    let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
    let store = bed::store_with(bucket, StoreOptions::default(), &metrics).await;
    let without =
        bed::store_over(dir.path(), StoreOptions { index_cache_bytes: 0, ..StoreOptions::default() }).await;
    let request = || SeriesRequest::new(matchers(), TimeRange::ALL);
    let expected = ask(&without, request()).await.unwrap();
    assert!(!expected.is_empty());
    assert_eq!(ask(&store, request()).await.unwrap(), expected);
    let (asked, items) = (value(&metrics, "requests_total"), value(&metrics, "items{"));
    assert!(items > 0 && asked == items && value(&metrics, "hits_total") == 0, "{}", metrics.text());
    let reversed = SeriesRequest { matchers: matchers().into_iter().rev().collect(), ..request() };
    assert_eq!(ask(&store, reversed).await.unwrap(), expected);
    let limited = SeriesRequest { limit: 3, ..request() };
    assert_eq!(ask(&store, limited).await.unwrap().len(), 3);
    assert_eq!(value(&metrics, "hits_total"), 2 * items);
    assert_eq!(value(&metrics, "items{"), items);
    for block in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::remove_dir_all(block.unwrap().path()).unwrap();
    }
    store.sync().await.unwrap();
    assert!(ask(&store, request()).await.unwrap().is_empty());
    assert_eq!((value(&metrics, "items{"), value(&metrics, "total_size_bytes")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reads_no_more_bytes_than_it_may() {
    let dir = bed::bucket_of(&["replica-a"]);
    let with = |downloaded_bytes_max| StoreOptions { downloaded_bytes_max, ..StoreOptions::default() };
    for by_ranges in [false, true] {
        let bucket = || {
            let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
            if by_ranges { bucket.by_ranges() } else { bucket }
        };
        let request = || SeriesRequest::new(matchers(), TimeRange::ALL);
        let enough = bed::store_of(bucket(), with(1 << 30)).await;
        assert!(!ask(&enough, request()).await.unwrap().is_empty());
        let little = bed::store_of(bucket(), with(2_000)).await;
        let error = ask(&little, request()).await.unwrap_err();
        let is_told = |error: &StoreApiError| {
            assert_eq!(error.kind(), ErrorKind::LimitExceeded);
            let text = error.to_string();
            assert!(
                text.starts_with("exceeded bytes limit while reading index and chunks: limit 2000"),
                "{text}"
            );
        };
        is_told(&error);
        let names = LabelsRequest::names(matchers(), TimeRange::ALL);
        is_told(&little.labels(names).await.unwrap_err());
    }
}
