//! Endpoints over gRPC: a querier over a querier, and servers that are down, slow, or die in mid-stream.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tithon_proto::thanos::info::info_server::{Info, InfoServer};
use tithon_proto::thanos::info::{InfoRequest, InfoResponse, StoreInfo};
use tithon_proto::thanos::store_server::{Store, StoreServer};
use tithon_proto::thanos::{
    Label, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse, Series,
    SeriesRequest, SeriesResponse, series_response,
};
use tithon_query::{Dialect, MemberSources, Members, QueryOptions};
use tithon_runtime::{Cpu, GrpcServer, GrpcServices, Probes, Shutdown};
use tithon_storeapi::{Endpoint, EndpointOptions, StoreApiServer};
use tonic::{Request, Response, Status};

use crate::{Sources, ask, serve, serve_service, service, sources};

const REPLICAS: [&str; 2] = ["answers/data/replica-a", "answers/data/replica-b"];

pub(crate) async fn serve_grpc(services: GrpcServices) -> SocketAddr {
    let server = GrpcServer::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr();
    let probes = Probes::default();
    tokio::spawn(async move {
        server
            .serve(services, tithon_proto::FILE_DESCRIPTOR_SET, probes, Shutdown::default(), Duration::ZERO)
            .await
    });
    address
}

pub(crate) fn endpoint(address: SocketAddr, options: &QueryOptions) -> Endpoint {
    Endpoint::new(&address.to_string(), options.endpoint_options(None)).expect("an address")
}

pub(crate) fn get(path: &str, params: Value) -> Value {
    json!({"method": "GET", "path": path, "params": params})
}

/// Requests that two servers must answer equally.
fn requests() -> Vec<Value> {
    let time = ["time", "1710040000"];
    let range = json!([["start", "1710030000"], ["end", "1710060000"]]);
    let mut requests = vec![
        get("/api/v1/labels", range.clone()),
        get("/api/v1/label/job/values", range.clone()),
        get("/api/v1/series", json!([["match[]", "node_load1"], range[0], range[1]])),
        get("/api/v1/series", json!([["match[]", "up"], ["dedup", "false"], range[0], range[1]])),
    ];
    for query in [
        "up",
        "sum by (job) (rate(http_requests_total[5m]))",
        "request_latency_seconds",
        "count({__name__=~\"node_.*\"})",
    ] {
        requests.push(get("/api/v1/query", json!([["query", query], time])));
    }
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn a_querier_under_a_querier_gives_the_same_answers() {
    let options = QueryOptions { replica_labels: vec!["replica".into()], ..QueryOptions::default() };
    let (below, probes) = (service(options.clone(), sources(&REPLICAS)), Probes::default());
    probes.set_ready(true);
    let server = StoreApiServer::new(Arc::new(below), Cpu::new(0).expect("a pool"), probes);
    let below = serve_grpc(server.services()).await;
    let above = serve(options.clone(), Sources::default().and(endpoint(below, &options))).await;
    let direct = serve(options, sources(&REPLICAS)).await;
    for request in requests() {
        let (got, want) = (ask(above, &request).await, ask(direct, &request).await);
        assert_eq!(want.0, 200, "{request}: {}", want.1);
        assert!(want.1["data"] != json!([]), "{request}");
        assert_eq!(got, want, "{request}");
    }
}

/// How a server behaves when it is asked for series.
#[derive(Clone, Copy)]
enum Fault {
    Answers,
    DiesInTheMiddle,
    NeverAnswers,
}

#[tonic::async_trait]
impl Store for Fault {
    type SeriesStream = BoxStream<'static, Result<SeriesResponse, Status>>;

    async fn series(&self, request: Request<SeriesRequest>) -> Result<Response<Self::SeriesStream>, Status> {
        let tenant = request.metadata().get("thanos-tenant").and_then(|name| name.to_str().ok());
        let label = |name: &'static str, value: &str| Label {
            name: name.into(),
            value: Bytes::copy_from_slice(value.as_bytes()),
        };
        let labels =
            vec![label("__name__", "half"), label("job", "x"), label("tenant", tenant.unwrap_or_default())];
        let series = Series { labels, chunks: Vec::new() };
        let first = Ok(SeriesResponse { result: Some(series_response::Result::Series(series)) });
        let rest: Self::SeriesStream = match self {
            Fault::Answers => futures::stream::empty().boxed(),
            Fault::DiesInTheMiddle => futures::stream::iter([Err(Status::unavailable("gone"))]).boxed(),
            Fault::NeverAnswers => futures::stream::pending().boxed(),
        };
        Ok(Response::new(futures::stream::iter([first]).chain(rest).boxed()))
    }

    async fn label_names(
        &self,
        _: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        Err(Status::internal("no names"))
    }

    async fn label_values(
        &self,
        _: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        Err(Status::internal("no values"))
    }
}

#[tonic::async_trait]
impl Info for Fault {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let store = StoreInfo { min_time: 0, max_time: i64::MAX, ..StoreInfo::default() };
        let component_type = "store".to_owned();
        Ok(Response::new(InfoResponse { store: Some(store), component_type, ..InfoResponse::default() }))
    }
}

async fn faulty(fault: Fault) -> SocketAddr {
    serve_grpc(GrpcServices::default().with(StoreServer::new(fault)).with(InfoServer::new(fault))).await
}

/// Asks for series with and without partial responses: `warning` must be in the warnings or in the error.
async fn check_fault(endpoint: Endpoint, options: QueryOptions, warning: &str) {
    let address = serve(options, sources(&REPLICAS[..1]).and(endpoint)).await;
    let params = |partial| {
        json!([
            ["match[]", "{__name__=~\"half|node_load1\"}"],
            ["start", "1710030000"],
            ["end", "1710060000"],
            ["partial_response", partial]
        ])
    };
    let (status, answer) = ask(address, &get("/api/v1/series", params("true"))).await;
    assert_eq!(status, 200, "{answer}");
    let names: Vec<&str> =
        answer["data"].as_array().into_iter().flatten().filter_map(|s| s["__name__"].as_str()).collect();
    assert_eq!(
        names.iter().filter(|n| **n == "node_load1").count(),
        6,
        "other sources still answer: {answer}"
    );
    assert!(answer["warnings"][0].as_str().is_some_and(|w| w.contains(warning)), "{}", answer["warnings"]);
    let (status, answer) = ask(address, &get("/api/v1/series", params("false"))).await;
    assert_eq!((status, &answer["status"]), (422, &json!("error")), "{answer}");
    assert!(answer["error"].as_str().is_some_and(|e| e.contains(warning)), "{answer}");
}

fn quick() -> QueryOptions {
    QueryOptions { store_response_timeout: Duration::from_millis(200), ..QueryOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_dies_costs_a_warning_or_the_request() {
    let address = faulty(Fault::DiesInTheMiddle).await;
    let options = QueryOptions::default();
    check_fault(endpoint(address, &options), options, "rpc error: code = Unavailable desc = gone").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_endpoint_costs_a_warning_or_the_request() {
    let address = faulty(Fault::NeverAnswers).await;
    check_fault(endpoint(address, &quick()), quick(), "failed to receive any data in 200ms").await;
}

/// A port that was free a moment ago.
pub(crate) async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_endpoint_that_is_down_costs_a_warning_or_the_request() {
    let (address, options) = (nobody().await, QueryOptions::default());
    let strict = EndpointOptions { strict: true, ..options.endpoint_options(None) };
    let endpoint = Endpoint::new(&address.to_string(), strict).expect("an address");
    check_fault(endpoint, options, &address.to_string()).await;
}

/// The number of matching series names, the warnings, and what `/api/v1/stores` says of an endpoint: component and last
/// error.
async fn seen(querier: SocketAddr, endpoint: SocketAddr) -> (usize, Value, Option<(String, Value)>) {
    let params = json!([
        ["match[]", "{__name__=~\"half|node_load1\"}"],
        ["start", "1710030000"],
        ["end", "1710060000"],
        ["partial_response", "false"]
    ]);
    let (status, answer) = ask(querier, &get("/api/v1/series", params)).await;
    assert_eq!(status, 200, "{answer}");
    let (_, stores) = ask(querier, &get("/api/v1/stores", json!([]))).await;
    let of_kind = |(kind, list): (&String, &Value)| {
        let one = list.as_array()?.iter().find(|one| one["name"] == json!(endpoint.to_string()))?;
        Some((kind.clone(), one["lastError"].clone()))
    };
    let listed = stores["data"].as_object().into_iter().flatten().find_map(of_kind);
    (answer["data"].as_array().map_or(0, Vec::len), answer["warnings"].clone(), listed)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_left_out_while_it_is_down() {
    let address = nobody().await;
    let options = QueryOptions { unhealthy_timeout: Duration::ZERO, ..QueryOptions::default() };
    let sources = sources(&REPLICAS[..1]).and(endpoint(address, &options));
    let querier = service(options, sources);
    querier.refresh().await;
    let http = serve_service(querier.clone()).await;

    let (found, warnings, listed) = seen(http, address).await;
    let (kind, error) = listed.expect("a listed endpoint");
    assert_eq!((found, &warnings, kind.as_str()), (6, &Value::Null, "unknown-store-api"));
    assert!(error.as_str().is_some_and(|e| e.contains("rpc error: code = Unavailable")), "{error}");

    let (stop, fault) = (Shutdown::default(), Fault::Answers);
    let services = GrpcServices::default().with(StoreServer::new(fault)).with(InfoServer::new(fault));
    let server = GrpcServer::bind(&address.to_string()).await.expect("the port");
    let descriptors = tithon_proto::FILE_DESCRIPTOR_SET;
    let serving = server.serve(services, descriptors, Probes::default(), stop.clone(), Duration::ZERO);
    let serving = tokio::spawn(serving);
    let mut listed = None;
    for _ in 0..100 {
        querier.refresh().await;
        let (found, warnings, now) = seen(http, address).await;
        listed = now;
        if found == 7 {
            assert_eq!(warnings, Value::Null);
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(listed, Some(("store".to_owned(), Value::Null)), "it is asked again");

    stop.trigger();
    serving.await.expect("the server's end").expect("no error");
    querier.refresh().await;
    let (found, warnings, listed) = seen(http, address).await;
    assert_eq!((found, warnings), (6, Value::Null));
    // The endpoint is forgotten at once, because its unhealthy timeout is zero.
    assert_eq!(listed.map(|(kind, _)| kind).as_deref(), Some("unknown-store-api"));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_group_take_turns_and_one_that_is_down_has_none() {
    let (alive, down, options) = (faulty(Fault::Answers).await, nobody().await, QueryOptions::default());
    let group = Endpoint::group(&alive.to_string(), options.endpoint_options(None));
    group.set_addresses([down.to_string(), alive.to_string()]).expect("addresses");
    let querier = serve(options, sources(&REPLICAS[..1]).and(group)).await;
    for _ in 0..6 {
        let (found, warnings, _) = seen(querier, alive).await;
        assert_eq!((found, warnings), (7, Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_come_and_go_with_files() {
    let (address, folder) = (faulty(Fault::Answers).await, tempfile::tempdir().expect("a folder"));
    let list = folder.path().join("stores.json");
    let write = |targets: Value| {
        std::fs::write(&list, json!([{ "targets": targets }]).to_string()).expect("a file");
    };
    let sources_of_members = MemberSources {
        sd_files: (vec![list.to_str().unwrap().to_owned()], Duration::ZERO),
        ..MemberSources::default()
    };
    let mut members = Members::new(sources_of_members).expect("members");
    let querier = service(QueryOptions::default(), sources(&REPLICAS[..1]));
    let http = serve_service(querier.clone()).await;
    for (targets, expected) in
        [(json!([address.to_string(), "no port"]), 7), (json!([]), 6), (json!([address.to_string()]), 7)]
    {
        write(targets);
        members.update(&querier).await.expect("an update");
        querier.refresh().await;
        let (found, warnings, listed) = seen(http, address).await;
        assert_eq!((found, warnings, listed.is_some()), (expected, Value::Null, expected == 7));
    }
}

/// Sources with mistakes are an error at the start; later the last valid configuration would stay.
#[test]
fn sources_that_cannot_be_used_are_told_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("endpoints.yml");
    let config = |text: &str| {
        std::fs::write(&path, text).expect("a file");
        let config_file = Some((path.clone(), Duration::from_secs(1)));
        let members = Members::new(MemberSources { config_file, ..MemberSources::default() });
        members.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(config("endpoints: [{address: 'a:1'}]"), Ok(()));
    let ca = folder.path().join("ca.pem").display().to_string();
    let tls = format!("endpoints: [{{address: 'a:1', client_config: {{tls_config: {{ca_file: '{ca}'}}}}}}]");
    let error = config(&tls).unwrap_err();
    assert!(error.starts_with("--endpoint.sd-config-file=") && error.contains(&ca), "{error}");
    let sources = MemberSources { sd_files: (vec!["a/[".to_owned()], Duration::ZERO), ..Default::default() };
    let error = Members::new(sources).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("--store.sd-files=a/[: "), "{error}");
}

/// The tenant of a request reaches the stores through any number of queriers.
#[tokio::test(flavor = "multi_thread")]
async fn the_tenant_of_a_request_reaches_the_stores() {
    let options = QueryOptions { dialect: Dialect::Thanos, ..QueryOptions::default() };
    let server = faulty(Fault::Answers).await;
    let below = service(options.clone(), Sources::default().and(endpoint(server, &options)));
    below.refresh().await;
    let probes = Probes::default();
    probes.set_ready(true);
    let nested = StoreApiServer::new(Arc::new(below.clone()), Cpu::new(1).expect("a pool"), probes);
    let nested = serve_grpc(nested.services()).await;
    let above = serve(options.clone(), Sources::default().and(endpoint(nested, &options))).await;
    for querier in [serve_service(below).await, above] {
        for (tenant, expected) in [(json!("blue"), "blue"), (Value::Null, "default-tenant")] {
            let params = json!([["match[]", "half"], ["start", "1710030000"], ["end", "1710060000"]]);
            let mut request = get("/api/v1/series", params);
            request["tenant"] = tenant;
            let (status, answer) = ask(querier, &request).await;
            assert_eq!((status, &answer["data"][0]["tenant"]), (200, &json!(expected)), "{answer}");
            request["tenant"] = json!("a/b");
            let (status, answer) = ask(querier, &request).await;
            assert_eq!((status, &answer["error"]), (400, &json!("tenant name not valid")));
        }
    }
}
