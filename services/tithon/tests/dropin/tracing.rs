//! `--tracing.config`: spans of a query through both processes, at a collector of the test's own.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

use super::answers::time;
use super::golden;
use super::process::{Server, TITHON, free_port};

/// A span, and the service that sent it.
#[derive(Clone, Debug)]
struct Seen {
    service: String,
    name: String,
    kind: SpanKind,
    trace: String,
    id: String,
    parent: String,
    attributes: Vec<String>,
}

/// Takes spans over gRPC and HTTP for as long as the test runs.
#[derive(Clone, Default)]
struct Collector {
    seen: Arc<Mutex<Vec<Seen>>>,
    grpc: u16,
    http: u16,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Collector {
    fn start() -> Collector {
        let collector = Collector { grpc: free_port(), http: free_port(), ..Collector::default() };
        let (served, (begun, ready)) = (collector.clone(), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let http = TcpListener::bind(("127.0.0.1", served.http)).await.unwrap();
                let address = ([127, 0, 0, 1], served.grpc).into();
                let of_http = served.clone();
                let router = axum::Router::new().route(
                    "/v1/traces",
                    post(async move |body: Bytes| {
                        of_http.take(&ExportTraceServiceRequest::decode(body).unwrap())
                    }),
                );
                let grpc = tonic::transport::Server::builder()
                    .add_service(
                        TraceServiceServer::new(served)
                            .accept_compressed(tonic::codec::CompressionEncoding::Gzip),
                    )
                    .serve(address);
                begun.send(()).unwrap();
                let (grpc, http) = tokio::join!(grpc, axum::serve(http, router).into_future());
                grpc.unwrap();
                http.unwrap();
            });
        });
        ready.recv().unwrap();
        collector
    }

    fn take(&self, request: &ExportTraceServiceRequest) {
        let mut seen = self.seen.lock().unwrap();
        for of in &request.resource_spans {
            let attributes = &of.resource.as_ref().unwrap().attributes;
            let service = attributes.iter().find(|pair| pair.key == "service.name").unwrap();
            let service = format!("{:?}", service.value.as_ref().unwrap().value.as_ref().unwrap());
            for span in of.scope_spans.iter().flat_map(|scope| &scope.spans) {
                seen.push(Seen {
                    service: service.clone(),
                    name: span.name.clone(),
                    kind: span.kind(),
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    attributes: span.attributes.iter().map(|pair| pair.key.clone()).collect(),
                });
            }
        }
    }

    /// The spans of a trace, when `names` are among them.
    fn trace(&self, trace: &str, names: &[&str]) -> Vec<Seen> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let all = self.seen.lock().unwrap().clone();
            let spans: Vec<Seen> = all.into_iter().filter(|span| span.trace == trace).collect();
            let sent = |name: &str| spans.iter().filter(|span| span.name == name).count();
            if names.iter().all(|name| sent(name) >= names.iter().filter(|same| *same == name).count()) {
                return spans;
            }
            assert!(Instant::now() < deadline, "{trace}: {spans:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn store(&self, data: &Path) -> (Server, String) {
        let mut command = Command::new(TITHON);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "100").args(["store", &super::objstore(&golden())]);
        command.arg(format!("--data-dir={}", data.display()));
        let (endpoint, kind) = (self.grpc, "client_type: grpc, compression: gzip");
        command.arg(format!(
            "--tracing.config={{type: OTLP, config: {{{kind}, endpoint: '127.0.0.1:{endpoint}', insecure: true}}}}"
        ));
        Server::of_store(command)
    }

    fn query(&self, store: &str, sampler: &str, pushdown: bool) -> Server {
        let (http, grpc) = (free_port(), free_port());
        let mut command = Command::new(TITHON);
        command.env("OTEL_BSP_SCHEDULE_DELAY", "100").args(["query", &format!("--endpoint={store}")]);
        command.arg(format!("--query.pushdown={pushdown}"));
        command.arg(format!("--http-address=127.0.0.1:{http}"));
        command.arg(format!("--grpc-address=127.0.0.1:{grpc}"));
        command.arg(format!(
            "--tracing.config={{type: otlp, config: {{client_type: http, service_name: q, sampler_type: {sampler}, \
             endpoint: '127.0.0.1:{}', insecure: true}}}}",
            self.http
        ));
        Server::start(command, http)
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.take(&request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Asks for a query with a header; the trace that the answer names.
fn traced(server: &Server, header: Option<(&str, &str)>) -> Option<String> {
    let time = time().to_string();
    let mut request = ureq::get(format!("{}/api/v1/query", server.url))
        .query_pairs([("query", r#"count({__name__=~".+"})"#), ("time", &time)]);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let mut response = request.call().unwrap();
    let id = response.headers().get("X-Thanos-Trace-Id").map(|id| id.to_str().unwrap().to_owned());
    // Spans end with the answer.
    response.body_mut().read_to_string().unwrap();
    id
}

/// The names of the spans; the call is a span on both sides.
const NAMES: [&str; 10] = [
    "/query HTTP[server]",
    "query_gate",
    "promql_plan",
    "promql_query",
    "store_select",
    "/thanos.Store/Series",
    "/thanos.Store/Series",
    "bucket_store_series",
    "block_series",
    "json",
];

#[test]
fn a_query_is_one_trace_through_both_processes() {
    let collector = Collector::start();
    let data = tempfile::tempdir().unwrap();
    let (_store, address) = collector.store(data.path());
    let server = collector.query(&address, "alwayssample", false);
    let trace = traced(&server, None).expect("a sampled request names its trace");
    let spans = collector.trace(&trace, &NAMES);
    let one = |name: &str, kind: SpanKind| {
        let mut found = spans.iter().filter(|span| span.name == name && span.kind == kind);
        let first = found.next().unwrap_or_else(|| panic!("{name}: {spans:#?}"));
        assert!(found.next().is_none(), "{name}: {spans:#?}");
        first
    };
    // From the request down to the block.
    let chain = [
        ("/query HTTP[server]", SpanKind::Server, "StringValue(\"q\")"),
        ("promql_query", SpanKind::Internal, "StringValue(\"q\")"),
        ("store_select", SpanKind::Internal, "StringValue(\"q\")"),
        ("/thanos.Store/Series", SpanKind::Client, "StringValue(\"q\")"),
        ("/thanos.Store/Series", SpanKind::Server, "StringValue(\"tithon-store\")"),
        ("bucket_store_series", SpanKind::Internal, "StringValue(\"tithon-store\")"),
    ];
    let mut parent = String::new();
    for (name, kind, service) in chain {
        let span = one(name, kind);
        assert_eq!((span.parent.as_str(), span.service.as_str()), (parent.as_str(), service), "{name}");
        parent = span.id.clone();
    }
    let blocks = spans.iter().filter(|span| span.name == "block_series");
    assert!(blocks.clone().count() > 0 && blocks.clone().all(|span| span.parent == parent), "{spans:#?}");
    for (name, key) in
        [("store_select", "series"), ("promql_query", "samples"), ("bucket_store_series", "blocks")]
    {
        assert!(one(name, SpanKind::Internal).attributes.contains(&key.to_owned()), "{name}: {spans:#?}");
    }
    // The spans continue a caller's trace.
    let caller = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("00-{caller}-00f067aa0ba902b7-01");
    assert_eq!(traced(&server, Some(("traceparent", &header))).as_deref(), Some(caller));
    let spans = collector.trace(caller, &NAMES);
    let request = spans.iter().find(|span| span.name == NAMES[0]).unwrap();
    assert_eq!(request.parent, "00f067aa0ba902b7");
}

#[test]
fn a_trace_is_made_where_it_is_forced() {
    let collector = Collector::start();
    let data = tempfile::tempdir().unwrap();
    let (_store, address) = collector.store(data.path());
    let server = collector.query(&address, "parentbasedneversample", false);
    assert_eq!(traced(&server, None), None);
    let trace = traced(&server, Some(("X-Thanos-Force-Tracing", "1"))).expect("forced");
    collector.trace(&trace, &NAMES);
    assert!(
        collector
            .seen
            .lock()
            .unwrap()
            .iter()
            .all(|span| span.trace == trace || span.service.contains("store"))
    );
}

/// The store that evaluates a part goes on with the trace.
#[test]
fn a_part_belongs_to_the_trace_of_its_query() {
    let collector = Collector::start();
    let data = tempfile::tempdir().unwrap();
    let (_store, address) = collector.store(data.path());
    let server = collector.query(&address, "alwayssample", true);
    let trace = traced(&server, None).expect("a sampled request names its trace");
    let names = ["promql_query", "store_part", CALL, CALL, "promql_query", "bucket_store_series"];
    let spans = collector.trace(&trace, &names);
    const CALL: &str = "/tithon.Parts/Evaluate";
    let chain = [
        ("promql_query", SpanKind::Internal, "StringValue(\"q\")"),
        ("store_part", SpanKind::Internal, "StringValue(\"q\")"),
        (CALL, SpanKind::Client, "StringValue(\"q\")"),
        (CALL, SpanKind::Server, "StringValue(\"tithon-store\")"),
        ("promql_query", SpanKind::Internal, "StringValue(\"tithon-store\")"),
        ("store_select", SpanKind::Internal, "StringValue(\"tithon-store\")"),
        ("bucket_store_series", SpanKind::Internal, "StringValue(\"tithon-store\")"),
    ];
    let mut parent: Option<String> = None;
    for (name, kind, service) in chain {
        let is_it = |span: &&Seen| {
            let is_child = parent.as_ref().is_none_or(|parent| span.parent == *parent);
            span.name == name && span.kind == kind && span.service == service && is_child
        };
        let span = spans.iter().find(is_it).unwrap_or_else(|| panic!("{name}: {spans:#?}"));
        parent = Some(span.id.clone());
    }
}
