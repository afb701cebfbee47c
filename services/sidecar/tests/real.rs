//! The sidecar of a real Prometheus: answers, uploads, reloads, and restarts of Prometheus.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use futures::TryStreamExt;
use tithon_bucket::{Bucket, BucketConfig, TransferOptions};
use tithon_chunks::{Samples, TimeRange, decode_samples};
use tithon_engine::plan::TimeBound;
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesRequest, SeriesShard, SourceType};
use tithon_index::{Labels, MatchOp, Matcher};
use tithon_runtime::{Cpu, Metrics, Probes, Shutdown};
use tithon_ship::{ShipMetrics, ShipOptions, Shipper};
use tithon_sidecar::{
    HttpClientConfig, Prometheus, PrometheusCompanions, PrometheusStore, ReloadMethod, ReloadOptions,
    Reloader, SidecarMetrics, StoreLimits, Watch, WatchOptions,
};
use tithon_storeapi::{
    Companions, ExemplarsRequest, MetadataRequest, RulesRequest, SeriesPart, StatisticsRequest, StoreApi,
    TargetHealth, TargetsRequest,
};

use self::support::{RealPrometheus, until};

const TIMEOUT: Duration = Duration::from_secs(30);

struct Sidecar {
    watch: Watch,
    store: PrometheusStore,
    probes: Probes,
    registry: Metrics,
}

fn sidecar(server: &RealPrometheus) -> Sidecar {
    let prometheus = Prometheus::new(server.url(), HttpClientConfig::default()).unwrap();
    let (registry, probes) = (Metrics::new("test"), Probes::default());
    let metrics = SidecarMetrics::new(&registry);
    let options = WatchOptions {
        interval: Duration::from_millis(200),
        timeout: Duration::from_secs(5),
        min_time: TimeBound::At(i64::MIN),
        flag_rules: None,
    };
    let watch = Watch::new(prometheus, options, probes.clone(), metrics.clone());
    let store = PrometheusStore::new(watch.clone(), StoreLimits::default(), Cpu::new(1).unwrap(), metrics);
    Sidecar { watch, store, probes, registry }
}

fn equal(name: &str, value: &str) -> Matcher {
    Matcher::new(MatchOp::Equal, name, value).unwrap()
}

async fn select(store: &PrometheusStore, request: SeriesRequest) -> Vec<SelectedSeries> {
    let parts: Vec<SeriesPart> = store.series(request).try_collect().await.unwrap();
    let series = parts.into_iter().flat_map(|part| match part {
        SeriesPart::Series(batch) => batch.series,
        other => panic!("{other:?}"),
    });
    series.collect()
}

fn samples(series: &SelectedSeries, range: TimeRange) -> Vec<(i64, f64)> {
    let mut all = Samples::default();
    for chunk in &series.chunks {
        decode_samples(chunk, range, &mut all).unwrap();
    }
    all.floats.timestamps.into_iter().zip(all.floats.values).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_prometheus() {
    let Some(server) = RealPrometheus::start() else { return };
    let Sidecar { watch, store, .. } = sidecar(&server);
    assert!(store.info().is_none());
    tokio::time::timeout(TIMEOUT, watch.begin(&Shutdown::default())).await.unwrap().unwrap();
    let info = store.info().unwrap();
    let external = Labels::from_pairs([("cluster", "lab"), ("replica", "a")]);
    assert_eq!((info.component.as_str(), &info.label_sets), ("sidecar", &vec![external.clone()]));
    assert!(info.apis.rules && info.apis.exemplars && info.supports_sharding);

    until("samples of up", || async { server.count("up").await >= 3.0 }).await;
    let (answer, at) = server.range_of("up").await;
    let range = TimeRange::new(at - 60_000, at);
    let request = SeriesRequest::new(vec![equal("__name__", "up"), equal("replica", "a")], range);
    let series = select(&store, request.clone()).await;
    assert_eq!(series.len(), 1);
    assert_eq!(
        series[0].labels.to_string(),
        format!(
            r#"{{__name__="up", cluster="lab", instance="127.0.0.1:{}", job="self", replica="a"}}"#,
            server.port()
        )
    );
    assert_eq!(samples(&series[0], range), answer);

    // Without the replica label, without chunks, in shards, and with a matcher that the external labels contradict.
    let without = SeriesRequest { without_labels: vec!["replica".to_owned()], ..request.clone() };
    assert!(select(&store, without).await[0].labels.get("replica").is_none());
    let labels_only = SeriesRequest { skip_chunks: true, ..request.clone() };
    let bare = select(&store, labels_only).await;
    assert_eq!((bare.len(), &bare[0].labels, bare[0].chunks.len()), (1, &series[0].labels, 0));
    let other = vec![equal("__name__", "up"), equal("replica", "b")];
    assert!(select(&store, SeriesRequest { matchers: other, ..request.clone() }).await.is_empty());
    let only_external = SeriesRequest { matchers: vec![equal("replica", "a")], ..request.clone() };
    let refused = store.series(only_external).try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(refused.to_string(), "no matchers specified (excluding external labels)");
    let all = SeriesRequest::new(vec![Matcher::new(MatchOp::Regex, "__name__", ".+").unwrap()], range);
    let half = SeriesRequest {
        skip_chunks: true,
        limit: 5,
        shard: SeriesShard::from_signed(1, 2, false, Vec::new()),
        ..all.clone()
    };
    assert_eq!(select(&store, half).await.len(), 5, "the limit counts series of the shard");
    let all = select(&store, all).await;
    assert!(all.len() > 300 && all.is_sorted_by(|a, b| a.labels < b.labels), "{}", all.len());

    let names = store.labels(LabelsRequest::names(Vec::new(), range)).await.unwrap().found;
    let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    assert!(
        ["__name__", "cluster", "job", "replica"].iter().all(|n| names.contains(&(*n).to_owned())),
        "{names:?}"
    );
    for (label, expected) in [("job", "self"), ("replica", "a")] {
        let request = LabelsRequest::values(label, vec![equal("__name__", "up")], range);
        let values = store.labels(request).await.unwrap().found;
        let values: Vec<_> = values.iter().map(|value| value.to_vec()).collect();
        assert_eq!(values, [expected.as_bytes()], "{label}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn companions_are_those_of_prometheus() {
    let Some(server) = RealPrometheus::start() else { return };
    let Sidecar { watch, .. } = sidecar(&server);
    tokio::time::timeout(TIMEOUT, watch.begin(&Shutdown::default())).await.unwrap().unwrap();
    let companions = PrometheusCompanions::new(watch);
    until("a scrape", || async { server.count("up").await >= 1.0 }).await;

    let rules = companions.rules(RulesRequest { kind: None, partial_response: false }).await.unwrap().found;
    assert_eq!((rules.len(), rules[0].name.as_str(), rules[0].rules.len()), (1, "lab", 2));
    assert!(rules[0].aborts);
    let alert = rules[0].rules.iter().find(|rule| rule.alerting.is_some()).unwrap();
    assert_eq!(alert.name, "Up");
    assert_eq!(
        alert.labels,
        Labels::from_pairs([("cluster", "lab"), ("replica", "a"), ("severity", "info")])
    );

    let targets =
        companions.targets(TargetsRequest { state: None, partial_response: false }).await.unwrap().found;
    assert_eq!(targets[0].active.len(), 1);
    assert_eq!(targets[0].active[0].labels.get("cluster"), Some(b"lab".as_slice()));
    assert_eq!(targets[0].active[0].health, TargetHealth::Up);

    let metric = "prometheus_build_info".to_owned();
    let request = MetadataRequest { metric: metric.clone(), limit: -1, partial_response: false };
    let metadata = companions.metadata(request).await.unwrap().found;
    assert_eq!(metadata[0].0[&metric][0].kind, "gauge");

    let request =
        ExemplarsRequest { query: "up".to_owned(), start_ms: 0, end_ms: 1, partial_response: false };
    assert!(companions.exemplars(request.clone()).await.unwrap().found.is_empty());
    let bad = ExemplarsRequest { query: "up{".to_owned(), ..request };
    assert!(companions.exemplars(bad.clone()).await.is_err());
    let told = companions.exemplars(ExemplarsRequest { partial_response: true, ..bad }).await.unwrap();
    assert_eq!(told.warnings.len(), 1, "{told:?}");

    let request = StatisticsRequest {
        tenant: String::new(),
        limit: 5,
        matchers: vec![equal("replica", "a")],
        partial_response: false,
    };
    let statistics = companions.statistics(request.clone()).await.unwrap().found;
    assert!(statistics[0].0[""].series > 300, "{statistics:?}");
    let other = StatisticsRequest { matchers: vec![equal("replica", "b")], ..request };
    assert!(companions.statistics(other).await.unwrap().found[0].0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_goes_and_comes_back() {
    let Some(mut server) = RealPrometheus::start() else { return };
    let Sidecar { watch, store, probes, .. } = sidecar(&server);
    let shutdown = Shutdown::default();
    tokio::time::timeout(TIMEOUT, watch.begin(&shutdown)).await.unwrap().unwrap();
    let kept = watch.clone();
    let loop_shutdown = shutdown.clone();
    tokio::spawn(async move { kept.keep(&loop_shutdown).await });
    assert!(probes.is_ready());
    server.stop();
    until("not ready", || async { !probes.is_ready() && store.info().is_none() }).await;
    let failed = store.series(SeriesRequest::new(vec![equal("a", "b")], TimeRange::ALL));
    let error = failed.try_collect::<Vec<_>>().await.unwrap_err().to_string();
    assert!(error.starts_with("query Prometheus: request http://127.0.0.1"), "{error}");
    server.restart();
    until("ready again", || async { probes.is_ready() }).await;
    shutdown.trigger();
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_files_are_read_again() {
    let Some(server) = RealPrometheus::start() else { return };
    let Sidecar { watch, registry, .. } = sidecar(&server);
    tokio::time::timeout(TIMEOUT, watch.begin(&Shutdown::default())).await.unwrap().unwrap();
    let template = server.dir().join("template.yml");
    std::fs::write(&template, server.config("lab")).unwrap();
    let options = ReloadOptions {
        config_file: Some(template.clone()),
        expanded_file: Some(server.dir().join("prometheus.yml")),
        rule_dirs: Vec::new(),
        watch_interval: Duration::from_secs(60),
        retry_interval: Duration::from_millis(200),
        method: ReloadMethod::Http,
    };
    let prometheus = Prometheus::new(server.url(), HttpClientConfig::default()).unwrap();
    let reloader = Reloader::new(prometheus, options, &registry);
    let shutdown = Shutdown::default();
    let (kept, loop_shutdown) = (watch.clone(), shutdown.clone());
    tokio::spawn(async move { tokio::join!(kept.keep(&loop_shutdown), reloader.keep(&loop_shutdown)) });
    // An environment variable that cargo sets serves as an example.
    std::fs::write(&template, server.config("$(CARGO_PKG_NAME)")).unwrap();
    let changed = Labels::from_pairs([("cluster", "tithon-sidecar"), ("replica", "a")]);
    until("changed external labels", || async { watch.external_labels() == changed }).await;
    assert!(registry.text().contains("thanos_sidecar_reloader_last_reload_successful 1"));
    shutdown.trigger();
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_blocks_are_uploaded_once() {
    let (tsdb, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let blocks = support::copy_blocks(tsdb.path());
    let bucket = Bucket::open(&BucketConfig::filesystem(target.path())).unwrap();
    let options = ShipOptions {
        dir: tsdb.path().to_owned(),
        source: SourceType::Sidecar,
        state_file: "thanos.shipper.json".to_owned(),
        upload_compacted: false,
        allow_out_of_order: false,
        skip_corrupted: false,
        transfer: TransferOptions::default(),
    };
    let metrics = ShipMetrics::new(&Metrics::new("test"));
    let shipper = Shipper::new(bucket.clone(), options.clone(), metrics.clone());
    let external = Labels::from_pairs([("cluster", "lab")]);
    let level_1: Vec<_> = blocks.iter().filter(|meta| meta.compaction.level == 1).collect();
    assert!(!level_1.is_empty() && level_1.len() < blocks.len());
    assert_eq!(shipper.sync(&external).await.unwrap(), level_1.len());
    for meta in &level_1 {
        support::assert_same_block(tsdb.path(), target.path(), meta.ulid, &external);
    }
    assert!(std::fs::read_dir(tsdb.path().join("thanos/upload")).unwrap().next().is_none());
    assert_eq!(shipper.sync(&external).await.unwrap(), 0);

    // A block that left the bucket after its upload was compacted there, and is not uploaded again.
    let gone = target.path().join(level_1[0].ulid.to_string());
    std::fs::remove_dir_all(&gone).unwrap();
    assert_eq!(shipper.sync(&external).await.unwrap(), 0);
    assert!(!gone.exists());
    // Without the file of uploaded blocks, the bucket is asked.
    std::fs::remove_file(tsdb.path().join("thanos.shipper.json")).unwrap();
    assert_eq!(shipper.sync(&external).await.unwrap(), 1);

    // Compacted blocks are refused when they overlap blocks in the bucket.
    let all = ShipOptions { upload_compacted: true, ..options.clone() };
    let error = Shipper::new(bucket.clone(), all.clone(), metrics.clone()).sync(&external).await.unwrap_err();
    assert!(error.to_string().contains("overlaps block"), "{error}");
    let unordered = ShipOptions { allow_out_of_order: true, ..all };
    let rest = Shipper::new(bucket.clone(), unordered, metrics.clone()).sync(&external).await.unwrap();
    assert_eq!(rest, blocks.len() - level_1.len());

    // A corrupt block stops all uploads, unless it is to be skipped.
    std::fs::create_dir(tsdb.path().join("01E5Y0Y7ZZZZZZZZZZZZZZZZZZ")).unwrap();
    let error = shipper.sync(&external).await.unwrap_err().to_string();
    assert!(error.contains("01E5Y0Y7ZZZZZZZZZZZZZZZZZZ/meta.json"), "{error}");
    let skipping = ShipOptions { skip_corrupted: true, ..options };
    let error = Shipper::new(bucket, skipping, metrics).sync(&external).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to sync 0/1 blocks");
}
