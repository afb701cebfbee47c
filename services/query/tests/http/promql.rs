//! PromQL over gRPC gives the same values as the HTTP API.

use serde_json::{Value, json};
use tithon_proto::prometheus_copy::TimeSeries;
use tithon_proto::thanos::query_client::QueryClient;
use tithon_proto::thanos::{
    QueryRangeRequest, QueryRangeResponse, QueryRequest, QueryResponse, query_range_response, query_response,
};
use tithon_query::{Dialect, QueryOptions};
use tithon_runtime::GrpcServices;
use tithon_storeapi::{Endpoint, EndpointOptions, PromqlServer};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::endpoints::{get, nobody, serve_grpc};
use crate::{Sources, ask, serve_service, service, sources};

const REPLICAS: [&str; 2] = ["answers/data/replica-a", "answers/data/replica-b"];
const TIME: i64 = 1_710_040_000;

fn options() -> QueryOptions {
    QueryOptions {
        dialect: Dialect::Thanos,
        replica_labels: vec!["replica".to_owned()],
        ..QueryOptions::default()
    }
}

/// A querier's HTTP address and a client of its gRPC service.
async fn querier(sources: Sources) -> (std::net::SocketAddr, QueryClient<Channel>) {
    let service = service(options(), sources);
    service.refresh().await;
    let of_grpc = service.clone();
    let server = PromqlServer::new(move |request| of_grpc.answer_promql(request));
    let grpc = serve_grpc(server.and(GrpcServices::default())).await;
    let client = QueryClient::connect(format!("http://{grpc}")).await.expect("a connection");
    (serve_service(service).await, client)
}

/// The content of an answer's frames.
#[derive(Default)]
struct Received {
    warnings: Vec<String>,
    series: Vec<TimeSeries>,
    n_stats: usize,
    longest_batch: usize,
}

async fn instant(answer: Streaming<QueryResponse>) -> Result<Received, Status> {
    let (mut answer, mut all) = (answer, Received::default());
    while let Some(frame) = answer.message().await? {
        match frame.result.expect("a frame") {
            query_response::Result::Warnings(text) => all.warnings.push(text),
            query_response::Result::Timeseries(one) => all.series.push(one),
            query_response::Result::TimeseriesBatch(batch) => all.add(batch.series),
            query_response::Result::Stats(_) => all.n_stats += 1,
        }
    }
    Ok(all)
}

async fn range(answer: Streaming<QueryRangeResponse>) -> Result<Received, Status> {
    let (mut answer, mut all) = (answer, Received::default());
    while let Some(frame) = answer.message().await? {
        match frame.result.expect("a frame") {
            query_range_response::Result::Warnings(text) => all.warnings.push(text),
            query_range_response::Result::Timeseries(one) => all.series.push(one),
            query_range_response::Result::TimeseriesBatch(batch) => all.add(batch.series),
            query_range_response::Result::Stats(_) => all.n_stats += 1,
        }
    }
    Ok(all)
}

impl Received {
    fn add(&mut self, batch: Vec<TimeSeries>) {
        self.longest_batch = self.longest_batch.max(batch.len());
        self.series.extend(batch);
    }

    /// Labels and float values as JSON, with label names sorted.
    fn floats(&self) -> Vec<Value> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let one = |one: &TimeSeries| {
            let metric = one.labels.iter().map(|l| (text(&l.name), Value::String(text(&l.value))));
            let values: Vec<Value> =
                one.samples.iter().map(|s| json!([s.timestamp / 1000, s.value.to_string()])).collect();
            json!({"metric": Value::Object(metric.collect()), "values": values})
        };
        self.series.iter().map(one).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_those_of_the_http_api() {
    let (http, mut client) = querier(sources(&REPLICAS)).await;
    let query = "sum by (job) (up)";
    for batch in [0, 1, 2, 64] {
        let request = QueryRequest {
            query: query.to_owned(),
            time_seconds: TIME,
            enable_dedup: true,
            response_batch_size: batch,
            ..QueryRequest::default()
        };
        let got = client.query(request).await.expect("an answer").into_inner();
        let got = instant(got).await.expect("frames");
        let params = json!([["query", query], ["time", TIME.to_string()]]);
        let (_, want) = ask(http, &get("/api/v1/query", params)).await;
        let want = want["data"]["result"].as_array().expect("a vector").iter();
        let want: Vec<Value> =
            want.map(|one| json!({"metric": one["metric"], "values": [one["value"]]})).collect();
        assert!(want.len() > 2, "{want:?}");
        assert_eq!((got.floats(), got.n_stats, got.warnings.len()), (want, 1, 0));
        assert!(got.longest_batch as i64 <= batch && (batch < 2) == (got.longest_batch == 0));

        let request = QueryRangeRequest {
            query: query.to_owned(),
            start_time_seconds: TIME,
            end_time_seconds: TIME + 600,
            interval_seconds: 60,
            enable_dedup: true,
            response_batch_size: batch,
            ..QueryRangeRequest::default()
        };
        let got = client.query_range(request).await.expect("an answer").into_inner();
        let got = range(got).await.expect("frames");
        let (start, end) = (TIME.to_string(), (TIME + 600).to_string());
        let params = json!([["query", query], ["start", start], ["end", end], ["step", "60"]]);
        let (_, want) = ask(http, &get("/api/v1/query_range", params)).await;
        assert_eq!(json!(got.floats()), want["data"]["result"]);
        assert_eq!(got.n_stats, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_other_types_and_histograms() {
    let (_, mut client) = querier(sources(&REPLICAS)).await;
    let mut ask = async |query: &str| {
        let request = QueryRequest { query: query.to_owned(), time_seconds: TIME, ..QueryRequest::default() };
        let answer = client.query(request).await.expect("an answer").into_inner();
        instant(answer).await.expect("frames")
    };
    let scalar = ask("scalar(vector(3))").await;
    assert_eq!(scalar.floats(), [json!({"metric": {}, "values": [[TIME, "3"]]})]);
    for query in ["\"text\"", "up[5m]"] {
        let nothing = ask(query).await;
        assert_eq!((nothing.series.len(), nothing.n_stats), (0, 1), "{query}");
    }
    let apart = ask("count(up)").await.floats();
    assert!(apart != ask("count(up{replica=\"a\"})").await.floats(), "without dedup replicas are apart");
    let histograms = ask("request_latency_seconds").await;
    assert!(histograms.series.iter().any(|one| !one.histograms.is_empty()));
    let noted = ask("rate(node_load1[5m])").await;
    assert!(noted.warnings.iter().all(|text| !text.contains("(1:")), "{:?}", noted.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_the_codes_of_thanos() {
    let strict = EndpointOptions { strict: true, ..options().endpoint_options(None) };
    let down = Endpoint::new(&nobody().await.to_string(), strict).expect("an address");
    let (_, mut client) = querier(sources(&REPLICAS).and(down)).await;
    let request = |query: &str, partial| QueryRequest {
        query: query.to_owned(),
        time_seconds: TIME,
        enable_partial_response: partial,
        ..QueryRequest::default()
    };
    let refused = client.query(request("up{", true)).await.expect_err("no PromQL");
    assert_eq!(refused.code(), Code::Unknown, "{refused}");
    let failed = client.query(request("up", false)).await.expect_err("a store is down");
    assert_eq!(failed.code(), Code::Aborted, "{failed}");
    let partial = client.query(request("count(up)", true)).await.expect("an answer").into_inner();
    let partial = instant(partial).await.expect("frames");
    assert_eq!((partial.series.len(), partial.warnings.len(), partial.n_stats), (1, 1, 1));
    let no_pairs = client.query(request("up * on () up", true)).await.expect("an answer").into_inner();
    let no_pairs = instant(no_pairs).await.expect("frames");
    assert_eq!((no_pairs.series.len(), no_pairs.warnings.len(), no_pairs.n_stats), (0, 1, 0));

    let engine = QueryRequest { engine: 7, ..request("up", true) };
    assert_eq!(client.query(engine).await.expect_err("no engine").code(), Code::InvalidArgument);
    for (start, end, step) in [(TIME, TIME, 0), (TIME, TIME - 1, 1), (i64::MIN, i64::MAX, 1)] {
        let range = QueryRangeRequest {
            query: "up".to_owned(),
            start_time_seconds: start,
            end_time_seconds: end,
            interval_seconds: step,
            ..QueryRangeRequest::default()
        };
        let error = client.query_range(range).await.expect_err("an absurd range");
        assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    }
}
