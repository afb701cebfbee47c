//! The web API: which blocks there are, and marks by hand. Thanos `pkg/api/blocks/v1.go`, `pkg/api/api.go`.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tithon_engine::plan::NoCompactReason;
use tithon_engine::{BlockId, BlockMeta};
use tithon_runtime::is_same_origin;

use crate::Compactor;
use crate::compactor::ExcludedFrom;
use crate::state::Loaded;

#[derive(Clone)]
struct Api {
    compactor: Compactor,
    label: String,
    admin: bool,
    cors: bool,
}

/// `GET /api/v1/blocks` (the whole bucket, or what the compactor works on with `view=loaded`) and
/// `POST /api/v1/blocks/mark`. `label` is shown with the blocks; without `admin`, marking is refused; with `cors`, pages of other
/// origins may read the list, but never mark.
pub fn router(compactor: Compactor, label: &str, admin: bool, cors: bool) -> Router {
    let api = Api { compactor, label: label.to_owned(), admin, cors };
    Router::new()
        .route("/api/v1/blocks", get(blocks).options(preflight))
        .route("/api/v1/blocks/mark", post(mark))
        .with_state(api)
}

#[derive(Serialize)]
struct Envelope<T> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
    #[serde(rename = "errorType", skip_serializing_if = "Option::is_none")]
    error_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BlocksData {
    label: String,
    blocks: Vec<BlockMeta>,
    refreshed_at: String,
    err: Option<String>,
}

async fn blocks(State(api): State<Api>, Query(query): Query<HashMap<String, String>>) -> Response {
    let inner = &api.compactor.inner;
    let list =
        if query.get("view").is_some_and(|view| view == "loaded") { &inner.loaded } else { &inner.global };
    let data = api.data(list);
    api.answer(
        StatusCode::OK,
        Some(Envelope { status: "success", data: Some(data), error_type: None, error: None }),
    )
}

async fn mark(
    State(api): State<Api>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !is_same_origin(&headers) {
        let error = "blocks are not marked for a page of another origin".to_owned();
        return failure(StatusCode::FORBIDDEN, "forbidden", error);
    }
    let mut fields = query;
    let form = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if form.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        fields.extend(form_urlencoded::parse(&body).into_owned());
    }
    match api.mark(&fields).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failure(StatusCode::BAD_REQUEST, "bad_data", error),
    }
}

fn failure(status: StatusCode, error_type: &'static str, error: String) -> Response {
    let envelope =
        Envelope::<()> { status: "error", data: None, error_type: Some(error_type), error: Some(error) };
    (status, axum::Json(envelope)).into_response()
}

async fn preflight(State(api): State<Api>) -> Response {
    api.answer::<()>(StatusCode::NO_CONTENT, None)
}

impl Api {
    fn data(&self, list: &RwLock<Loaded>) -> BlocksData {
        let list = list.read().unwrap_or_else(PoisonError::into_inner);
        let at = UNIX_EPOCH + Duration::from_millis(list.refreshed_at_ms.unsigned_abs());
        let refreshed_at = match list.refreshed_at_ms {
            0 => "0001-01-01T00:00:00Z".to_owned(),
            _ => humantime::format_rfc3339_millis(at).to_string(),
        };
        BlocksData {
            label: self.label.clone(),
            blocks: list.blocks.iter().map(|block| (**block).clone()).collect(),
            refreshed_at,
            err: list.error.clone(),
        }
    }

    /// The errors are for people; every one of them is answered as bad data, as Thanos does.
    async fn mark(&self, fields: &HashMap<String, String>) -> Result<(), String> {
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        if !self.admin {
            return Err("Admin operations are disabled".to_owned());
        }
        let (id, action, detail) = (field("id"), field("action"), field("detail"));
        if id.is_empty() {
            return Err("ID cannot be empty".to_owned());
        }
        if action.is_empty() {
            return Err("Action cannot be empty".to_owned());
        }
        let block: BlockId = id.parse().map_err(|_| format!("ULID {id:?} is not valid"))?;
        let (compactor, reason) = (&self.compactor, NoCompactReason::Manual);
        let marked = match action {
            "DELETION" => compactor.mark_for_deletion(block, detail, Vec::new()).await,
            "NO_COMPACTION" => compactor.mark_excluded(block, ExcludedFrom::Merging, reason, detail).await,
            _ => return Err(format!("not supported marker {action}")),
        };
        marked.map(drop).map_err(|error| error.to_string())
    }

    fn answer<T: Serialize>(&self, status: StatusCode, envelope: Option<Envelope<T>>) -> Response {
        let mut response = match envelope {
            Some(envelope) => (status, axum::Json(envelope)).into_response(),
            None => status.into_response(),
        };
        if self.cors {
            for (name, value) in [
                ("access-control-allow-origin", "*"),
                ("access-control-allow-methods", "GET, POST, OPTIONS"),
                (
                    "access-control-allow-headers",
                    "Accept, Accept-Encoding, Authorization, Content-Type, Origin",
                ),
                ("access-control-expose-headers", "Date"),
            ] {
                let value = HeaderValue::from_static(value);
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}
