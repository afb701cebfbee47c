//! The web API: lists the served blocks and their cardinality. Thanos `cmd/thanos/store.go`, `pkg/api/blocks/v1.go`.

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tithon_engine::{BlockId, BlockMeta};
use tithon_runtime::Priority;

use crate::{Cardinality, Store};

#[derive(Serialize)]
struct Envelope {
    status: &'static str,
    data: Blocks,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blocks {
    label: String,
    blocks: Vec<BlockMeta>,
    refreshed_at: String,
    err: Option<String>,
}

impl Store {
    /// The routes of the web API.
    ///
    /// - `GET /api/v1/blocks`: with `view=loaded` the metas of the served blocks and the time of the last sync; any
    ///   other view is empty, as in Thanos's store gateway.
    /// - `GET /api/v1/cardinality?block=ULID&limit=20`, which Thanos does not have: the labels and metrics with the
    ///   most values and series in a served block.
    ///
    /// `label` is shown with the blocks; with `cors`, pages of other origins may read the answers.
    pub fn router(&self, label: &str, cors: bool) -> Router {
        let label = label.to_owned();
        let list = async move |store: State<Store>, query: Query<HashMap<String, String>>| {
            blocks(store, query, label).await
        };
        let router = Router::new().route("/api/v1/blocks", get(list));
        let router = router.route("/api/v1/cardinality", get(block_cardinality)).with_state(self.clone());
        if cors { router.layer(axum::middleware::map_response(with_cors)) } else { router }
    }
}

/// Lets pages of other origins read an answer.
async fn with_cors(mut response: Response) -> Response {
    for (name, value) in [
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "Accept, Accept-Encoding, Authorization, Content-Type, Origin",
        ),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn blocks(
    State(store): State<Store>,
    Query(query): Query<HashMap<String, String>>,
    label: String,
) -> Json<Envelope> {
    let is_loaded = query.get("view").is_some_and(|view| view == "loaded");
    let data = if is_loaded { loaded(&store) } else { Blocks::new(Vec::new(), 0, None) };
    Json(Envelope { status: "success", data: Blocks { label, ..data } })
}

/// Parameters of `/api/v1/cardinality`.
#[derive(Deserialize)]
struct CardinalityQuery {
    block: BlockId,
    #[serde(default = "twenty")]
    limit: usize,
}

fn twenty() -> usize {
    20
}

/// Largest number of entries in a list.
const LIMIT_MAX: usize = 10_000;

async fn block_cardinality(
    State(store): State<Store>,
    Query(query): Query<CardinalityQuery>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let failed = |code, kind, error: String| {
        (code, Json(json!({ "status": "error", "errorType": kind, "error": error })))
    };
    let block = store.inner.blocks.load().served.get(&query.block).cloned();
    let missing =
        || failed(StatusCode::NOT_FOUND, "not_found", format!("block {} is not served", query.block));
    let block = block.ok_or_else(missing)?;
    let broken = |error: String| failed(StatusCode::UNPROCESSABLE_ENTITY, "execution", error);
    let open = block.get(&store.inner).await.map_err(|error| broken(error.to_string()))?;
    let (limit, cpu) = (query.limit.min(LIMIT_MAX), store.inner.cpu.clone());
    let work = cpu.run(Priority::Query, move || {
        let found = Cardinality::of(open.header(), limit).map_err(|error| error.to_string())?;
        open.check().map_err(|error| error.to_string())?;
        Ok::<_, String>(found)
    });
    let found = work.await.map_err(|error| broken(error.to_string()))?.map_err(broken)?;
    Ok(Json(json!({ "status": "success", "data": found })))
}

fn loaded(store: &Store) -> Blocks {
    let blocks = store.inner.blocks.load();
    let metas = blocks.served.values().map(|block| BlockMeta::clone(block.meta())).collect();
    let last = store.inner.last_sync.load();
    Blocks::new(metas, last.at_ms, last.error.clone())
}

impl Blocks {
    /// `at_ms` is the time of the last sync in milliseconds since 1970; 0 means there was none.
    fn new(blocks: Vec<BlockMeta>, at_ms: u64, err: Option<String>) -> Blocks {
        let refreshed_at = match at_ms {
            0 => "0001-01-01T00:00:00Z".to_owned(),
            at_ms => humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at_ms)).to_string(),
        };
        Blocks { label: String::new(), blocks, refreshed_at, err }
    }
}
