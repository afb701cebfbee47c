//! Hostile servers and requests: each ends in an answer or in an error that names the exceeded limit, and the querier
//! answers others meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::{Value, json};
use tithon_chunks::{EncodedChunk, Encoding, Timestamp, XorEncoder};
use tithon_proto::thanos::info::info_server::{Info, InfoServer};
use tithon_proto::thanos::info::{InfoRequest, InfoResponse, StoreInfo};
use tithon_proto::thanos::store_server::{Store, StoreServer};
use tithon_proto::thanos::{
    AggrChunk, Chunk, Label, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
    Series, SeriesRequest, SeriesResponse, series_response,
};
use tithon_query::QueryOptions;
use tithon_runtime::GrpcServices;
use tithon_storeapi::{
    Endpoint, EndpointOptions, LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi,
};
use tonic::{Request, Response, Status};

use crate::endpoints::{endpoint, get, serve_grpc};
use crate::{Sources, ask, serve, sources};

const REPLICAS: [&str; 2] = ["answers/data/replica-a", "answers/data/replica-b"];

/// How a server answers every call.
#[derive(Clone, Copy, Debug)]
enum Peer {
    /// Accepts calls and sends nothing, not even headers.
    Hangs,
    /// Sends series with labels of 1 MiB without end.
    Floods,
    /// Sends a series with one sound chunk and one chunk of garbage.
    SendsDamage,
}

fn label(name: &str, value: impl Into<Bytes>) -> Label {
    Label { name: Bytes::copy_from_slice(name.as_bytes()), value: value.into() }
}

fn frame(series: Series) -> Result<SeriesResponse, Status> {
    Ok(SeriesResponse { result: Some(series_response::Result::Series(series)) })
}

fn xor_chunk(from: i64, data: Option<&'static [u8]>) -> AggrChunk {
    let mut encoder = XorEncoder::new();
    (0..60).for_each(|i| encoder.push(from + i * 15_000, 1.0));
    let data = data.map_or_else(|| encoder.finish().into(), Bytes::from_static);
    let raw = Some(Chunk { r#type: 0, data, hash: 0 });
    AggrChunk { min_time: from, max_time: from + 59 * 15_000, raw, ..AggrChunk::default() }
}

const NOW_MS: i64 = 1_710_040_000_000;

#[tonic::async_trait]
impl Store for Peer {
    type SeriesStream = BoxStream<'static, Result<SeriesResponse, Status>>;

    async fn series(&self, _: Request<SeriesRequest>) -> Result<Response<Self::SeriesStream>, Status> {
        let frames = match self {
            Peer::Hangs => std::future::pending().await,
            Peer::Floods => {
                let long = Bytes::from(vec![b'x'; 1 << 20]);
                let one = move |i: u64| {
                    let labels = vec![
                        label("__name__", "up"),
                        label("i", format!("{i:09}")),
                        label("z", long.clone()),
                    ];
                    frame(Series { labels, chunks: Vec::new() })
                };
                stream::iter((0..).map(one)).boxed()
            }
            Peer::SendsDamage => {
                let chunks = vec![
                    xor_chunk(NOW_MS - 3_600_000, Some(b"\x00\x78garbage")),
                    xor_chunk(NOW_MS - 15 * 60_000, None),
                ];
                let labels = vec![label("__name__", "up"), label("job", "damaged")];
                stream::iter([frame(Series { labels, chunks })]).boxed()
            }
        };
        Ok(Response::new(frames))
    }

    async fn label_names(
        &self,
        _: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        std::future::pending().await
    }

    async fn label_values(
        &self,
        _: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        std::future::pending().await
    }
}

#[tonic::async_trait]
impl Info for Peer {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let store = StoreInfo { min_time: 0, max_time: i64::MAX, ..StoreInfo::default() };
        let component_type = "store".to_owned();
        Ok(Response::new(InfoResponse { store: Some(store), component_type, ..InfoResponse::default() }))
    }
}

async fn peer(peer: Peer) -> SocketAddr {
    serve_grpc(GrpcServices::default().with(StoreServer::new(peer)).with(InfoServer::new(peer))).await
}

/// A querier over two sound stores and one other endpoint.
async fn serve_with(options: QueryOptions, other: Endpoint) -> SocketAddr {
    serve(options, sources(&REPLICAS).and(other)).await
}

fn query(query: &str, more: &[[&str; 2]]) -> Value {
    let mut params = vec![["query", query], ["time", "1710040000"]];
    params.extend_from_slice(more);
    get("/api/v1/query", json!(params))
}

fn warnings(answer: &Value) -> String {
    answer["warnings"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_peer_costs_a_warning_after_the_response_timeout() {
    let options =
        QueryOptions { store_response_timeout: Duration::from_millis(300), ..QueryOptions::default() };
    let hanging = peer(Peer::Hangs).await;
    let address = serve_with(options.clone(), endpoint(hanging, &options)).await;
    let range = [["start", "1710030000"], ["end", "1710060000"]];
    let calls = [
        (query("count(up)", &[]), "failed to receive any data in 300ms from Addr: "),
        (
            get("/api/v1/series", json!([["match[]", "up"], range[0], range[1]])),
            "failed to receive any data in 300ms from Addr: ",
        ),
        (get("/api/v1/labels", json!(range)), "fetch label names from store Addr: "),
        (get("/api/v1/label/job/values", json!(range)), "fetch label values from store Addr: "),
    ];
    for (call, warning) in calls {
        let begun = Instant::now();
        let (status, answer) = ask(address, &call).await;
        assert_eq!(status, 200, "{answer}");
        assert!(answer["data"] != json!([]) && answer["data"]["result"] != json!([]), "{answer}");
        assert!(warnings(&answer).contains(warning), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    let (status, answer) = ask(address, &query("count(up)", &[["partial_response", "false"]])).await;
    assert_eq!(status, 422, "{answer}");
}

/// A server that accepts connections and never answers is not asked again for each query.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_hangs_in_info_holds_up_nobody() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let silent = listener.local_addr().expect("an address");
    let options = QueryOptions { info_timeout: Duration::from_millis(300), ..QueryOptions::default() };
    for strict in [false, true] {
        let how = EndpointOptions { strict, ..options.endpoint_options(None) };
        let other = Endpoint::new(&silent.to_string(), how).expect("an address");
        let address = serve_with(options.clone(), other).await;
        let begun = Instant::now();
        let (status, answer) = ask(address, &query("count(up)", &[])).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(warnings(&answer).contains("no answer to Info in 300ms"), strict, "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_sends_without_end_costs_the_query_only() {
    let flooding = peer(Peer::Floods).await;
    for (max_bytes, memory_limit, flag) in
        [(64 << 20, 0, "--query.max-bytes"), (4 << 30, 64 << 20, "--query.memory-limit")]
    {
        let options = QueryOptions { max_bytes, memory_limit, ..QueryOptions::default() };
        let address = serve_with(options.clone(), endpoint(flooding, &options)).await;
        let calls = [
            query("count(up)", &[]),
            get("/api/v1/series", json!([["match[]", "up"], ["start", "1710030000"], ["end", "1710060000"]])),
        ];
        for call in calls {
            let (status, answer) = ask(address, &call).await;
            assert_eq!(status, 422, "{answer}");
            let error = answer["error"].as_str().unwrap_or_default();
            let expected =
                "query processing would use too many bytes in memory: more than the limit of 67108864 bytes";
            assert!(error.contains(expected) && error.contains(flag), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_cannot_be_decoded_is_left_out_with_a_warning() {
    let options = QueryOptions::default();
    let damaged = peer(Peer::SendsDamage).await;
    let address = serve_with(options.clone(), endpoint(damaged, &options)).await;
    let sound = serve(options, sources(&REPLICAS)).await;
    let named = |text: &str| {
        text.contains(&damaged.to_string()) && text.contains("damaged") && text.contains("chunk of series")
    };
    for text in ["count(up)", "count(max_over_time(up[2h]))", "sum(count_over_time(up{job=\"damaged\"}[2h]))"]
    {
        let (status, answer) = ask(address, &query(text, &[])).await;
        assert_eq!(status, 200, "{text}: {answer}");
        let value = answer["data"]["result"][0]["value"][1].as_str().expect("a number").parse::<f64>();
        let (_, others) = ask(sound, &query(text, &[])).await;
        let of_others = others["data"]["result"][0]["value"][1].as_str().map_or(Ok(0.0), str::parse::<f64>);
        let one_more = if text.starts_with("count") { 1.0 } else { 60.0 };
        assert_eq!(value.expect("a number"), of_others.expect("a number") + one_more, "{text}");
        if text.contains('[') {
            assert!(named(&warnings(&answer)), "{text}: {answer}");
            let (status, answer) = ask(address, &query(text, &[["partial_response", "false"]])).await;
            assert_eq!(status, 422, "{answer}");
            assert!(named(answer["error"].as_str().unwrap_or_default()), "{answer}");
        }
    }
}

/// A store that counts its calls.
struct Counting {
    asked: Arc<std::sync::atomic::AtomicUsize>,
}

impl StoreApi for Counting {
    fn name(&self) -> String {
        "counting".to_owned()
    }

    fn info(&self) -> Option<tithon_storeapi::StoreInfo> {
        Some(tithon_storeapi::StoreInfo::new("store", tithon_chunks::TimeRange::ALL))
    }

    fn series(&self, _: tithon_engine::SeriesRequest) -> SeriesStream {
        self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let labels = tithon_index::Labels::from_pairs([("__name__", "up")]);
        let chunk = EncodedChunk {
            encoding: Encoding::Xor,
            min_time: Timestamp(0),
            max_time: Timestamp(0),
            data: Bytes::from_static(&[0, 0]),
        };
        let series = tithon_engine::SelectedSeries { labels, chunks: vec![chunk] };
        let batch = SeriesPart::Series(tithon_engine::SeriesBatch { series: vec![series] });
        stream::iter([Ok(batch)]).boxed()
    }

    fn labels(&self, _: tithon_engine::LabelsRequest) -> LabelsFuture {
        self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(LabelsAnswer::default())))
    }
}

fn post(path: &str, params: Value) -> Value {
    json!({"method": "POST", "path": path, "params": params})
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_matcher_sets_are_asked_once() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let store = Sources::of(Counting { asked: Arc::clone(&asked) });
    let address = serve(QueryOptions::default(), store).await;
    let sets = |of: fn(usize) -> String| (0..2_000).map(|i| json!(["match[]", of(i)])).collect::<Vec<_>>();
    for path in ["/api/v1/series", "/api/v1/labels", "/api/v1/label/job/values"] {
        let method = if path.ends_with("values") { get } else { post };
        for params in [
            sets(|_| "{__name__=~\".+\"}".into()),
            sets(|i| format!("{}{{__name__=~\".+\"}}", " ".repeat(i % 7))),
            sets(|i| if i == 0 { "up".into() } else { format!("up{{a=\"{i}\"}}") }),
        ] {
            let params = if path.ends_with("values") { params[..200].to_vec() } else { params };
            asked.store(0, std::sync::atomic::Ordering::Relaxed);
            let (status, answer) = ask(address, &method(path, json!(params))).await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1, "{path}");
        }
    }
}

/// Stores match on replica labels and remove them afterwards, so no plan may rely on them later.
#[tokio::test(flavor = "multi_thread")]
async fn matchers_on_replica_labels_under_deduplication() {
    let options = QueryOptions { replica_labels: vec!["replica".into()], ..QueryOptions::default() };
    let address = serve(options, sources(&REPLICAS)).await;
    let value = async |text: &str, dedup: &str| {
        let (status, answer) = ask(address, &query(text, &[["dedup", dedup]])).await;
        assert_eq!(status, 200, "{text}: {answer}");
        answer["data"]["result"].clone()
    };
    let ratio = "sum(rate(http_requests_total{replica=\"b\"}[30m])) / sum(rate(http_requests_total[30m]))";
    let found = value(ratio, "true").await;
    let ratio = found[0]["value"][1].as_str().expect("an answer").parse::<f64>().expect("a number");
    assert!((0.5..2.0).contains(&ratio), "{ratio}");
    // Compares with queries that remove the label by hand, for results that do not depend on the replica.
    for (deduplicated, plain) in [
        ("count(up{replica=\"b\"} and up)", "count(count by (job, instance) (up{replica=\"b\"}))"),
        (
            "count(up) - count(up{replica=\"a\"})",
            "count(count by (job, instance) (up)) - count(count by (job, instance) (up{replica=\"a\"}))",
        ),
        ("count(up unless up{replica=\"a\"}) or vector(0)", "vector(0)"),
        ("count(up{replica!=\"a\"} or up{replica=\"a\"})", "count(count by (job, instance) (up))"),
    ] {
        assert_eq!(value(deduplicated, "true").await, value(plain, "false").await, "{deduplicated}");
    }
}

/// Other requests are answered while four long queries run, and the long ones are answered in the end.
#[tokio::test(flavor = "multi_thread")]
async fn long_queries_stop_nobody() {
    let address = serve(QueryOptions::default(), sources(&REPLICAS[..1])).await;
    let chain = vec!["up"; 20_000].join("+");
    let matchers = vec!["a!=\"b\""; 300_000].join(",");
    let long = [
        (post("/api/v1/query", json!([["query", chain], ["time", "1710040000"]])), 200),
        (post("/api/v1/query", json!([["query", format!("up{{{matchers}}}")], ["time", "1710040000"]])), 200),
        (
            post(
                "/api/v1/query",
                json!([["query", vec!["up"; 2_000_000].join("+")], ["time", "1710040000"]]),
            ),
            400,
        ),
        (post("/api/v1/parse_query", json!([["query", chain]])), 400),
        (post("/api/v1/format_query", json!([["query", chain]])), 400),
        (post("/api/v1/query_explain", json!([["query", chain], ["time", "1710040000"]])), 200),
        (post("/api/v1/query", json!([["query", chain], ["time", "1710040000"], ["timeout", "1ms"]])), 503),
    ];
    let busy = long.into_iter().map(|(call, expected)| async move {
        let (status, answer) = ask(address, &call).await;
        let text = answer.to_string();
        assert_eq!(status, expected, "{}", &text[..text.len().min(300)]);
    });
    let busy = tokio::spawn(futures::future::join_all(busy));
    while !busy.is_finished() {
        // An idle machine answers within seconds.
        let call = get("/api/v1/status/buildinfo", json!([]));
        let answered = tokio::time::timeout(Duration::from_secs(60), ask(address, &call)).await;
        assert_eq!(answered.expect("others do not wait").0, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    busy.await.expect("all are answered");
}
