//! Requests to delete series: from the next sync on no answer has what they delete, and all the rest is as before.

#![allow(clippy::unwrap_used)]

mod bed;

use std::collections::BTreeMap;
use std::path::Path;

use futures::StreamExt;
use tithon_bucket::{Bucket, BucketConfig, DeletionRecord};
use tithon_chunks::{Sample, TimeRange, decode_exact};
use tithon_engine::plan::SeriesDeletion;
use tithon_engine::{BlockId, BlockMeta, LabelsRequest, SeriesRequest};
use tithon_index::{MatchOp, Matcher};
use tithon_runtime::Metrics;
use tithon_store::{Store, StoreOptions};
use tithon_storeapi::{SeriesPart, StoreApi};

fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).unwrap()
}

/// Raw samples of every series, by the text of its labels.
async fn samples(store: &Store, matchers: Vec<Matcher>) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let request = SeriesRequest { partial_response: false, ..SeriesRequest::new(matchers, TimeRange::ALL) };
    let mut parts = store.series(request);
    while let Some(part) = parts.next().await {
        let SeriesPart::Series(batch) = part.unwrap() else { continue };
        for series in batch.series {
            let of_series = all.entry(series.labels.to_string()).or_default();
            for chunk in &series.chunks {
                let mut decoded: Vec<Sample> = Vec::new();
                decode_exact(chunk.encoding, &chunk.data, &mut decoded).unwrap();
                of_series.extend(decoded.iter().map(|sample| format!("{} {:?}", sample.t.0, sample.value)));
            }
        }
    }
    all
}

fn everything() -> Vec<Matcher> {
    vec![matcher(MatchOp::Regex, "__name__", ".+")]
}

async fn labels(store: &Store, request: LabelsRequest) -> Vec<String> {
    let found = store.labels(request).await.unwrap().found;
    found.iter().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect()
}

fn metas(dir: &Path) -> Vec<BlockMeta> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path().join("meta.json"));
    entries.filter_map(|path| BlockMeta::parse(&std::fs::read(path).ok()?).ok()).collect()
}

fn record(number: u64, dir: &Path, selector: Vec<Matcher>, range: TimeRange) -> DeletionRecord {
    let raw = metas(dir).into_iter().filter(|meta| meta.resolution_ms() == 0);
    let deletion = SeriesDeletion {
        id: BlockId::from_parts(number, 1),
        selectors: vec![selector],
        range,
        data: SeriesDeletion::data_of(raw),
        include_later: false,
    };
    DeletionRecord { deletion, author: String::new(), reason: String::new(), done_ms: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_is_in_no_answer() {
    let dir = bed::bucket_of(&["replica-a"]);
    let config = BucketConfig::filesystem(dir.path());
    let kept = tempfile::tempdir().unwrap();
    let mapped = Bucket::open(&config).unwrap();
    let remote = Bucket::open(&config).unwrap().with_headers(kept.path().to_owned()).unwrap().by_ranges();
    for bucket in [mapped, remote] {
        let metrics = Metrics::new("0");
        let store = bed::store_with(bucket.clone(), StoreOptions::default(), &metrics).await;
        // What is kept between calls must not show what is deleted.
        let all = samples(&store, everything()).await;
        let up = || vec![matcher(MatchOp::Equal, "__name__", "up")];
        for _ in 0..3 {
            assert!(!samples(&store, up()).await.is_empty());
        }
        let times: Vec<i64> =
            all.values().flatten().map(|s| s.split(' ').next().unwrap().parse().unwrap()).collect();
        let (min, max) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
        let (from, until) = (min + (max - min) / 3 + 1, min + (max - min) / 2);
        let whole = record(1, dir.path(), up(), TimeRange::ALL);
        let some =
            vec![matcher(MatchOp::NotEqual, "__name__", "up"), matcher(MatchOp::Regex, "__name__", ".*s.*")];
        let part = record(2, dir.path(), some, TimeRange::new(from, until));
        for record in [&whole, &part] {
            bucket.put_deletion(record).await.unwrap();
        }
        assert_eq!(samples(&store, everything()).await, all, "a request counts from the next sync on");
        store.sync().await.unwrap();
        let is_left = |labels: &str, sample: &&String| {
            let t: i64 = sample.split(' ').next().unwrap().parse().unwrap();
            let name = labels.split("__name__=\"").nth(1).unwrap().split('"').next().unwrap();
            name != "up" && !(name.contains('s') && (from..=until).contains(&t))
        };
        let expected: BTreeMap<String, Vec<String>> = all
            .iter()
            .map(|(labels, samples)| {
                (labels.clone(), samples.iter().filter(|s| is_left(labels, s)).cloned().collect::<Vec<_>>())
            })
            .filter(|(_, samples)| !samples.is_empty())
            .collect();
        assert!(expected.len() < all.len());
        assert_eq!(samples(&store, everything()).await, expected);
        assert!(samples(&store, up()).await.is_empty());
        let names = |matchers| LabelsRequest::values("__name__", matchers, TimeRange::ALL);
        for matchers in [vec![], everything()] {
            let found = labels(&store, names(matchers)).await;
            assert!(!found.contains(&"up".to_owned()) && !found.is_empty(), "{found:?}");
        }
        assert!(labels(&store, LabelsRequest::names(up(), TimeRange::ALL)).await.is_empty());
        let text = metrics.text();
        assert!(text.contains("tithon_store_deletions 2\n"), "{text}");
        // What open blocks keep of it counts as memory, with no call under way.
        eventually(|| held_bytes(&metrics) > 0).await;
        // A store that starts knows them too.
        let other = bed::store_of(bucket.clone(), StoreOptions::default()).await;
        assert_eq!(samples(&other, everything()).await, expected);
        for record in [&whole, &part] {
            assert!(bucket.cancel_deletion(record.deletion.id).await.unwrap());
        }
        store.sync().await.unwrap();
        assert_eq!(samples(&store, everything()).await, all);
        assert!(labels(&store, names(vec![])).await.contains(&"up".to_owned()));
        eventually(|| held_bytes(&metrics) == 0).await;
    }
}

fn held_bytes(metrics: &Metrics) -> u64 {
    let text = metrics.text();
    let value = text.lines().find_map(|line| line.strip_prefix("tithon_store_held_bytes "));
    value.unwrap().parse().unwrap()
}

/// Waits until something is so: tasks of calls may end after their answers.
async fn eventually(is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it does not come about");
}

/// A request that cannot be read is passed over, and told.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_request_is_told() {
    let dir = bed::bucket_of(&["replica-a"]);
    std::fs::create_dir(dir.path().join("deletions")).unwrap();
    std::fs::write(dir.path().join("deletions/01HRQZZZZZ0000000000000000.json"), "{").unwrap();
    let metrics = Metrics::new("0");
    let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
    let store = bed::store_with(bucket, StoreOptions::default(), &metrics).await;
    assert!(!samples(&store, everything()).await.is_empty());
    assert!(metrics.text().contains("tithon_store_deletions_unreadable 1\n"));
}
