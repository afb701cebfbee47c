//! The client of a Swift container: requests with tokens and retries.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use backon::Retryable;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use object_store::{Error, Result};
use reqwest::{Client, Url};
use tokio::sync::Mutex;

use super::auth::{Session, generic};
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

    pub(super) fn number(&self, header: &str) -> Option<u64> {
        self.text(header)?.trim().parse().ok()
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
