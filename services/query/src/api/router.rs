//! Which path is answered by what, and what all answers have in common: parameters, CORS, gzip, metrics.

use std::future::Future;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use tower_http::compression::CompressionLayer;

use super::answer::{Answer, respond};
use super::{expression, metadata, page, query, status};
use crate::QueryService;
use crate::error::ApiError;
use crate::options::Dialect;
use crate::params::Params;

/// Form bodies are read up to here, as Go does.
const FORM_BYTES_MAX: usize = 10 << 20;

/// The HTTP API and the page at `/`. Probes and `/metrics` are not among it: every component has those.
pub fn router(service: QueryService) -> Router {
    let mut router = Router::new()
        .route("/", get(page::page))
        .route("/graph", get(page::page))
        .route("/api/v1/query", get_or_post("query", query::instant))
        .route("/api/v1/query_range", get_or_post("query_range", query::range))
        .route("/api/v1/query_explain", get_or_post("query", query::explain))
        .route("/api/v1/query_range_explain", get_or_post("query", query::explain_range))
        .route("/api/v1/query_exemplars", get_or_post("exemplars", expression::exemplars))
        .route("/api/v1/series", get_or_post("series", metadata::series))
        .route("/api/v1/labels", get_or_post("label_names", metadata::label_names))
        .route("/api/v1/label/{name}/values", get(label_values))
        .route("/api/v1/stores", get_only("stores", status::stores))
        .route("/api/v1/rules", get_only("rules", status::rules))
        .route("/api/v1/alerts", get_only("alerts", status::alerts))
        .route("/api/v1/targets", get_only("targets", status::targets))
        .route("/api/v1/metadata", get_only("metadata", status::metadata))
        .route("/api/v1/status/buildinfo", get_only("status_build", status::build_info))
        .route("/api/v1/status/flags", get_only("status_flags", status::flags))
        .route("/api/v1/status/runtimeinfo", get_only("status_runtime", status::runtime_info))
        .route("/api/v1/status/tsdb", get_only("status_tsdb", status::tsdb));
    if service.options().dialect == Dialect::Prometheus {
        router = router
            .route("/api/v1/parse_query", get_or_post("parse_query", expression::parse))
            .route("/api/v1/format_query", get_or_post("format_query", expression::format))
            .route("/api/v1/targets/metadata", get_only("targets_metadata", status::targets_metadata))
            .route("/api/v1/alertmanagers", get_only("alertmanagers", status::alertmanagers));
    }
    router
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(service.clone(), cors))
        .layer(CompressionLayer::new())
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(service)
}

/// One request, its parameters read.
pub(crate) struct Call {
    pub(crate) params: Params,
    /// The part of the path that the route names.
    pub(crate) name: String,
}

fn get_only<F, Fut>(handler: &'static str, answer: F) -> MethodRouter<QueryService>
where
    F: Fn(QueryService, Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, ApiError>> + Send,
{
    get(async move |State(service): State<QueryService>, request: Request| {
        run(service, handler, String::new(), request, answer).await
    })
}

fn get_or_post<F, Fut>(handler: &'static str, answer: F) -> MethodRouter<QueryService>
where
    F: Fn(QueryService, Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, ApiError>> + Send,
{
    let post = answer.clone();
    get_only(handler, answer).post(async move |State(service): State<QueryService>, request: Request| {
        run(service, handler, String::new(), request, post).await
    })
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
    let begun = Instant::now();
    let method = request.method().clone();
    let result = match read_params(request).await {
        Ok(params) => answer(service.clone(), Call { params, name }).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &result {
        tracing::debug!(handler, error_type = error.error_type.as_str(), error = %error, "request failed");
    }
    let response = respond(service.options().dialect, result);
    service.inner.metrics.request(handler, method.as_str(), response.status().as_u16(), begun.elapsed());
    response
}

async fn read_params(request: Request) -> Result<Params, ApiError> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let is_form = request.method() == Method::POST
        && content_type(request.headers()).starts_with("application/x-www-form-urlencoded");
    let form = if is_form {
        Bytes::from_request(request, &())
            .await
            .map_err(|e| ApiError::bad_data(format!("error parsing form values: {e}")))?
    } else {
        Bytes::new()
    };
    Ok(Params::parse(&form, &query))
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

async fn not_found(uri: Uri) -> Response {
    if uri.path().contains("//") {
        return redirect_to_clean(&uri);
    }
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

/// Go's router sends paths with empty segments to the path without them.
fn redirect_to_clean(uri: &Uri) -> Response {
    let segments: Vec<&str> = uri.path().split('/').filter(|s| !s.is_empty()).collect();
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let target = format!("/{}{query}", segments.join("/"));
    let body = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", page::escape(&target));
    let mut response = (StatusCode::TEMPORARY_REDIRECT, axum::response::Html(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(&target) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Lets pages of other origins read the answers, as both programs do by default.
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
