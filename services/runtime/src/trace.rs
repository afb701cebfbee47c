//! Spans of requests, with their context in the headers of W3C Trace Context over HTTP and gRPC. Thanos
//! `pkg/tracing/http.go`, `pkg/tracing/grpc.go`.
//!
//! A span that is not exported costs only the check of a flag.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// If not empty, the request is traced whatever the sampler decides.
const FORCE: HeaderName = HeaderName::from_static("x-thanos-force-tracing");
/// ID of the trace of a sampled request, in its answer.
pub(crate) const TRACE_ID: HeaderName = HeaderName::from_static("x-thanos-trace-id");

/// The server's span of a call, a child of the client's span.
pub(crate) fn server_span(path: &str, headers: &HeaderMap) -> Span {
    let span = call_span(path, "server");
    follow(&span, headers);
    span
}

/// The client's span of a call; adds its context to `headers`.
pub(crate) fn client_span(path: &str, headers: &mut HeaderMap) -> Span {
    let span = call_span(path, "client");
    tell(&span, headers);
    span
}

fn call_span(path: &str, kind: &str) -> Span {
    info_span!(
        "grpc",
        otel.name = path,
        otel.kind = kind,
        rpc.system = "grpc",
        rpc.grpc.status_code = Empty,
        otel.status_code = Empty,
        messages = Empty,
        bytes = Empty,
    )
}

/// Headers with the context of the current span, for an HTTP request to another server.
pub fn trace_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    tell(&Span::current(), &mut headers);
    headers
}

fn tell(span: &Span, headers: &mut HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let context = span.context();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeaderInjector(headers));
    });
}

/// Makes `span` a child of the caller's span, if the headers name one.
fn follow(span: &Span, headers: &HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let parent: Context = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&HeaderExtractor(headers))
    });
    // The span has just begun, so its parent can still be set.
    let _set = span.set_parent(parent);
}

/// The span of an HTTP request.
#[derive(Clone, Debug)]
pub struct RequestSpan(Span);

impl RequestSpan {
    /// Begins the span of a request to `handler`, a child of the caller's span.
    pub fn begin<B>(handler: &str, request: &Request<B>) -> RequestSpan {
        let span = info_span!(
            "http",
            otel.name = format_args!("/{handler} HTTP[server]"),
            otel.kind = "server",
            http.method = request.method().as_str(),
            http.url = request.uri().path(),
            http.status_code = Empty,
            otel.status_code = Empty,
            thanos.force_tracing = Empty,
        );
        if span.is_disabled() {
            return RequestSpan(span);
        }
        follow(&span, request.headers());
        let forced = request.headers().get(FORCE).and_then(|value| value.to_str().ok());
        if let Some(forced) = forced.filter(|value| !value.is_empty()) {
            span.record("thanos.force_tracing", forced);
        }
        RequestSpan(span)
    }

    /// Runs the work of the request inside its span.
    pub async fn inside<T>(&self, work: impl Future<Output = T>) -> T {
        work.instrument(self.0.clone()).await
    }

    /// Records the outcome of the request, and adds the trace's ID to the answer if it is sampled.
    pub fn end(&self, response: &mut Response<Body>) {
        if self.0.is_disabled() {
            return;
        }
        let code = response.status().as_u16();
        self.0.record("http.status_code", code);
        if code >= 500 {
            self.0.record("otel.status_code", "ERROR");
        }
        if let Some(id) = self.trace_id().and_then(|id| HeaderValue::try_from(id).ok()) {
            response.headers_mut().insert(TRACE_ID, id);
        }
    }

    /// ID of the trace, if it is sampled.
    pub fn trace_id(&self) -> Option<String> {
        let context = self.0.context();
        let span = context.span();
        let context = span.span_context();
        (context.is_valid() && context.is_sampled()).then(|| context.trace_id().to_string())
    }
}
