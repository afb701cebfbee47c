//! Servers that give nonsensical answers in place of Prometheus.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::{any, get};
use futures::{StreamExt, TryStreamExt, stream};
use tithon_chunks::{ErrorKind, TimeRange, crc32c, put_uvarint};
use tithon_engine::plan::TimeBound;
use tithon_engine::{LabelsRequest, SeriesRequest};
use tithon_index::{MatchOp, Matcher};
use tithon_runtime::{Cpu, Metrics, Probes, Shutdown};
use tithon_sidecar::{
    HttpClientConfig, Prometheus, PrometheusStore, SidecarError, SidecarMetrics, StoreLimits, Watch,
    WatchOptions,
};
use tithon_storeapi::{SeriesPart, StoreApi, StoreApiError};

const STREAMED: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn watch(address: SocketAddr) -> (Watch, SidecarMetrics) {
    let url = format!("http://{address}").parse().unwrap();
    let prometheus = Prometheus::new(url, HttpClientConfig::default()).unwrap();
    let metrics = SidecarMetrics::new(&Metrics::new("test"));
    let options = WatchOptions {
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(500),
        min_time: TimeBound::At(i64::MIN),
        flag_rules: None,
    };
    (Watch::new(prometheus, options, Probes::default(), metrics.clone()), metrics)
}

fn store(address: SocketAddr, limits: StoreLimits) -> PrometheusStore {
    let (watch, metrics) = watch(address);
    PrometheusStore::new(watch, limits, Cpu::new(1).unwrap(), metrics)
}

fn read(kind: &'static str, body: impl Fn() -> Body + Clone + Send + Sync + 'static) -> Router {
    let answer =
        move || async move { Response::builder().header(header::CONTENT_TYPE, kind).body(body()).unwrap() };
    Router::new().route("/api/v1/read", any(answer))
}

async fn select(store: &PrometheusStore) -> Result<Vec<SeriesPart>, StoreApiError> {
    let matchers = vec![Matcher::new(MatchOp::Equal, "a", "b").unwrap()];
    store.series(SeriesRequest::new(matchers, TimeRange::ALL)).try_collect().await
}

fn frame(payload: &[u8], checksum: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_uvarint(payload.len() as u64, &mut out);
    out.extend_from_slice(&checksum.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// `chunked_series { labels { name: "a" value: "b" } }`, once for each of `values`.
fn series(values: &[u8]) -> Vec<u8> {
    let one = |value: &u8| vec![10, 8, 10, 6, 10, 1, b'a', 18, 1, *value];
    values.iter().flat_map(one).collect()
}

#[tokio::test]
async fn streams_that_are_none_fail_with_the_reason() {
    let good = series(b"b");
    let mut long = Vec::new();
    put_uvarint(60_000_000, &mut long);
    let cases: [(Vec<u8>, &str); 6] = [
        (frame(&good, 1), "checksum of a frame: expected 00000001, found "),
        (frame(&good, crc32c(&good))[..9].to_vec(), "the stream ends within a frame: found 4 of 10 bytes"),
        (vec![200], "the stream ends within the head of a frame"),
        (vec![255; 20], "the length of a frame is not a number"),
        (long, "a frame of 60000000 bytes, at most 50000000 are taken"),
        (frame(b"\xff", crc32c(b"\xff")), "decode prometheus.ChunkedReadResponse"),
    ];
    for (body, expected) in cases {
        let address = serve(read(STREAMED, move || Body::from(body.clone()))).await;
        let error = select(&store(address, StoreLimits::default())).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Unknown);
    }
    // Frames are read when they arrive one byte at a time.
    let whole = [frame(&good, crc32c(&good)), frame(&series(b"c"), crc32c(&series(b"c")))].concat();
    let parts = move || {
        let parts: Vec<_> =
            whole.iter().map(|byte| Ok::<_, std::io::Error>(Bytes::from(vec![*byte]))).collect();
        Body::from_stream(stream::iter(parts))
    };
    let address = serve(read(STREAMED, parts)).await;
    let found = select(&store(address, StoreLimits::default())).await.unwrap();
    assert!(matches!(&found[..], [SeriesPart::Series(batch)] if batch.series.len() == 2), "{found:?}");
}

#[tokio::test]
async fn answers_of_other_kinds_are_refused() {
    let address = serve(read("text/html", || Body::from("<p>"))).await;
    let error = select(&store(address, StoreLimits::default())).await.unwrap_err().to_string();
    assert!(error.contains("not supported remote read content type: text/html"), "{error}");
    // Four bytes that claim to decompress to four gigabytes.
    let bomb = || Body::from(vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    let address = serve(read("application/x-protobuf", bomb)).await;
    let error = select(&store(address, StoreLimits::default())).await.unwrap_err().to_string();
    assert!(error.contains("claim to be 4294967295 bytes"), "{error}");
    let refusing = Router::new().fallback(|| async { (StatusCode::BAD_REQUEST, "no such thing") });
    let address = serve(refusing).await;
    let error = select(&store(address, StoreLimits::default())).await.unwrap_err();
    assert!(error.to_string().contains("got 400. Body: no such thing"), "{error}");
    let names = LabelsRequest::names(Vec::new(), TimeRange::ALL);
    let error = store(address, StoreLimits::default()).labels(names).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn limits_end_an_endless_answer() {
    let endless = || {
        let one = |i: u64| {
            let payload = series(&[b'a' + (i % 26) as u8]);
            Ok::<_, std::io::Error>(Bytes::from(frame(&payload, crc32c(&payload))))
        };
        Body::from_stream(stream::iter(0..).map(one))
    };
    let address = serve(read(STREAMED, endless)).await;
    let limits = StoreLimits { series: 100, samples: 0 };
    let error = select(&store(address, limits)).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to send series: limit 100 violated (got 101)");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[tokio::test]
async fn a_server_without_external_labels_ends_the_start() {
    let json = |text: &'static str| get(move || async move { text });
    let router = Router::new()
        .route("/api/v1/status/buildinfo", json(r#"{"status":"success","data":{"version":"2.42.0"}}"#))
        .route(
            "/api/v1/status/config",
            json(r#"{"status":"success","data":{"yaml":"global: {scrape_interval: 1s}"}}"#),
        )
        .route("/metrics", json("prometheus_tsdb_lowest_timestamp_seconds 9.223372036854776e+15\n"));
    let (watch, _) = watch(serve(router).await);
    let shutdown = Shutdown::default();
    let begun = tokio::time::timeout(Duration::from_secs(20), watch.begin(&shutdown));
    assert!(matches!(begun.await.unwrap(), Err(SidecarError::NoExternalLabels)));
    assert_eq!(watch.range(), TimeRange::ALL);
}

#[tokio::test]
async fn nonsense_and_silence_are_waited_out() {
    for router in [
        Router::new().fallback(|| async { "nonsense" }),
        Router::new().fallback(|| async { (StatusCode::INTERNAL_SERVER_ERROR, "broken") }),
        Router::new().fallback(|| async { std::future::pending::<&str>().await }),
    ] {
        let (watch, _) = watch(serve(router).await);
        let shutdown = Shutdown::default();
        let begun = tokio::time::timeout(Duration::from_millis(800), watch.begin(&shutdown)).await;
        assert!(begun.is_err() && !watch.is_up());
        shutdown.trigger();
        tokio::time::timeout(Duration::from_secs(20), watch.begin(&shutdown)).await.unwrap().unwrap();
        assert!(!watch.is_up());
    }
}
