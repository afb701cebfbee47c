//! The part of Google Cloud Storage's XML API that records need: objects with generations, and the precondition
//! `x-goog-if-generation-match`. cloud.google.com/storage/docs/request-preconditions, .../docs/xml-api/reference-headers.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use tokio::task::JoinHandle;

const GENERATION: HeaderName = HeaderName::from_static("x-goog-generation");
const IF_GENERATION_MATCH: &str = "x-goog-if-generation-match";

/// A running server, which ends when this is dropped.
pub struct Gcs {
    port: u16,
    objects: Shared,
    serving: JoinHandle<()>,
}

type Shared = Arc<Mutex<Objects>>;

#[derive(Default)]
struct Objects {
    /// The last generation given to any object: none is given twice.
    generation: u64,
    live: BTreeMap<String, (u64, Bytes)>,
    refused: usize,
    loses_an_answer: bool,
}

impl Gcs {
    /// Starts a server with an empty bucket.
    pub async fn start() -> Gcs {
        let objects = Shared::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route("/thanos", get(list))
            .route("/thanos/{*key}", get(read).put(write).delete(remove))
            .with_state(Arc::clone(&objects));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Gcs { port, objects, serving }
    }

    /// The YAML of `--objstore.config` for the bucket.
    pub fn yaml(&self) -> String {
        format!(
            "type: GCS\nconfig: {{bucket: thanos, max_retries: 3, service_account: \
             '{{\"type\":\"service_account\",\"gcs_base_url\":\"http://127.0.0.1:{}\",\"disable_oauth\":true,\
             \"client_email\":\"\",\"private_key\":\"\",\"private_key_id\":\"\"}}'}}\nprefix: a/b",
            self.port
        )
    }

    /// Requests that a precondition stopped.
    pub fn n_refused(&self) -> usize {
        self.objects.lock().unwrap().refused
    }

    /// Answers the next write with an error after carrying it out.
    pub fn lose_an_answer(&self) {
        self.objects.lock().unwrap().loses_an_answer = true;
    }
}

impl Drop for Gcs {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Objects {
    /// Whether the object is of the generation that the request names; 0 stands for an object that does not exist.
    fn meets(&mut self, key: &str, headers: &HeaderMap) -> bool {
        let wanted = headers.get(IF_GENERATION_MATCH).map(|value| value.to_str().unwrap().parse().unwrap());
        let found = self.live.get(key).map_or(0, |(generation, _)| *generation);
        let meets = wanted.is_none_or(|wanted: u64| wanted == found);
        self.refused += usize::from(!meets);
        meets
    }
}

/// The headers by which an object's state is known.
fn headers(generation: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(GENERATION, generation.into());
    headers.insert(header::ETAG, HeaderValue::from_str(&format!("\"tag-{generation}\"")).unwrap());
    headers.insert(header::LAST_MODIFIED, HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT"));
    headers
}

async fn read(State(objects): State<Shared>, Path(key): Path<String>) -> Response {
    match objects.lock().unwrap().live.get(&key) {
        Some((generation, bytes)) => (headers(*generation), bytes.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn write(
    State(objects): State<Shared>,
    Path(key): Path<String>,
    given: HeaderMap,
    bytes: Bytes,
) -> Response {
    let mut objects = objects.lock().unwrap();
    if !objects.meets(&key, &given) {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    objects.generation += 1;
    let generation = objects.generation;
    objects.live.insert(key, (generation, bytes));
    match std::mem::take(&mut objects.loses_an_answer) {
        true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        false => headers(generation).into_response(),
    }
}

async fn remove(State(objects): State<Shared>, Path(key): Path<String>, given: HeaderMap) -> StatusCode {
    let mut objects = objects.lock().unwrap();
    if !objects.meets(&key, &given) {
        return StatusCode::PRECONDITION_FAILED;
    }
    objects.live.remove(&key).map_or(StatusCode::NOT_FOUND, |_| StatusCode::NO_CONTENT)
}

async fn list(State(objects): State<Shared>, Query(query): Query<HashMap<String, String>>) -> String {
    let prefix = query.get("prefix").map(String::as_str).unwrap_or_default();
    let objects = objects.lock().unwrap();
    let found = objects.live.iter().filter(|(key, _)| key.starts_with(prefix));
    let item = |(key, (generation, bytes)): (&String, &(u64, Bytes))| {
        format!(
            "<Contents><Key>{key}</Key><Size>{}</Size><ETag>tag-{generation}</ETag>\
             <LastModified>2026-01-01T00:00:00Z</LastModified></Contents>",
            bytes.len()
        )
    };
    format!("<ListBucketResult>{}</ListBucketResult>", found.map(item).collect::<String>())
}
