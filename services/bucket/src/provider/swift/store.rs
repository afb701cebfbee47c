//! An object store over Swift's own protocol. <https://docs.openstack.org/api-ref/object-store/>

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use backon::Retryable;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, Method, StatusCode};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use reqwest::{Client, Url};
use tokio::sync::Mutex;

use super::auth::{Session, generic};
use super::large::LargeUpload;
use super::{PROVIDER, SwiftConfig};
use crate::Retry;
use crate::connector::Connector;

/// Pause before the first retry.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The client of a container. Clones share connections and the token.
#[derive(Clone)]
pub(super) struct Swift {
    pub(super) config: Arc<SwiftConfig>,
    client: Client,
    session: Arc<Mutex<Option<Session>>>,
}

/// A request, which can be sent several times.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) container: &'a str,
    /// The object's key; empty for the container itself.
    pub(super) key: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) headers: &'a [(&'a str, String)],
    pub(super) body: Bytes,
}

impl<'a> Request<'a> {
    pub(super) fn new(method: Method, container: &'a str, key: &'a str) -> Request<'a> {
        Request { method, container, key, query: &[], headers: &[], body: Bytes::new() }
    }
}

/// A complete answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self, header: &str) -> Option<&str> {
        self.headers.get(header)?.to_str().ok()
    }

    fn number(&self, header: &str) -> Option<u64> {
        self.text(header)?.trim().parse().ok()
    }

    fn meta(&self, location: &Path, size: u64) -> ObjectMeta {
        let seconds = self.text("x-timestamp").and_then(|text| text.parse::<f64>().ok());
        let since = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
        let e_tag = self.text("etag").map(str::to_owned);
        ObjectMeta {
            location: location.clone(),
            last_modified: (UNIX_EPOCH + since).into(),
            size,
            e_tag,
            version: None,
        }
    }
}

impl Swift {
    pub(super) fn new(config: &SwiftConfig) -> Result<Swift> {
        let connect_timeout = config.connect_timeout.limit().unwrap_or(Duration::from_secs(10));
        let client = Connector::new(&config.http_config).client(connect_timeout, config.timeout.limit())?;
        Ok(Swift { config: Arc::new(config.clone()), client, session: Arc::default() })
    }

    pub(super) fn container(&self) -> &str {
        &self.config.container_name
    }

    /// Sends a request, with the configured retries after network errors and server errors. Returns the answer with any
    /// other status.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Answer> {
        let retry = Retry { attempts: self.config.retries.saturating_add(1), first_pause: FIRST_PAUSE };
        let once = || self.send_once(request);
        once.retry(retry.pauses()).when(|error| matches!(error, Error::Generic { .. })).await
    }

    async fn send_once(&self, request: &Request<'_>) -> Result<Answer> {
        let session = self.session(None).await?;
        let answer = self.ask(&session, request).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let session = self.session(Some(&session)).await?;
        self.ask(&session, request).await
    }

    /// The current token, or a new one when `stale` was refused.
    async fn session(&self, stale: Option<&Session>) -> Result<Session> {
        let mut current = self.session.lock().await;
        match current.as_ref() {
            Some(session) if stale.is_none_or(|stale| stale.token != session.token) => Ok(session.clone()),
            _ => Ok(current.insert(self.config.authenticate(&self.client).await?).clone()),
        }
    }

    async fn ask(&self, session: &Session, request: &Request<'_>) -> Result<Answer> {
        let mut url = Url::parse(&session.storage_url).map_err(|_| generic("the account has no URL"))?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(request.container);
            if !request.key.is_empty() {
                path.extend(request.key.split('/'));
            }
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        let mut sent =
            self.client.request(request.method.clone(), url).header("x-auth-token", &session.token);
        for (name, value) in request.headers {
            sent = sent.header(*name, value);
        }
        if request.method == Method::PUT || !request.body.is_empty() {
            sent = sent.body(request.body.clone());
        }
        let response = sent.send().await.map_err(|error| generic(error.without_url()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let is_busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
        // 498 is Swift's own status for too many requests.
        if status.is_server_error() || is_busy || status.as_u16() == 498 {
            return Err(generic(format!("the server answers with status {status}")));
        }
        let body = response.bytes().await.map_err(|error| generic(error.without_url()))?;
        Ok(Answer { status, headers, body })
    }

    /// Sends a request for an object. Fails when the status is not a success.
    pub(super) async fn demand(&self, request: &Request<'_>) -> Result<Answer> {
        let answer = self.send(request).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(refused(request.key, answer.status)) }
    }

    async fn head(&self, location: &Path) -> Result<Answer> {
        self.demand(&Request::new(Method::HEAD, self.container(), location.as_ref())).await
    }

    async fn get(&self, location: &Path, range: Option<&GetRange>) -> Result<GetResult> {
        let headers: Vec<_> = range.map(|range| ("range", range.to_string())).into_iter().collect();
        let request =
            Request { headers: &headers, ..Request::new(Method::GET, self.container(), location.as_ref()) };
        let answer = self.demand(&request).await?;
        let len = answer.body.len() as u64;
        let (start, size) = match (answer.status, answer.text("content-range").and_then(content_range)) {
            (StatusCode::PARTIAL_CONTENT, Some(found)) => found,
            (StatusCode::PARTIAL_CONTENT, None) => {
                return Err(generic("an answer in part has no Content-Range"));
            }
            _ => (0, len),
        };
        let whole = answer.status != StatusCode::PARTIAL_CONTENT;
        let body = match range.map(|range| range.as_range(size)) {
            // A server may ignore the range and return the whole object.
            Some(Ok(range)) if whole => answer.body.slice(range.start as usize..range.end as usize),
            Some(Err(error)) => return Err(generic(error)),
            _ => answer.body.clone(),
        };
        let start = if whole {
            range.and_then(|range| range.as_range(size).ok()).map_or(0, |r| r.start)
        } else {
            start
        };
        let range = start..start + body.len() as u64;
        Ok(GetResult {
            meta: answer.meta(location, size),
            payload: GetResultPayload::Stream(stream::iter([Ok(body)]).boxed()),
            range,
            attributes: Attributes::default(),
            extensions: Default::default(),
        })
    }

    /// Deletes an object, with its segments if it has any.
    async fn delete_one(&self, location: &Path) -> Result<()> {
        let head = self.head(location).await?;
        let key = location.as_ref();
        if head.text("x-static-large-object").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            let query = [("multipart-manifest", "delete")];
            let request = Request { query: &query, ..Request::new(Method::DELETE, self.container(), key) };
            self.demand(&request).await?;
            return Ok(());
        }
        self.demand(&Request::new(Method::DELETE, self.container(), key)).await?;
        match head.text("x-object-manifest").and_then(|manifest| manifest.split_once('/')) {
            Some((container, prefix)) => self.delete_segments(container, prefix).await,
            None => Ok(()),
        }
    }
}

/// The start of the range and the size of the object in `bytes 0-9/100`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()?))
}

/// The error for a status.
pub(super) fn refused(path: &str, status: StatusCode) -> Error {
    let source = format!("the server answers with status {status}").into();
    let path = path.to_owned();
    match status {
        StatusCode::NOT_FOUND => Error::NotFound { path, source },
        StatusCode::UNAUTHORIZED => Error::Unauthenticated { path, source },
        StatusCode::FORBIDDEN => Error::PermissionDenied { path, source },
        StatusCode::PRECONDITION_FAILED => Error::Precondition { path, source },
        _ => generic(source),
    }
}

impl fmt::Debug for Swift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Swift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PROVIDER} container {}", self.container())
    }
}

#[async_trait]
impl ObjectStore for Swift {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if !matches!(options.mode, PutMode::Overwrite) {
            let source = "conditional writes".into();
            return Err(Error::NotSupported { source });
        }
        let request = Request {
            body: payload.into(),
            ..Request::new(Method::PUT, self.container(), location.as_ref())
        };
        let answer = self.demand(&request).await?;
        let e_tag = answer.text("etag").map(str::to_owned);
        Ok(PutResult { e_tag, version: None, extensions: Default::default() })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(LargeUpload::new(self.clone(), location)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !options.head {
            return self.get(location, options.range.as_ref()).await;
        }
        let answer = self.head(location).await?;
        let size = answer.number("content-length").ok_or_else(|| generic("the object has no size"))?;
        Ok(GetResult {
            meta: answer.meta(location, size),
            payload: GetResultPayload::Stream(stream::empty().boxed()),
            range: 0..0,
            attributes: Attributes::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |path: Path| {
            let store = store.clone();
            async move { store.delete_one(&path).await.map(|()| path) }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let listed = async move { store.list_all(prefix.as_ref(), false).await };
        stream::once(listed).map_ok(|listed| stream::iter(listed.objects).map(Ok)).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.list_all(prefix, true).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        if !matches!(options.mode, CopyMode::Overwrite) {
            return Err(Error::NotSupported { source: "conditional copies".into() });
        }
        let headers = [("destination", format!("{}/{to}", self.container()))];
        let method = Method::from_bytes(b"COPY").map_err(generic)?;
        let request = Request { headers: &headers, ..Request::new(method, self.container(), from.as_ref()) };
        self.demand(&request).await.map(drop)
    }
}
