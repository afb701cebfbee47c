//! Rules, targets, metadata, exemplars and statistics of servers with made-up data, asked over HTTP in Thanos's dialect
//! through one querier and through two.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};
use tithon_proto::thanos::exemplars_server::{Exemplars, ExemplarsServer};
use tithon_proto::thanos::info::info_server::{Info, InfoServer};
use tithon_proto::thanos::info::{
    ExemplarsInfo, InfoRequest, InfoResponse, MetricMetadataInfo, RulesInfo, StatusInfo, TargetsInfo,
};
use tithon_proto::thanos::metadata_server::{Metadata, MetadataServer};
use tithon_proto::thanos::rules_server::{Rules, RulesServer};
use tithon_proto::thanos::status_server::{Status as StatusApi, StatusServer};
use tithon_proto::thanos::targets_server::{Targets, TargetsServer};
use tithon_proto::thanos::*;
use tithon_query::{Dialect, PartialResponses, QueryOptions};
use tithon_runtime::{Cpu, GrpcServices, Probes};
use tithon_storeapi::{CompanionServer, StoreApiServer};
use tonic::{Request, Response, Status};

use crate::endpoints::{endpoint, get, serve_grpc};
use crate::{Sources, ask, serve, service};

/// The behaviour of a server after the first frame of an answer.
#[derive(Clone, Copy)]
enum Then {
    Ends,
    Fails,
    Hangs,
    /// Sends the same frame again without end.
    Repeats,
}

/// A server like a sidecar, one of several replicas.
#[derive(Clone)]
struct Sidecar {
    replica: &'static str,
    /// The behaviour after the first frame of every answer.
    then: Then,
    /// The exemplar queries that it received.
    exemplar_queries: Arc<Mutex<Vec<String>>>,
}

impl Sidecar {
    fn new(replica: &'static str) -> Sidecar {
        Sidecar { replica, then: Then::Ends, exemplar_queries: Arc::default() }
    }

    fn labels(&self, pairs: &[(&'static str, &'static str)]) -> Option<LabelSet> {
        let all = pairs.iter().copied().chain([("replica", self.replica)]);
        let labels = all.map(|(name, value)| Label { name: name.into(), value: value.into() }).collect();
        Some(LabelSet { labels })
    }

    fn answer<T: Clone + Send + 'static>(&self, frame: T) -> Result<Response<Frames<T>>, Status> {
        let then = match self.then {
            Then::Ends => stream::empty().boxed(),
            Then::Fails => stream::iter([Err(Status::unavailable("gone"))]).boxed(),
            Then::Hangs => stream::pending().boxed(),
            Then::Repeats => stream::repeat(frame.clone()).map(Ok).boxed(),
        };
        Ok(Response::new(stream::iter([Ok(frame)]).chain(then).boxed()))
    }

    async fn serve(self) -> SocketAddr {
        let services = GrpcServices::default()
            .with(InfoServer::new(self.clone()))
            .with(RulesServer::new(self.clone()))
            .with(TargetsServer::new(self.clone()))
            .with(MetadataServer::new(self.clone()))
            .with(ExemplarsServer::new(self.clone()))
            .with(StatusServer::new(self));
        serve_grpc(services).await
    }
}

type Frames<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl Info for Sidecar {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        Ok(Response::new(InfoResponse {
            component_type: "sidecar".to_owned(),
            label_sets: self.labels(&[]).into_iter().collect(),
            rules: Some(RulesInfo {}),
            metric_metadata: Some(MetricMetadataInfo {}),
            targets: Some(TargetsInfo {}),
            exemplars: Some(ExemplarsInfo::default()),
            status: Some(StatusInfo {}),
            ..InfoResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl Rules for Sidecar {
    type RulesStream = Frames<RulesResponse>;

    async fn rules(&self, request: Request<RulesRequest>) -> Result<Response<Self::RulesStream>, Status> {
        let instance = AlertInstance {
            labels: self.labels(&[("alertname", "Down")]),
            state: AlertState::Firing.into(),
            value: "1e+00".to_owned(),
            active_at: Some(prost_types::Timestamp { seconds: 1_710_032_523, nanos: 500_000_000 }),
            ..AlertInstance::default()
        };
        let alert = Alert {
            name: "Down".to_owned(),
            query: "up == 0".to_owned(),
            state: AlertState::Firing.into(),
            duration_seconds: 60.0,
            labels: self.labels(&[("job", "a")]),
            alerts: vec![instance],
            health: "ok".to_owned(),
            ..Alert::default()
        };
        let recording = RecordingRule {
            name: "job:up:sum".to_owned(),
            query: "sum by (job) (up)".to_owned(),
            labels: self.labels(&[]),
            health: "err".to_owned(),
            last_error: "too slow".to_owned(),
            evaluation_duration_seconds: 0.25,
            ..RecordingRule::default()
        };
        let of_kind = |kind| [rules_request::Type::All, kind].contains(&request.get_ref().r#type());
        let alert = of_kind(rules_request::Type::Alert).then_some(rule::Result::Alert(alert));
        let recording = of_kind(rules_request::Type::Record).then_some(rule::Result::Recording(recording));
        let rules = [alert, recording].into_iter().flatten().map(|result| Rule { result: Some(result) });
        let group = RuleGroup {
            name: "g".to_owned(),
            file: "f.yml".to_owned(),
            rules: rules.collect(),
            interval: 30.0,
            ..RuleGroup::default()
        };
        self.answer(RulesResponse { result: Some(rules_response::Result::Group(group)) })
    }
}

#[tonic::async_trait]
impl Targets for Sidecar {
    type TargetsStream = Frames<TargetsResponse>;

    async fn targets(&self, _: Request<TargetsRequest>) -> Result<Response<Self::TargetsStream>, Status> {
        let active = ActiveTarget {
            discovered_labels: self.labels(&[("__address__", "h:1")]),
            labels: self.labels(&[("job", "a")]),
            scrape_pool: "a".to_owned(),
            scrape_url: "http://h:1/metrics".to_owned(),
            health: TargetHealth::Up.into(),
            ..ActiveTarget::default()
        };
        let dropped = DroppedTarget { discovered_labels: self.labels(&[("__address__", "h:2")]) };
        let found = TargetDiscovery { active_targets: vec![active], dropped_targets: vec![dropped] };
        self.answer(TargetsResponse { result: Some(targets_response::Result::Targets(found)) })
    }
}

#[tonic::async_trait]
impl Metadata for Sidecar {
    type MetricMetadataStream = Frames<MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        _: Request<MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        let meta = |help: &str| Meta { r#type: "gauge".into(), help: help.to_owned(), unit: String::new() };
        let metas = vec![meta("whether it answers"), meta(self.replica)];
        let metadata = HashMap::from([("up".to_owned(), MetricMetadataEntry { metas })]);
        let found = metric_metadata_response::Result::Metadata(MetricMetadata { metadata });
        self.answer(MetricMetadataResponse { result: Some(found) })
    }
}

#[tonic::async_trait]
impl Exemplars for Sidecar {
    type ExemplarsStream = Frames<ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        self.exemplar_queries.lock().expect("no panic").push(request.get_ref().query.clone());
        let trace = Label { name: "trace_id".into(), value: "abc".into() };
        let one =
            Exemplar { labels: Some(LabelSet { labels: vec![trace] }), value: 0.5, ts: 1_710_032_523_500 };
        let data = ExemplarData { series_labels: self.labels(&[("job", "a")]), exemplars: vec![one] };
        self.answer(ExemplarsResponse { result: Some(exemplars_response::Result::Data(data)) })
    }
}

#[tonic::async_trait]
impl StatusApi for Sidecar {
    type TSDBStatisticsStream = Frames<TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        _: Request<TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        let head = HeadStatistics { num_series: 10, min_time: 5, max_time: 9, ..HeadStatistics::default() };
        let count = vec![Statistic { name: "up".to_owned(), value: 4 }];
        let entry = TsdbStatisticsEntry {
            head_statistics: Some(head),
            series_count_by_metric_name: count.clone(),
            label_value_count_by_label_name: count,
            ..TsdbStatisticsEntry::default()
        };
        let statistics = HashMap::from([(String::new(), entry)]);
        let found = tsdb_statistics_response::Result::Statistics(TsdbStatistics { statistics });
        self.answer(TsdbStatisticsResponse { result: Some(found) })
    }
}

fn thanos() -> QueryOptions {
    QueryOptions {
        dialect: Dialect::Thanos,
        replica_labels: vec!["replica".to_owned()],
        ..QueryOptions::default()
    }
}

/// The HTTP addresses of a querier over the servers, and of a querier over that querier.
async fn queriers(options: &QueryOptions, servers: &[SocketAddr]) -> [SocketAddr; 2] {
    let over = |addresses: &[SocketAddr]| {
        addresses.iter().fold(Sources::default(), |sources, address| sources.and(endpoint(*address, options)))
    };
    let below = service(options.clone(), over(servers));
    below.refresh().await;
    let probes = Probes::default();
    probes.set_ready(true);
    let below = Arc::new(below);
    let store = StoreApiServer::new(below.clone(), Cpu::new(1).expect("a pool"), probes);
    let nested = serve_grpc(CompanionServer::new(below).and(store.services())).await;
    [serve(options.clone(), over(servers)).await, serve(options.clone(), over(&[nested])).await]
}

async fn data(querier: SocketAddr, path: &str, params: Value) -> Value {
    let (status, answer) = ask(querier, &get(path, params)).await;
    assert_eq!((status, &answer["warnings"]), (200, &Value::Null), "{path}: {answer}");
    answer["data"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_shown_once_at_every_height() {
    let servers = [Sidecar::new("0").serve().await, Sidecar::new("1").serve().await];
    for querier in queriers(&thanos(), &servers).await {
        let rules = data(querier, "/api/v1/rules", json!([])).await;
        let zero_time = "0001-01-01T00:00:00Z";
        let recording = json!({
            "name": "job:up:sum", "query": "sum by (job) (up)", "labels": {}, "health": "err",
            "lastError": "too slow", "evaluationTime": 0.25, "lastEvaluation": zero_time, "type": "recording",
        });
        assert_eq!(rules["groups"].as_array().map(Vec::len), Some(1), "{rules}");
        assert_eq!(rules["groups"][0]["rules"][1], recording);
        let alerting = &rules["groups"][0]["rules"][0];
        assert_eq!((&alerting["state"], &alerting["labels"]), (&json!("firing"), &json!({"job": "a"})));
        assert_eq!((&alerting["duration"], &rules["groups"][0]["interval"]), (&json!(60), &json!(30)));

        let only = data(querier, "/api/v1/rules", json!([["type", "record"]])).await;
        assert_eq!(only["groups"][0]["rules"], json!([recording]));
        let none = data(querier, "/api/v1/rules", json!([["rule_name[]", "other"]])).await;
        assert_eq!(none, json!({"groups": []}));
        let matched = data(querier, "/api/v1/rules", json!([["match[]", "{job=\"a\"}"]])).await;
        assert_eq!(matched["groups"][0]["rules"], json!([alerting]));

        let alerts = data(querier, "/api/v1/alerts", json!([])).await;
        assert_eq!(alerts["alerts"][0]["activeAt"], json!("2024-03-10T01:02:03.5Z"));
        assert_eq!(alerts["alerts"].as_array().map(Vec::len), Some(1), "{alerts}");

        let targets = data(querier, "/api/v1/targets", json!([])).await;
        assert_eq!(targets["droppedTargets"], json!([{"discoveredLabels": {"__address__": "h:2"}}]));
        assert_eq!(targets["activeTargets"].as_array().map(Vec::len), Some(1), "{targets}");
        assert_eq!(targets["activeTargets"][0]["health"], json!("up"));

        let metadata = data(querier, "/api/v1/metadata", json!([])).await;
        let helps = metadata["up"].as_array().into_iter().flatten().map(|meta| meta["help"].clone());
        assert_eq!(helps.collect::<Value>(), json!(["whether it answers", "0", "1"]));
        assert_eq!(data(querier, "/api/v1/metadata", json!([["limit", "0"]])).await, json!({}));

        let exemplars = data(querier, "/api/v1/query_exemplars", json!([["query", "rate(up[5m])"]])).await;
        let one = json!({"labels": {"trace_id": "abc"}, "value": "0.5", "timestamp": 1_710_032_523.5});
        assert_eq!(exemplars, json!([{"seriesLabels": {"job": "a"}, "exemplars": [one]}]));

        let statistics = data(querier, "/api/v1/status/tsdb", json!([])).await;
        assert_eq!(statistics["headStats"]["numSeries"], json!(20));
        assert_eq!(statistics["seriesCountByMetricName"], json!([{"name": "up", "value": 8}]));
        assert_eq!(statistics["labelValueCountByLabelName"], json!([{"name": "up", "value": 4}]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_breaks_costs_a_warning_or_the_request() {
    let servers =
        [Sidecar::new("0").serve().await, Sidecar { then: Then::Fails, ..Sidecar::new("1") }.serve().await];
    let calls = [
        ("/api/v1/rules", json!([]), "receiving rules from rules client Addr: "),
        ("/api/v1/alerts", json!([]), "receiving rules from rules client Addr: "),
        ("/api/v1/targets", json!([]), "receiving targets from targets client Addr: "),
        ("/api/v1/metadata", json!([]), "receiving metric metadata from metadata client Addr: "),
        (
            "/api/v1/query_exemplars",
            json!([["query", "up"]]),
            "receiving exemplars from exemplars client Addr: ",
        ),
        ("/api/v1/status/tsdb", json!([]), "receiving tsdb statistics from status client Addr: "),
    ];
    let off =
        PartialResponses { rules: false, targets: false, metadata: false, exemplars: false, status: false };
    let strict = QueryOptions { partial_responses: off, ..thanos() };
    let (tolerant, strict) = (queriers(&thanos(), &servers).await, queriers(&strict, &servers).await);
    for (path, params, text) in calls {
        for querier in tolerant {
            let (status, answer) = ask(querier, &get(path, params.clone())).await;
            assert_eq!(status, 200, "{answer}");
            let warnings = answer["warnings"].to_string();
            assert!(
                warnings.contains(text) && warnings.contains("code = Unavailable desc = gone"),
                "{answer}"
            );
        }
        for querier in strict {
            let (status, answer) = ask(querier, &get(path, params.clone())).await;
            assert_eq!((status, &answer["errorType"]), (500, &json!("internal")), "{answer}");
            assert!(answer["error"].as_str().is_some_and(|error| error.contains("gone")), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_are_asked_for_without_external_labels() {
    let (first, second) = (Sidecar::new("0"), Sidecar::new("1"));
    let servers = [first.clone().serve().await, second.clone().serve().await];
    let [querier, _] = queriers(&thanos(), &servers).await;
    let query = "sum(rate(a{replica=\"1\",job=\"x\"}[5m])) / sum(b{replica=\"1\"})";
    data(querier, "/api/v1/query_exemplars", json!([["query", query]])).await;
    assert_eq!(*first.exemplar_queries.lock().expect("no panic"), [""; 0]);
    let asked = second.exemplar_queries.lock().expect("no panic").join(" ");
    assert!(asked == "{job=\"x\", __name__=\"a\"}+{__name__=\"b\"}", "{asked}");
    let (status, answer) = ask(querier, &get("/api/v1/query_exemplars", json!([["query", "1"]]))).await;
    let text = "rpc error: code = InvalidArgument desc = no matchers specified (excluding external labels)";
    assert_eq!(
        (status, answer["error"].as_str().is_some_and(|e| e.ends_with(text))),
        (500, true),
        "{answer}"
    );
}

/// A server that hangs or never stops costs a warning, and the other servers' answers are given.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_end_costs_a_warning() {
    let late = Duration::from_millis(300);
    let silence = QueryOptions { store_response_timeout: late, ..thanos() };
    let time = QueryOptions { timeout: late, ..thanos() };
    let bytes = QueryOptions { max_bytes: 64 << 20, ..thanos() };
    let all = ["rules", "alerts", "targets", "metadata", "status/tsdb", "query_exemplars"];
    for (then, options, paths, text) in [
        (Then::Hangs, silence, &all[..], "failed to receive any data in 300ms from Addr: "),
        (Then::Hangs, time, &all[..], "no answer within 300ms (--query.timeout)"),
        (Then::Repeats, bytes, &["rules", "query_exemplars"], "the answer is longer than 16777216 bytes"),
    ] {
        let servers = [Sidecar::new("0").serve().await, Sidecar { then, ..Sidecar::new("1") }.serve().await];
        let [querier, _] = queriers(&options, &servers).await;
        for path in paths {
            let call = get(&format!("/api/v1/{path}"), json!([["query", "up"]]));
            let (status, answer) = ask(querier, &call).await;
            assert_eq!(status, 200, "{path}: {answer}");
            assert!(answer["warnings"].to_string().contains(text), "{path}: {}", answer["warnings"]);
            assert!(answer["data"].to_string().len() > 20, "{path}: {answer}");
        }
    }
}
