//! A data directory as a store: external labels, limits, blocks that are cut while it is asked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::TryStreamExt;
use tithon_chunks::{ErrorKind, SampleBatch, TimeRange, decode_floats};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesRequest, SeriesShard};
use tithon_index::{Labels, MatchOp, Matcher};
use tithon_runtime::{Cpu, Metrics, Shutdown};
use tithon_storeapi::{Apis, SeriesPart, StoreApi, StoreApiError};
use tithon_tsdb::{NewSample, NewValue, Tsdb, TsdbOptions, TsdbStore};

async fn open(dir: &std::path::Path, registry: &Metrics) -> Tsdb {
    let options = TsdbOptions {
        dir: dir.to_owned(),
        block_duration: Duration::from_secs(60),
        retention: Duration::from_secs(3600),
        wal_compression: true,
        has_lock: true,
    };
    Tsdb::open(options, Cpu::new(1).unwrap(), registry).await.unwrap()
}

fn store(tsdb: &Tsdb) -> TsdbStore {
    let external = Labels::from_pairs([("cluster", "eu"), ("replica", "a")]);
    TsdbStore::new(tsdb.clone(), "rule", external, Apis { store: true, ..Apis::default() })
}

/// A sample each second of six series of two jobs.
fn append(tsdb: &Tsdb, seconds: std::ops::Range<i64>) {
    let names: Vec<Labels> = (0..6)
        .map(|i| Labels::from_pairs([("__name__", "m"), ("i", &i.to_string()), ("job", ["x", "y"][i % 2])]))
        .collect();
    for second in seconds {
        let sample = |labels| NewSample { labels, t: second * 1000, value: NewValue::Float(second as f64) };
        assert_eq!(tsdb.append(names.iter().map(sample)).unwrap(), []);
    }
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Matcher {
    Matcher::new(op, name, value).unwrap()
}

fn all() -> SeriesRequest {
    SeriesRequest::new(vec![matcher(MatchOp::Equal, "__name__", "m")], TimeRange::ALL)
}

async fn select(store: &TsdbStore, request: SeriesRequest) -> Result<Vec<SelectedSeries>, StoreApiError> {
    let parts: Vec<SeriesPart> = store.series(request).try_collect().await?;
    let series = parts.into_iter().flat_map(|part| match part {
        SeriesPart::Series(batch) => batch.series,
        SeriesPart::Lease(lease) => {
            lease.check().unwrap();
            Vec::new()
        }
        SeriesPart::Warning(text) => panic!("{text}"),
    });
    Ok(series.collect())
}

fn times(series: &SelectedSeries) -> Vec<i64> {
    let mut floats = SampleBatch::default();
    for chunk in &series.chunks {
        decode_floats(chunk.encoding, &chunk.data, TimeRange::ALL, &mut floats).unwrap();
    }
    floats.timestamps.iter().map(|t| t / 1000).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn series_have_external_labels() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Metrics::new("test"));
    let tsdb = open(dir.path(), &registry).await;
    append(&tsdb, 0..50);
    let store = store(&tsdb);
    let series = select(&store, all()).await.unwrap();
    let first = r#"{__name__="m", cluster="eu", i="0", job="x", replica="a"}"#;
    assert_eq!((series.len(), series[0].labels.to_string().as_str()), (6, first));
    assert_eq!(times(&series[5]), (0..50).collect::<Vec<_>>());

    // Labels that are removed make series one.
    let without = SeriesRequest { without_labels: vec!["i".to_owned(), "replica".to_owned()], ..all() };
    let two = select(&store, without).await.unwrap();
    assert_eq!(
        (two.len(), two[0].labels.to_string().as_str()),
        (2, r#"{__name__="m", cluster="eu", job="x"}"#)
    );
    let limited = SeriesRequest { limit: 2, skip_chunks: true, ..all() };
    let bare = select(&store, limited).await.unwrap();
    assert!(bare.len() == 2 && bare[0].chunks.is_empty());
    let mut shards = Vec::new();
    for index in 0..2 {
        let shard = SeriesShard::from_signed(index, 2, false, Vec::new());
        shards.push(select(&store, SeriesRequest { shard, ..all() }).await.unwrap().len());
    }
    assert_eq!(shards.iter().sum::<usize>(), 6);

    let with = |extra: Matcher| SeriesRequest { matchers: vec![extra, all().matchers[0].clone()], ..all() };
    assert_eq!(select(&store, with(matcher(MatchOp::Equal, "replica", "b"))).await.unwrap(), []);
    assert_eq!(select(&store, with(matcher(MatchOp::Regex, "replica", "a|b"))).await.unwrap().len(), 6);
    let external = SeriesRequest::new(vec![matcher(MatchOp::Equal, "replica", "a")], TimeRange::ALL);
    let error = select(&store, external).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Invalid, "no matchers specified (excluding external labels)")
    );
    let error = select(&store.clone().with_limits(5, 0), all()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let error = select(&store.with_limits(0, 600), all()).await.unwrap_err();
    assert!(error.to_string().contains("limit 600 violated"), "{error}");
    assert!(registry.text().contains("prometheus_tsdb_head_series 6"), "{}", registry.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_those_of_series_and_external() {
    let (dir, registry) = (tempfile::tempdir().unwrap(), Metrics::new("test"));
    let tsdb = open(dir.path(), &registry).await;
    append(&tsdb, 0..10);
    let store = store(&tsdb);
    let labels = async |request: LabelsRequest| {
        let found = store.labels(request).await.unwrap().found;
        found.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>()
    };
    let is = |name: &str, value: &str| vec![matcher(MatchOp::Equal, name, value)];
    let range = TimeRange::new(0, 100_000);
    assert_eq!(
        labels(LabelsRequest::names(vec![], range)).await,
        ["__name__", "cluster", "i", "job", "replica"]
    );
    let without = LabelsRequest {
        without_labels: vec!["replica".to_owned()],
        ..LabelsRequest::names(is("i", "0"), range)
    };
    assert_eq!(labels(without).await, ["__name__", "cluster", "i", "job"]);
    assert!(labels(LabelsRequest::names(is("i", "9"), range)).await.is_empty());
    assert!(labels(LabelsRequest::names(vec![], TimeRange::new(-2000, -1000))).await.is_empty());
    for (label, matchers, expected) in [
        ("job", vec![], vec!["x", "y"]),
        ("job", is("i", "1"), vec!["y"]),
        ("cluster", vec![], vec!["eu"]),
        ("cluster", is("job", "x"), vec!["eu"]),
        ("cluster", is("job", "z"), vec![]),
        ("job", is("cluster", "us"), vec![]),
        ("nobody", vec![], vec![]),
    ] {
        assert_eq!(labels(LabelsRequest::values(label, matchers, range)).await, expected, "{label}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_are_cut_while_it_is_asked() {
    let (dir, registry, shutdown) = (tempfile::tempdir().unwrap(), Metrics::new("test"), Shutdown::default());
    let tsdb = open(dir.path(), &registry).await;
    let store = store(&tsdb);
    let keeping = tokio::spawn({
        let (tsdb, shutdown) = (tsdb.clone(), shutdown.clone());
        async move { tsdb.keep(&shutdown).await }
    });
    for minute in 0..8 {
        append(&tsdb, minute * 60..(minute + 1) * 60);
        for _ in 0..20 {
            let series = select(&store, all()).await.unwrap();
            assert_eq!(series.len(), 6);
            for one in series {
                assert_eq!(times(&one), (0..(minute + 1) * 60).collect::<Vec<_>>());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    while !registry.text().contains("prometheus_tsdb_compactions_total 7\n") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.info().unwrap().range.min.0, 0);
    let last = tsdb.last_floats(all().matchers, TimeRange::new(0, 400_000)).await.unwrap();
    assert!(last.len() == 6 && last.iter().all(|(_, t, value)| (*t, *value) == (400_000, 400.0)));
    shutdown.trigger();
    keeping.await.unwrap();
    tsdb.sync().unwrap();
}
