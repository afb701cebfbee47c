//! Metrics of HTTP requests, with Thanos's names. Thanos `pkg/extprom/http`.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::Metrics;
use crate::trace::TRACE_ID;

const SECONDS: [f64; 17] =
    [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0];

/// The handler and tenant of an answer; an extension of answers.
#[derive(Clone, Debug)]
pub struct AnsweredBy {
    /// Name of the handler, if it differs from that of the path.
    pub handler: &'static str,
    /// Tenant of the request.
    pub tenant: String,
}

/// Thanos's name for the tenant of answers without one.
const TENANT: &str = "default-tenant";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    code: u16,
    handler: String,
    method: String,
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Place {
    handler: String,
    method: String,
}

type Trace = [(&'static str, String); 1];

/// The metrics of HTTP requests. Clones share them.
#[derive(Clone)]
pub struct HttpMetrics(Arc<Inner>);

struct Inner {
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, HistogramWithExemplars<Trace>, fn() -> HistogramWithExemplars<Trace>>,
    asked_bytes: Family<Labels, Histogram, fn() -> Histogram>,
    answered_bytes: Family<Labels, Histogram, fn() -> Histogram>,
    in_flight: Family<Place, Gauge<i64, AtomicI64>>,
    tenants: Tenants,
}

/// The tenants that have metrics. Since requests may name any tenant, tenants beyond a limit are counted together.
#[derive(Default)]
struct Tenants(Mutex<HashSet<String>>);

impl Tenants {
    fn shown(&self, tenant: &str) -> String {
        const TENANTS_MAX: usize = 1000;
        const BYTES_MAX: usize = 128;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shown = known.contains(tenant)
            || (known.len() < TENANTS_MAX && tenant.len() <= BYTES_MAX && known.insert(tenant.to_owned()));
        if is_shown { tenant.to_owned() } else { "others".to_owned() }
    }
}

impl HttpMetrics {
    /// Registers the metrics.
    pub fn new(metrics: &Metrics) -> HttpMetrics {
        let sizes: fn() -> Histogram = || Histogram::new(exponential_buckets(64.0, 2.0, 10));
        let inner = Inner {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| HistogramWithExemplars::new(SECONDS.into_iter())),
            asked_bytes: Family::new_with_constructor(sizes),
            answered_bytes: Family::new_with_constructor(sizes),
            in_flight: Family::default(),
            tenants: Tenants::default(),
        };
        metrics.register(|r| {
            let help = "HTTP requests by handler, method, status and tenant";
            r.register("http_requests", help, inner.requests.clone());
            let help = "How long HTTP requests took, their answers sent";
            r.register("http_request_duration_seconds", help, inner.seconds.clone());
            let help = "Bytes of HTTP requests, about";
            r.register("http_request_size_bytes", help, inner.asked_bytes.clone());
            let help = "Bytes of the bodies of HTTP answers";
            r.register("http_response_size_bytes", help, inner.answered_bytes.clone());
            let help = "HTTP requests under way";
            r.register("http_inflight_requests", help, inner.in_flight.clone());
        });
        HttpMetrics(Arc::new(inner))
    }
}

/// Middleware that measures the requests of routes. Requests that match no route are not measured, since callers could
/// invent any number of paths.
pub(crate) async fn measure(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let Some(path) = request.extensions().get::<MatchedPath>() else { return next.run(request).await };
    let place = Place { handler: handler_of(path.as_str()), method: method_of(request.method()) };
    metrics.0.in_flight.get_or_create(&place).inc();
    let mut exchange =
        Exchange { metrics, place, begun: Instant::now(), asked: size_of_request(&request), answered: None };
    let response = next.run(request).await;
    let by = response.extensions().get::<AnsweredBy>();
    let tenant = by.map_or(TENANT, |by| &by.tenant);
    let handler = by.map_or_else(|| exchange.place.handler.clone(), |by| by.handler.to_owned());
    let trace = response.headers().get(TRACE_ID).and_then(|id| id.to_str().ok()).map(str::to_owned);
    exchange.answered = Some(Answered {
        code: response.status().as_u16(),
        handler,
        tenant: tenant.to_owned(),
        trace,
        bytes: 0,
    });
    response.map(|body| Body::new(Measured { body, exchange }))
}

/// The name of a method; callers may invent others than these.
fn method_of(method: &Method) -> String {
    let is_known = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::CONNECT,
        Method::PATCH,
        Method::TRACE,
    ]
    .contains(method);
    if is_known { method.as_str().to_owned() } else { "unknown".to_owned() }
}

/// Thanos's name of the handler of a path.
fn handler_of(path: &str) -> String {
    let name = path.split_once("/api/v1/").map_or(path, |(_, name)| name).trim_matches('/');
    match name {
        "" => "root".to_owned(),
        "labels" => "label_names".to_owned(),
        "label/{name}/values" => "label_values".to_owned(),
        "query_explain" | "query_range_explain" => "query".to_owned(),
        "query_exemplars" => "exemplars".to_owned(),
        "status/buildinfo" => "status_build".to_owned(),
        "status/runtimeinfo" => "status_runtime".to_owned(),
        // A route for all paths below a prefix, which a nested router serves.
        name if name.contains("{*") => "pages".to_owned(),
        name => name.replace('/', "_"),
    }
}

/// Approximate size of a request in bytes: its line, its headers, and its body if its length is known.
fn size_of_request(request: &Request) -> u64 {
    let line = request.method().as_str().len() + request.uri().path().len() + "HTTP/1.1".len();
    let headers: usize =
        request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let body =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    (line + headers) as u64 + body.unwrap_or(0)
}

/// A request and its answer; recorded when it is dropped.
struct Exchange {
    metrics: HttpMetrics,
    place: Place,
    begun: Instant,
    asked: u64,
    /// `None` until there is an answer, and if the client left before.
    answered: Option<Answered>,
}

struct Answered {
    code: u16,
    handler: String,
    tenant: String,
    trace: Option<String>,
    bytes: u64,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let inner = &self.metrics.0;
        inner.in_flight.get_or_create(&self.place).dec();
        let Some(Answered { code, handler, tenant, trace, bytes }) = self.answered.take() else { return };
        let (method, tenant) = (self.place.method.to_ascii_lowercase(), inner.tenants.shown(&tenant));
        let labels = Labels { code, handler, method, tenant };
        inner.requests.get_or_create(&labels).inc();
        let exemplar = trace.map(|id| [("traceID", id)]);
        inner.seconds.get_or_create(&labels).observe(self.begun.elapsed().as_secs_f64(), exemplar, None);
        inner.asked_bytes.get_or_create(&labels).observe(self.asked as f64);
        inner.answered_bytes.get_or_create(&labels).observe(bytes as f64);
    }
}

/// The body of an answer, whose bytes are counted.
struct Measured {
    body: Body,
    exchange: Exchange,
}

impl HttpBody for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        if let Some((data, answered)) = data.zip(self.exchange.answered.as_mut()) {
            answered.bytes += data.len() as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderValue, Request};
    use axum::response::IntoResponse;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn requests_to_routes_are_measured() {
        let metrics = Metrics::new("test");
        let traced = async || {
            let mut response = "four".into_response();
            response.headers_mut().insert(TRACE_ID, HeaderValue::from_static("abc"));
            response.extensions_mut().insert(AnsweredBy { handler: "query", tenant: "team".to_owned() });
            response
        };
        let layer = axum::middleware::from_fn_with_state(HttpMetrics::new(&metrics), measure);
        let router = Router::new()
            .route("/api/v1/query", get(traced))
            .route("/below/api/v1/label/{name}/values", get(async || "x"))
            .layer(layer);
        for path in ["/api/v1/query", "/below/api/v1/label/job/values", "/nowhere"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(
                metrics.text().contains("http_inflight_requests{handler=\"query\",method=\"GET\"} 1"),
                path == "/api/v1/query"
            );
            response.into_body().collect().await.unwrap();
        }
        let text = metrics.text();
        for line in [
            r#"http_requests_total{code="200",handler="query",method="get",tenant="team"} 1"#,
            r#"http_requests_total{code="200",handler="label_values",method="get",tenant="default-tenant"} 1"#,
            r#"http_inflight_requests{handler="query",method="GET"} 0"#,
            r#"http_response_size_bytes_sum{code="200",handler="query",method="get",tenant="team"} 4.0"#,
            r#"# {traceID="abc"}"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("nowhere"), "{text}");
    }

    #[test]
    fn invented_methods_count_together() {
        assert_eq!(method_of(&Method::PATCH), "PATCH");
        assert_eq!(method_of(&Method::from_bytes(b"BREW").unwrap()), "unknown");
    }

    #[test]
    fn tenants_beyond_a_number_count_together() {
        let tenants = Tenants::default();
        let shown: HashSet<String> = (0..2000).map(|i| tenants.shown(&format!("t{i}"))).collect();
        assert_eq!(
            (shown.len(), tenants.shown("t0"), tenants.shown("t1999")),
            (1001, "t0".to_owned(), "others".to_owned())
        );
    }
}
