//! The routes of the HTTP API, and what all handlers share: parameters, CORS, compression, metrics.

use std::future::Future;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use http_body_util::Limited;
use tithon_runtime::{AnsweredBy, RequestSpan, compress, url_query};

use super::answer::{Answer, respond};
use super::call::Call;
use super::{companions, expression, metadata, pages, query, status};
use crate::QueryService;
use crate::error::ApiError;
use crate::options::Dialect;
use crate::params::{Params, read_multipart};
use crate::slow::for_log;

/// Most bytes of a form body that are read, as in Go.
const FORM_BYTES_MAX: usize = 10 << 20;
/// Longest time to receive a form body.
const FORM_TIME_MAX: Duration = Duration::from_secs(60);

/// The HTTP API and the pages for people. Probes and `/metrics` are not part of it, since every component has those.
pub fn router(service: QueryService) -> Router {
    let router = pages::routes()
        .route("/api/v1/query", get_or_post("query", query::instant))
        .route("/api/v1/query_range", get_or_post("query_range", query::range))
        .route("/api/v1/query_explain", get_or_post("query", query::explain))
        .route("/api/v1/query_range_explain", get_or_post("query", query::explain_range))
        .route("/api/v1/series", get_or_post("series", metadata::series))
        .route("/api/v1/labels", get_or_post("label_names", metadata::label_names))
        .route("/api/v1/label/{name}/values", no_other_methods(get(label_values), "GET, OPTIONS"))
        .route("/api/v1/stores", get_only("stores", status::stores))
        .route("/api/v1/status/buildinfo", get_only("status_build", status::build_info))
        .route("/api/v1/status/flags", get_only("status_flags", status::flags))
        .route("/api/v1/status/runtimeinfo", get_only("status_runtime", status::runtime_info));
    let router = match service.options().dialect {
        Dialect::Thanos => router
            .route("/api/v1/query_exemplars", get_or_post("exemplars", companions::exemplars))
            .route("/api/v1/rules", get_only("rules", companions::rules))
            .route("/api/v1/alerts", get_only("alerts", companions::alerts))
            .route("/api/v1/targets", get_only("targets", companions::targets))
            .route("/api/v1/metadata", get_only("metadata", companions::metadata))
            .route("/api/v1/status/tsdb", get_only("status_tsdb", companions::tsdb)),
        Dialect::Prometheus => router
            .route("/api/v1/query_exemplars", get_or_post("exemplars", expression::exemplars))
            .route("/api/v1/rules", get_only("rules", status::rules))
            .route("/api/v1/alerts", get_only("alerts", status::alerts))
            .route("/api/v1/targets", get_only("targets", status::targets))
            .route("/api/v1/metadata", get_only("metadata", status::metadata))
            .route("/api/v1/status/tsdb", get_only("status_tsdb", status::tsdb))
            .route("/api/v1/parse_query", get_or_post("parse_query", expression::parse))
            .route("/api/v1/format_query", get_or_post("format_query", expression::format))
            .route("/api/v1/targets/metadata", get_only("targets_metadata", status::targets_metadata))
            .route("/api/v1/alertmanagers", get_only("alertmanagers", status::alertmanagers)),
    };
    router
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(service.clone(), cors))
        .layer(middleware::from_fn_with_state(service.inner.cpu.clone(), compress))
        .with_state(service)
}

fn get_only<F, Fut>(handler: &'static str, answer: F) -> MethodRouter<QueryService>
where
    F: Fn(QueryService, Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, ApiError>> + Send,
{
    no_other_methods(on_get(handler, answer), "GET, OPTIONS")
}

fn get_or_post<F, Fut>(handler: &'static str, answer: F) -> MethodRouter<QueryService>
where
    F: Fn(QueryService, Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, ApiError>> + Send,
{
    let post = answer.clone();
    let both =
        on_get(handler, answer).post(async move |State(service): State<QueryService>, request: Request| {
            run(service, handler, String::new(), request, post).await
        });
    no_other_methods(both, "GET, OPTIONS, POST")
}

fn on_get<F, Fut>(handler: &'static str, answer: F) -> MethodRouter<QueryService>
where
    F: Fn(QueryService, Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, ApiError>> + Send,
{
    get(async move |State(service): State<QueryService>, request: Request| {
        run(service, handler, String::new(), request, answer).await
    })
}

fn no_other_methods(
    methods: MethodRouter<QueryService>,
    allowed: &'static str,
) -> MethodRouter<QueryService> {
    methods.head(move || method_not_allowed(allowed)).fallback(move || method_not_allowed(allowed))
}

async fn label_values(
    State(service): State<QueryService>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    if name.is_empty() {
        return redirect_to_clean(request.uri());
    }
    run(service, "label_values", name, request, metadata::label_values).await
}

async fn run<Fut>(
    service: QueryService,
    handler: &'static str,
    name: String,
    request: Request,
    answer: impl Fn(QueryService, Call) -> Fut,
) -> Response
where
    Fut: Future<Output = Result<Answer, ApiError>>,
{
    let (begun, span) = (Instant::now(), RequestSpan::begin(handler, &request));
    let tenancy = &service.options().tenancy;
    let (tenant, named) = (tenancy.of(&request), tenancy.by_header(&request).to_owned());
    let mut query = String::new();
    let answering = async {
        let params = read_params(request).await?;
        query.push_str(for_log(params.get("query")));
        answer(service.clone(), Call { params, name, tenant }).await
    };
    let result = span.inside(answering).await;
    if let Err(error) = &result {
        let (error_type, took) = (error.error_type.as_str(), begun.elapsed());
        if query.is_empty() {
            tracing::debug!(handler, tenant = named, took = ?took, error_type, error = %error, "request failed");
        } else {
            tracing::info!(handler, query, tenant = named, took = ?took, error_type, error = %error, "query failed");
        }
    }
    let mut response = respond(service.options().dialect, result);
    span.end(&mut response);
    response.extensions_mut().insert(AnsweredBy { handler, tenant: named });
    response
}

/// Reads the parameters from the URL and, for POST, from the form in the body.
async fn read_params(request: Request) -> Result<Params, ApiError> {
    let query = url_query(&request).to_owned();
    if request.method() != Method::POST {
        return Ok(Params::parse(b"", &query));
    }
    let wrong = |e: String| ApiError::bad_data(format!("error parsing form values: {e}"));
    let content_type = content_type(request.headers()).to_owned();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let body = Body::new(Limited::new(request.into_body(), FORM_BYTES_MAX));
    let reading = async {
        match media_type.as_str() {
            "application/x-www-form-urlencoded" => {
                let form = axum::body::to_bytes(body, usize::MAX).await.map_err(|e| wrong(e.to_string()))?;
                Ok(Params::parse(&form, &query))
            }
            "multipart/form-data" => {
                let pairs = read_multipart(body, &content_type).await.map_err(wrong)?;
                Ok(Params::parse(b"", &query).with(pairs))
            }
            _ => Ok(Params::parse(b"", &query)),
        }
    };
    tokio::time::timeout(FORM_TIME_MAX, reading)
        .await
        .unwrap_or_else(|_| Err(wrong(format!("the body did not arrive within {FORM_TIME_MAX:?}"))))
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// The answer of Go's router to a method, HEAD included, that a path does not allow.
async fn method_not_allowed(allowed: &'static str) -> Response {
    let headers = [(header::ALLOW, allowed), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (StatusCode::METHOD_NOT_ALLOWED, headers, "Method Not Allowed\n").into_response()
}

async fn not_found(uri: Uri) -> Response {
    if uri.path().contains("//") {
        return redirect_to_clean(&uri);
    }
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

/// Redirects a path with empty segments to the same path without them, as Go's router does.
fn redirect_to_clean(uri: &Uri) -> Response {
    let segments: Vec<&str> = uri.path().split('/').filter(|s| !s.is_empty()).collect();
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let target = format!("/{}{query}", segments.join("/"));
    let body = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", pages::escape(&target));
    let mut response = (StatusCode::TEMPORARY_REDIRECT, axum::response::Html(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Lets pages of other origins read the answers, as Prometheus and Thanos do by default.
async fn cors(State(service): State<QueryService>, request: Request, next: Next) -> Response {
    let wanted = !service.options().disable_cors && request.headers().contains_key(header::ORIGIN);
    let preflight = request.method() == Method::OPTIONS && request.uri().path().starts_with("/api/v1/");
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    if wanted {
        let headers = response.headers_mut();
        for (name, value) in [
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Accept-Encoding, Authorization, Content-Type, Origin",
            ),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
