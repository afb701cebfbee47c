//! Distributed mode over servers of `thanos.Query`: what they are asked, and what becomes of wrong answers.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use serde_json::{Value, json};
use tithon_promql::Partitioning;
use tithon_proto::prometheus_copy::{BucketSpan, Histogram, Sample, TimeSeries};
use tithon_proto::thanos::info::info_server::{Info, InfoServer};
use tithon_proto::thanos::info::{InfoRequest, InfoResponse, QueryApiInfo, StoreInfo, TsdbInfo};
use tithon_proto::thanos::query_server::{Query, QueryServer};
use tithon_proto::thanos::{
    Label, LabelSet, QueryRangeRequest, QueryRangeResponse, QueryRequest, QueryResponse, QueryStats,
    TimeSeriesBatch, query_range_response, query_response,
};
use tithon_query::{Dialect, QueryOptions};
use tithon_runtime::GrpcServices;
use tonic::{Code, Request, Response, Status};

use crate::endpoints::{endpoint, get, serve_grpc};
use crate::{Sources, ask, serve};

const TIME: i64 = 1_710_040_000;

/// How a querier answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    /// One series, in a batch, with a warning and statistics.
    Sound,
    /// The same, one by one and in descending order.
    Unordered,
    /// An error, at once.
    Refuses(Code),
    /// A series, then an error.
    FailsInMidStream,
    /// A series, then nothing.
    Hangs,
    /// A series twice.
    Repeats,
    /// A sample between two steps.
    OtherTimes,
    /// A histogram whose buckets are none.
    WrongHistogram,
    /// Samples without a series around them, and messages without content.
    Empty,
    /// A label of 64 MiB.
    LongLabel,
    /// Series without end.
    Endless,
}

/// A querier of one region, which keeps the requests.
#[derive(Clone)]
struct Peer {
    region: &'static str,
    answer: Answer,
    asked: Arc<Mutex<Vec<QueryRequest>>>,
    asked_ranges: Arc<Mutex<Vec<QueryRangeRequest>>>,
}

fn label(name: &'static str, value: impl Into<Bytes>) -> Label {
    Label { name: Bytes::from_static(name.as_bytes()), value: value.into() }
}

fn series(region: &'static str, pod: String, times: &[i64]) -> TimeSeries {
    let sample = |t: &i64| Sample { value: 1.0, timestamp: *t };
    TimeSeries {
        labels: vec![label("pod", pod), label("region", region)],
        samples: times.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

/// The content of a frame.
#[derive(Clone)]
enum Content {
    Warning,
    One(TimeSeries),
    Batch(Vec<TimeSeries>),
    Stats,
    None,
}

impl Peer {
    fn contents(&self, times: Vec<i64>) -> Result<BoxStream<'static, Result<Content, Status>>, Status> {
        let region = self.region;
        let one = move |pod: &str| series(region, pod.to_owned(), &times);
        Ok(match self.answer {
            Answer::Sound => {
                let all = [Content::Warning, Content::Batch(vec![one("a"), one("b")]), Content::Stats];
                stream::iter(all.map(Ok)).boxed()
            }
            Answer::Unordered => {
                stream::iter([Content::One(one("b")), Content::One(one("a"))].map(Ok)).boxed()
            }
            Answer::Refuses(code) => return Err(Status::new(code, "no")),
            Answer::FailsInMidStream => {
                stream::iter([Ok(Content::One(one("a"))), Err(Status::data_loss("no"))]).boxed()
            }
            Answer::Hangs => stream::iter([Ok(Content::One(one("a")))]).chain(stream::pending()).boxed(),
            Answer::Repeats => stream::iter([one("a"), one("a")].map(|s| Ok(Content::One(s)))).boxed(),
            Answer::OtherTimes => {
                let mut series = one("a");
                series.samples.iter_mut().for_each(|sample| sample.timestamp += 1);
                series.samples.push(Sample { value: 1.0, timestamp: i64::MIN });
                stream::iter([Ok(Content::One(series))]).boxed()
            }
            Answer::WrongHistogram => {
                let spans = vec![BucketSpan { offset: 0, length: u32::MAX }];
                let timestamp = one("a").samples[0].timestamp;
                let histogram = Histogram { positive_spans: spans, timestamp, ..Histogram::default() };
                let series = TimeSeries { samples: Vec::new(), histograms: vec![histogram], ..one("a") };
                stream::iter([Ok(Content::One(series))]).boxed()
            }
            Answer::Empty => stream::iter([Ok(Content::None), Ok(Content::Batch(Vec::new()))]).boxed(),
            Answer::LongLabel => {
                let series = TimeSeries { labels: vec![label("pod", vec![b'x'; 64 << 20])], ..one("a") };
                stream::iter([Ok(Content::One(series))]).boxed()
            }
            Answer::Endless => {
                let pod = move |i: u64| Ok(Content::One(one(&format!("{i:020}{}", "x".repeat(64 << 10)))));
                stream::iter((0..).map(pod)).boxed()
            }
        })
    }
}

#[tonic::async_trait]
impl Query for Peer {
    type QueryStream = BoxStream<'static, Result<QueryResponse, Status>>;
    type QueryRangeStream = BoxStream<'static, Result<QueryRangeResponse, Status>>;

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        use query_response::Result::{Stats, Timeseries, TimeseriesBatch as Batch, Warnings};
        let request = request.into_inner();
        let contents = self.contents(vec![request.time_seconds * 1000])?;
        self.asked.lock().expect("no panic").push(request);
        let frames = contents.map(|content| {
            let result = match content? {
                Content::Warning => Some(Warnings("careful".to_owned())),
                Content::One(series) => Some(Timeseries(series)),
                Content::Batch(series) => Some(Batch(TimeSeriesBatch { series })),
                Content::Stats => Some(Stats(QueryStats { samples_total: 1000, peak_samples: 10 })),
                Content::None => None,
            };
            Ok(QueryResponse { result })
        });
        Ok(Response::new(frames.boxed()))
    }

    async fn query_range(
        &self,
        request: Request<QueryRangeRequest>,
    ) -> Result<Response<Self::QueryRangeStream>, Status> {
        use query_range_response::Result::{Stats, Timeseries, TimeseriesBatch as Batch, Warnings};
        let request = request.into_inner();
        let (start, end) = (request.start_time_seconds, request.end_time_seconds);
        let step = usize::try_from(request.interval_seconds).unwrap_or(1);
        let contents = self.contents((start..=end).step_by(step).map(|t| t * 1000).collect())?;
        self.asked_ranges.lock().expect("no panic").push(request);
        let frames = contents.map(|content| {
            let result = match content? {
                Content::Warning => Some(Warnings("careful".to_owned())),
                Content::One(series) => Some(Timeseries(series)),
                Content::Batch(series) => Some(Batch(TimeSeriesBatch { series })),
                Content::Stats => Some(Stats(QueryStats { samples_total: 1000, peak_samples: 10 })),
                Content::None => None,
            };
            Ok(QueryRangeResponse { result })
        });
        Ok(Response::new(frames.boxed()))
    }
}

#[tonic::async_trait]
impl Info for Peer {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let set = LabelSet { labels: vec![label("region", self.region), label("replica", "a")] };
        let tsdb = TsdbInfo { labels: Some(set.clone()), min_time: 0, max_time: i64::MAX };
        let store =
            StoreInfo { min_time: 0, max_time: i64::MAX, tsdb_infos: vec![tsdb], ..StoreInfo::default() };
        Ok(Response::new(InfoResponse {
            label_sets: vec![set],
            component_type: "query".to_owned(),
            store: Some(store),
            query: Some(QueryApiInfo {}),
            ..InfoResponse::default()
        }))
    }
}

fn options() -> QueryOptions {
    QueryOptions {
        dialect: Dialect::Thanos,
        distributed: Some(Partitioning::default()),
        replica_labels: vec!["replica".to_owned()],
        store_response_timeout: Duration::from_millis(500),
        max_bytes: 256 << 20,
        ..QueryOptions::default()
    }
}

async fn peer(region: &'static str, answer: Answer) -> (Peer, std::net::SocketAddr) {
    let peer = Peer { region, answer, asked: Arc::default(), asked_ranges: Arc::default() };
    let services = GrpcServices::default().with(QueryServer::new(peer.clone()));
    let address = serve_grpc(services.with(InfoServer::new(peer.clone()))).await;
    (peer, address)
}

/// The answer to a query over a sound querier and another one, whose address is returned too.
async fn beside(answer: Answer, path: &str, params: Value) -> (u16, Value, String) {
    let ((_, sound), (_, other)) = (peer("east", Answer::Sound).await, peer("west", answer).await);
    let sources = Sources::default().and(endpoint(sound, &options())).and(endpoint(other, &options()));
    let querier = serve(options(), sources).await;
    let request = get(path, params);
    let asking = tokio::time::timeout(Duration::from_secs(60), ask(querier, &request));
    let (status, answer) = asking.await.expect("an answer in time");
    (status, answer, other.to_string())
}

fn instant(partial: &str) -> Value {
    json!([["query", "sum by (pod, region) (up)"], ["time", TIME.to_string()], ["partial_response", partial]])
}

fn range(partial: &str) -> Value {
    let (start, end) = (TIME.to_string(), (TIME + 120).to_string());
    json!([
        ["query", "sum by (pod, region) (up)"],
        ["start", start],
        ["end", end],
        ["step", "60"],
        ["partial_response", partial]
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn queriers_are_asked_for_their_parts() {
    let ((east, one), (west, other)) =
        (peer("east", Answer::Sound).await, peer("west", Answer::Unordered).await);
    let sources = Sources::default().and(endpoint(one, &options())).and(endpoint(other, &options()));
    let querier = serve(options(), sources).await;
    let time = format!("{TIME}.9");
    let params = json!([["query", "count(up{x=\"y\"} offset 1m)"], ["time", time], ["lookback_delta", "2m"]]);
    let (status, answer) = ask(querier, &get("/api/v1/query", params)).await;
    assert_eq!(status, 200, "{answer}");
    // Two counts of 1 from each.
    assert_eq!(answer["data"]["result"], json!([{"metric": {}, "value": [TIME, "4"]}]));
    assert_eq!(answer["warnings"], json!([format!("remote query warning ({one}): careful")]));
    for peer in [&east, &west] {
        let asked = peer.asked.lock().expect("no panic").clone();
        let expected = QueryRequest {
            query: "count by (region) (up{x=\"y\"} offset 1m)".to_owned(),
            time_seconds: TIME,
            timeout_seconds: 120,
            replica_labels: vec!["replica".to_owned()],
            enable_dedup: true,
            enable_partial_response: true,
            lookback_delta_seconds: 120,
            response_batch_size: 64,
            ..QueryRequest::default()
        };
        assert_eq!(asked, [expected]);
    }
    let params = [("query", "up"), ("start", "1710040000.5"), ("end", "1710040130"), ("step", "60")];
    let mut params: Vec<[&str; 2]> = params.map(|(name, value)| [name, value]).to_vec();
    params.extend([["max_source_resolution", "5m"], ["dedup", "false"], ["partial_response", "false"]]);
    let (status, answer) = ask(querier, &get("/api/v1/query_range", json!(params))).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["data"]["result"].as_array().map(Vec::len), Some(4));
    assert_eq!(answer["data"]["result"][0]["values"].as_array().map(Vec::len), Some(3));
    let asked = east.asked_ranges.lock().expect("no panic").clone();
    let expected = QueryRangeRequest {
        query: "up".to_owned(),
        start_time_seconds: TIME,
        end_time_seconds: TIME + 120,
        interval_seconds: 60,
        timeout_seconds: 120,
        max_resolution_seconds: 300,
        lookback_delta_seconds: 300,
        response_batch_size: 64,
        ..QueryRangeRequest::default()
    };
    assert_eq!(asked, [expected]);
    // What cannot be told to queriers is evaluated here.
    for more in [["storeMatch[]", "{__address__=\"x\"}"], ["dedup_func", "chain"], ["engine", "prometheus"]] {
        let params = json!([["query", "sum(vector(1)) or sum(up)"], ["time", time], more]);
        let (_, answer) = ask(querier, &get("/api/v1/query", params)).await;
        assert_eq!(answer["data"]["result"][0]["value"][1], "1", "{answer}");
    }
    assert_eq!(east.asked.lock().expect("no panic").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_answers_cost_a_warning_or_the_query() {
    let wrong = [
        (Answer::Refuses(Code::Aborted), "rpc error: code = Aborted desc = no"),
        (Answer::Refuses(Code::Unimplemented), "rpc error: code = Unimplemented desc = no"),
        (Answer::FailsInMidStream, "rpc error: code = DataLoss desc = no"),
        (Answer::Hangs, "failed to receive any data in 500ms"),
        (Answer::Repeats, "series {pod=\"a\", region=\"west\"} was sent twice"),
        (Answer::WrongHistogram, "series {pod=\"a\", region=\"west\"}: histogram: "),
        // Longer than messages may be, or than the response timeout.
        (Answer::LongLabel, ""),
    ];
    for (answer, text) in wrong {
        for (path, params) in
            [("/api/v1/query", instant as fn(&str) -> Value), ("/api/v1/query_range", range)]
        {
            let begun = Instant::now();
            let (status, partial, address) = beside(answer, path, params("true")).await;
            assert_eq!(status, 200, "{answer:?}: {partial}");
            let start = format!("remote query error ({address}): {text}");
            let warnings = partial["warnings"].as_array().cloned().unwrap_or_default();
            let is_told = |w: &Value| w.as_str().is_some_and(|w| w.starts_with(&start));
            assert!(warnings.iter().any(is_told), "{answer:?}: {partial}");
            assert_eq!(partial["data"]["result"].as_array().map(Vec::len), Some(2), "{answer:?}: {partial}");
            let (status, strict, address) = beside(answer, path, params("false")).await;
            assert_eq!(status, 422, "{answer:?}: {strict}");
            let start = format!("remote query error ({address}): {text}");
            assert!(strict["error"].as_str().is_some_and(|e| e.starts_with(&start)), "{answer:?}: {strict}");
            assert!(begun.elapsed() < Duration::from_secs(30), "{answer:?}");
        }
    }
    let (_, partial, _) = beside(Answer::OtherTimes, "/api/v1/query_range", range("true")).await;
    let text = format!("a sample at {} ms, which is no step of the query", TIME * 1000 + 1);
    assert!(partial["warnings"].to_string().contains(&text), "{partial}");
    let (_, partial, _) = beside(Answer::OtherTimes, "/api/v1/query", instant("true")).await;
    assert!(partial["warnings"].to_string().contains("2 samples, expected 1"), "{partial}");
    let (status, empty, _) = beside(Answer::Empty, "/api/v1/query", instant("false")).await;
    assert_eq!((status, empty["data"]["result"].as_array().map(Vec::len)), (200, Some(2)), "{empty}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_answers_end_with_the_memory_of_the_query() {
    let (status, answer, _) = beside(Answer::Endless, "/api/v1/query", instant("true")).await;
    let error = answer["error"].as_str().unwrap_or_default();
    assert!(status == 422 && error.contains("--query.max-bytes"), "{status} {error:.200}");
}
