//! Push-down over gRPC: what stores are asked, and what becomes of wrong values.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use tithon_chunks::{ErrorKind, Timestamp};
use tithon_promql::{Annotation, Detail};
use tithon_proto::tithon::parts_client::PartsClient;
use tithon_proto::tithon::{
    self, PartRefusal, PartResponse, PartRow, PartRows, PartSummary, part_response, parts_server,
};
use tithon_query::{Dialect, PartEvaluator, PartLimits, QueryOptions};
use tithon_runtime::{Cpu, Metrics, Probes};
use tithon_storeapi::{PartAnswer, PartFuture, PartRequest, PartsServer, StoreApiError, StoreApiServer};
use tonic::{Request, Response, Status};

use crate::blocks::Blocks;
use crate::endpoints::{endpoint, get, serve_grpc};
use crate::{Sources, ask, serve, sources};

const REPLICAS: [&str; 2] = ["answers/data/replica-a", "answers/data/replica-b"];
const TIME: i64 = 1_710_040_000;

/// What a store makes of the value of a part.
type Falsify = fn(PartAnswer) -> Result<PartAnswer, StoreApiError>;

/// A store of blocks that evaluates parts and counts them; their values are falsified.
async fn store(dirs: &[&str], falsify: Falsify) -> (SocketAddr, Arc<Mutex<Vec<PartRequest>>>) {
    let (store, cpu, probes) =
        (Arc::new(Blocks::open(dirs)), Cpu::new(0).expect("a pool"), Probes::default());
    probes.set_ready(true);
    let limits = PartLimits { concurrent: 20, bytes: 0 };
    let parts = PartEvaluator::new(store.clone(), limits, cpu.clone(), &Metrics::new("test"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    let evaluate = move |request: PartRequest| -> PartFuture {
        told.lock().expect("a whole list").push(request.clone());
        let evaluating = parts.evaluate(request);
        async move { falsify(evaluating.await?) }.boxed()
    };
    let services = StoreApiServer::new(store, cpu, probes).with_parts().services();
    (serve_grpc(PartsServer::new(evaluate).and(services)).await, asked)
}

fn options() -> QueryOptions {
    QueryOptions {
        dialect: Dialect::Thanos,
        replica_labels: vec!["replica".to_owned()],
        ..QueryOptions::default()
    }
}

/// An endpoint over a store of blocks that evaluates parts.
pub(crate) async fn evaluating(dirs: &[&str], options: &QueryOptions) -> Sources {
    let (store, _) = store(dirs, Ok).await;
    Sources::default().and(endpoint(store, options))
}

fn queries() -> Vec<Value> {
    let mut requests = Vec::new();
    for query in [
        "sum by (job) (rate(http_requests_total[5m]))",
        "count({__name__=~\".+\"})",
        "topk(2, sum by (job) (up))",
        "histogram_quantile(0.9, sum(rate(request_latency_seconds[5m])))",
        "up / on () group_left () count(node_load1)",
        "scalar(count(up))",
        "sum(rate(node_load1[5m]))",
    ] {
        requests.push(get("/api/v1/query", json!([["query", query], ["time", format!("{TIME}.25")]])));
        let times =
            json!([["query", query], ["start", TIME.to_string()], ["end", "1710043600.5"], ["step", "30.5"]]);
        requests.push(get("/api/v1/query_range", times));
    }
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_are_told_all_that_counts() {
    let (store, asked) = store(&REPLICAS, Ok).await;
    let options = options();
    let above = serve(options.clone(), Sources::default().and(endpoint(store, &options))).await;
    let query = "sum by (job) (rate(up[5m])) + 1";
    let params = json!([
        ["query", query],
        ["start", "1710040000.001"],
        ["end", "1710040600"],
        ["step", "7.5"],
        ["dedup_func", "exact"],
        ["max_source_resolution", "5m"],
        ["lookback_delta", "61500ms"],
        ["tenant", "x"],
    ]);
    let (status, answer) = ask(above, &get("/api/v1/query_range", params)).await;
    assert_eq!(status, 200, "{answer}");
    let asked = asked.lock().expect("a whole list");
    let [request] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((&*request.query, &*request.text), (query, query));
    assert_eq!(
        (request.times.start, request.times.end),
        (Timestamp(1_710_040_000_001), Timestamp(1_710_040_600_000))
    );
    assert_eq!((request.times.step_ms, request.lookback_ms), (7_500, 61_500));
    assert_eq!((request.replica_rule.word(), request.max_resolution_ms), ("exact", 300_000));
    assert_eq!(request.replica_labels, ["replica"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_values_are_evaluated_again() {
    let falsifications: [(&str, Falsify); 7] = [
        ("sound", Ok),
        ("an error", |_| Err(StoreApiError::new(ErrorKind::LimitExceeded, "no memory"))),
        ("a wrong query", |_| Err(StoreApiError::new(ErrorKind::Invalid, "no query"))),
        ("a row twice", |mut answer| {
            let rows = &mut answer.value.rows;
            rows.extend(rows.first().cloned());
            Ok(answer)
        }),
        ("a row of more steps", |mut answer| {
            let first = &mut answer.value.rows[0];
            let floats = vec![1.0; first.floats().len() + 1];
            let row = tithon_promql::PartRow::new(
                first.labels().clone(),
                floats.len(),
                floats,
                Vec::new(),
                Vec::new(),
            );
            *first = row.expect("a row");
            Ok(answer)
        }),
        ("an annotation of its own", |mut answer| {
            let (text, pos) = ("look here".to_owned(), Default::default());
            answer.value.annotations.push(Annotation { text, pos, detail: Detail::None });
            Ok(answer)
        }),
        ("a long annotation", |mut answer| {
            let (text, pos) = (format!("PromQL info: {}", "x".repeat(1 << 20)), Default::default());
            answer.value.annotations.push(Annotation { text, pos, detail: Detail::None });
            Ok(answer)
        }),
    ];
    let options = options();
    let plain = serve(options.clone(), sources(&REPLICAS)).await;
    let requests = queries();
    let mut wanted = Vec::new();
    for request in &requests {
        wanted.push(ask(plain, request).await);
    }
    assert!(wanted.iter().all(|(status, answer)| *status == 200 && answer["data"]["result"] != json!([])));
    for (name, falsify) in falsifications {
        let (store, asked) = store(&REPLICAS, falsify).await;
        let above = serve(options.clone(), Sources::default().and(endpoint(store, &options))).await;
        for (request, want) in requests.iter().zip(&wanted) {
            assert_eq!(&ask(above, request).await, want, "{name}: {request}");
        }
        assert_eq!(asked.lock().expect("a whole list").len(), requests.len(), "{name}");
    }
}

/// Responses of a store to any part.
type Garbage = fn() -> Vec<Result<PartResponse, Status>>;

/// A store that sends garbage.
struct Liar(Garbage);

#[tonic::async_trait]
impl parts_server::Parts for Liar {
    type EvaluateStream = BoxStream<'static, Result<PartResponse, Status>>;

    async fn evaluate(
        &self,
        _: Request<tithon::PartRequest>,
    ) -> Result<Response<Self::EvaluateStream>, Status> {
        Ok(Response::new(stream::iter((self.0)()).boxed()))
    }
}

fn rows(floats: &'static [u8], present: &[u64], n: usize) -> Result<PartResponse, Status> {
    let row = PartRow { floats: Bytes::from_static(floats), present: present.to_vec(), ..PartRow::default() };
    Ok(PartResponse { result: Some(part_response::Result::Rows(PartRows { rows: vec![row; n] })) })
}

fn refusal() -> Result<PartResponse, Status> {
    let refusal = PartRefusal { reason: "no".to_owned() };
    Ok(PartResponse { result: Some(part_response::Result::Refusal(refusal)) })
}

fn summary(rows: u64) -> Result<PartResponse, Status> {
    let summary = PartSummary { rows, ..PartSummary::default() };
    Ok(PartResponse { result: Some(part_response::Result::Summary(summary)) })
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_evaluated_again() {
    let options = QueryOptions { max_bytes: 64 << 20, ..options() };
    let plain = serve(options.clone(), sources(&REPLICAS)).await;
    let garbage: [(&str, Garbage); 13] = [
        ("nothing", Vec::new),
        ("no summary", || vec![rows(&[0; 8], &[], 1)]),
        ("fewer rows", || vec![rows(&[0; 8], &[], 1), summary(2)]),
        ("two summaries", || vec![summary(0), summary(0)]),
        ("rows behind the summary", || vec![summary(1), rows(&[0; 8], &[], 1)]),
        ("an error at the end", || vec![rows(&[0; 8], &[], 1), summary(1), Err(Status::data_loss("no"))]),
        ("refusals without end", || vec![refusal(); 1 << 16]),
        ("a refusal and rows", || vec![refusal(), rows(&[0; 8], &[], 1), summary(1)]),
        ("half a float", || vec![rows(&[0; 12], &[], 1), summary(1)]),
        ("other steps", || vec![rows(&[0; 32], &[], 1), summary(1)]),
        ("bits behind the steps", || vec![rows(&[0; 8], &[2], 1), summary(1)]),
        ("many words", || vec![rows(&[0; 8], &[1, 0, 0], 1), summary(1)]),
        // Short messages that would take more memory than the query may.
        ("empty rows without end", || vec![rows(&[], &[], 1 << 20), summary(1 << 20)]),
    ];
    for (name, garbage) in garbage {
        let (store, cpu, probes) =
            (Arc::new(Blocks::open(&REPLICAS)), Cpu::new(0).expect("a pool"), Probes::default());
        probes.set_ready(true);
        let services = StoreApiServer::new(store, cpu, probes).with_parts().services();
        let liar = serve_grpc(services.with(parts_server::PartsServer::new(Liar(garbage)))).await;
        let above = serve(options.clone(), Sources::default().and(endpoint(liar, &options))).await;
        let query = ["query", "count(up)"];
        let mut requests = vec![get("/api/v1/query", json!([query, ["time", TIME.to_string()]]))];
        if name.contains("rows") {
            let times = [["start", "1710040000"], ["end", "1710050000"], ["step", "1"]];
            requests.push(get("/api/v1/query_range", json!([query, times[0], times[1], times[2]])));
        }
        for request in requests {
            assert_eq!(ask(above, &request).await, ask(plain, &request).await, "{name}");
        }
    }
}

/// Whatever a part asks for, a store answers with an error in bounded time and memory.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_no_querier_sends() {
    let (store, _) = store(&REPLICAS, Ok).await;
    let mut client = PartsClient::connect(format!("http://{store}")).await.expect("a connection");
    let sound = tithon::PartRequest {
        query: "sum(up)".to_owned(),
        text: "sum(up)".to_owned(),
        node: 1,
        start: TIME * 1000,
        end: TIME * 1000,
        timeout: 10_000,
        lookback: 300_000,
        default_subquery_step: 60_000,
        max_samples: u64::MAX,
        replica_rule: "penalty".to_owned(),
        ..tithon::PartRequest::default()
    };
    let node = |node: u32| tithon::PartRequest { node, ..sound.clone() };
    let mut values = 0;
    for n in (0..4).chain([u32::MAX]) {
        values += usize::from(answers(&mut client, node(n)).await.is_ok());
    }
    assert_eq!(values, 1, "one node is the sum");
    let (first, last, step) = (i64::MIN, i64::MAX, 1);
    let change = |change: fn(&mut tithon::PartRequest)| {
        let mut request = sound.clone();
        change(&mut request);
        request
    };
    for request in [
        tithon::PartRequest { start: first, end: last, step, ..sound.clone() },
        tithon::PartRequest { start: 0, end: last, step: last, ..sound.clone() },
        tithon::PartRequest { start: first, end: first, ..sound.clone() },
        tithon::PartRequest { end: TIME * 1000 + 2_000_000, step, ..sound.clone() },
        change(|request| request.step = -1),
        change(|request| request.lookback = i64::MIN),
        change(|request| request.lookback = i64::MAX),
        change(|request| request.default_subquery_step = -1),
        change(|request| request.max_resolution = i64::MAX),
        change(|request| request.replica_rule = "none".to_owned()),
        change(|request| request.query = "sum(".to_owned()),
        change(|request| request.query = "(".repeat(1 << 16)),
        change(|request| request.text = "sum(down)".to_owned()),
        change(|request| request.max_samples = 0),
        change(|request| request.timeout = 0),
    ] {
        for n in 0..3 {
            let request = tithon::PartRequest { node: n, ..request.clone() };
            let text = format!("{request:?}");
            let answer = answers(&mut client, request).await;
            assert!(answer.is_err(), "{text:.500}");
        }
    }
}

/// The number of responses to a part, or its error.
async fn answers(
    client: &mut PartsClient<tonic::transport::Channel>,
    request: tithon::PartRequest,
) -> Result<usize, Status> {
    let mut responses = client.evaluate(request).await?.into_inner();
    let mut n = 0;
    while let Some(response) = responses.message().await? {
        if let Some(part_response::Result::Refusal(refusal)) = response.result {
            return Err(Status::unknown(refusal.reason));
        }
        n += 1;
    }
    Ok(n)
}

/// A store that announces parts and does not have the service.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_the_service_is_no_error() {
    let (store, cpu, probes) =
        (Arc::new(Blocks::open(&REPLICAS)), Cpu::new(0).expect("a pool"), Probes::default());
    probes.set_ready(true);
    let liar = serve_grpc(StoreApiServer::new(store, cpu, probes).with_parts().services()).await;
    let options = options();
    let above = serve(options.clone(), Sources::default().and(endpoint(liar, &options))).await;
    let plain = serve(options, sources(&REPLICAS)).await;
    for request in queries() {
        assert_eq!(ask(above, &request).await, ask(plain, &request).await, "{request}");
    }
}

/// A store whose evaluations take long says so, and is not taken for dead; when the caller has gone, they end.
#[tokio::test(flavor = "multi_thread")]
async fn long_evaluations_live_as_long_as_their_callers() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let ended = Arc::new(AtomicUsize::new(0));
    let (store, cpu, probes) =
        (Arc::new(Blocks::open(&REPLICAS)), Cpu::new(0).expect("a pool"), Probes::default());
    probes.set_ready(true);
    let of_parts = Arc::clone(&ended);
    let evaluate = move |_: PartRequest| -> PartFuture {
        let counted = Counted(Arc::clone(&of_parts));
        async move {
            let _counted = counted;
            futures::future::pending().await
        }
        .boxed()
    };
    let services = StoreApiServer::new(store, cpu, probes).with_parts().services();
    let store = serve_grpc(PartsServer::new(evaluate).and(services)).await;
    let options = QueryOptions {
        timeout: Duration::from_secs(3),
        store_response_timeout: Duration::from_secs(1),
        ..options()
    };
    let above = serve(options.clone(), Sources::default().and(endpoint(store, &options))).await;
    let params = json!([["query", "sum(up)"], ["time", TIME.to_string()]]);
    let (status, answer) = ask(above, &get("/api/v1/query", params)).await;
    // With the response timeout it would have been evaluated here.
    assert_eq!((status, &answer["errorType"]), (503, &json!("timeout")), "{answer}");
    while ended.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Queries that stores cannot be told of are evaluated here.
#[tokio::test(flavor = "multi_thread")]
async fn queries_of_which_stores_cannot_be_told() {
    let (store, asked) = store(&REPLICAS, Ok).await;
    let base = options();
    for options in [
        QueryOptions { pushdown: false, ..base.clone() },
        QueryOptions { dialect: Dialect::Prometheus, ..base.clone() },
        QueryOptions { delayed_name_removal: true, ..base.clone() },
        QueryOptions { selector_labels: vec![("a".to_owned(), "b".to_owned())], ..base.clone() },
        QueryOptions { request_series_max: 1_000_000, ..base.clone() },
        QueryOptions { request_samples_max: 1_000_000_000, ..base.clone() },
    ] {
        let above = serve(options.clone(), Sources::default().and(endpoint(store, &options))).await;
        let params = json!([["query", "sum(up)"], ["time", TIME.to_string()]]);
        let (status, answer) = ask(above, &get("/api/v1/query", params)).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(asked.lock().expect("a whole list").len(), 0);
    // A store of this process, and two endpoints, have data that nobody has alone.
    let more = Sources { stores: vec![Arc::new(Blocks::open(&REPLICAS))], endpoints: Vec::new() };
    for sources in
        [more.and(endpoint(store, &base)), evaluating(&REPLICAS, &base).await.and(endpoint(store, &base))]
    {
        let above = serve(base.clone(), sources).await;
        let params = json!([["query", "sum(up)"], ["time", TIME.to_string()]]);
        let (status, answer) = ask(above, &get("/api/v1/query", params)).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(asked.lock().expect("a whole list").len(), 0);
}
