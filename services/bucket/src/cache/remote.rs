//! Pieces on servers: asked within a time, written in the background, left alone while they do not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::guard::Guard;
use super::memcached::Memcached;
use super::redis::Redis;

/// A cache on servers.
#[derive(Debug)]
pub(super) struct Remote {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    guard: Guard,
    /// The longest time that readers wait.
    timeout: Duration,
    ttl: Duration,
    /// Larger items are not sent; 0 is no limit.
    item_bytes_max: u64,
    /// Items that may wait to be written.
    waiting: Arc<Semaphore>,
    /// Writes at the same time.
    writing: Semaphore,
}

/// Items that are written within one timeout: a long list is no sign of a slow server.
const WRITTEN_TOGETHER: usize = 16;

/// What kind of server.
#[derive(Debug)]
pub(super) enum Kind {
    Memcached(Memcached),
    Redis(Box<Redis>),
}

/// Bounds of a cache on servers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) timeout: Duration,
    pub(super) ttl: Duration,
    pub(super) item_bytes_max: u64,
    pub(super) waiting_max: usize,
    pub(super) writes_max: usize,
}

/// Why a server did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    #[error("{server}: {source}")]
    Io { server: String, source: std::io::Error },
    #[error("{server}: found {found:?}, expected {expected}")]
    Answer { server: String, found: String, expected: &'static str },
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("memcached: no server is known by the names in addresses")]
    NoServer,
}

impl Remote {
    pub(super) fn new(kind: Kind, bounds: Bounds) -> Remote {
        let permits = |n: usize| n.clamp(1, Semaphore::MAX_PERMITS);
        let inner = Inner {
            kind,
            guard: Guard::default(),
            timeout: bounds.timeout,
            ttl: bounds.ttl,
            item_bytes_max: bounds.item_bytes_max,
            waiting: Arc::new(Semaphore::new(permits(bounds.waiting_max))),
            writing: Semaphore::new(permits(bounds.writes_max)),
        };
        Remote { inner: Arc::new(inner) }
    }

    /// What is kept under keys; nothing while the servers do not answer.
    pub(super) async fn get(&self, keys: &[String]) -> Vec<Option<Bytes>> {
        let inner = &self.inner;
        let nothing = || vec![None; keys.len()];
        if keys.is_empty() || !inner.guard.may_ask(Instant::now()) {
            return nothing();
        }
        let ask = async {
            match &inner.kind {
                Kind::Memcached(servers) => servers.get(keys).await,
                Kind::Redis(server) => server.get(keys).await,
            }
        };
        inner.in_time(ask).await.unwrap_or_else(nothing)
    }

    /// Keeps items, some time later; those that find no room to wait are dropped.
    pub(super) fn put(&self, items: Vec<(String, Bytes)>) {
        let fits =
            |bytes: &Bytes| self.inner.item_bytes_max == 0 || bytes.len() as u64 <= self.inner.item_bytes_max;
        let items: Vec<_> = items.into_iter().filter(|(_, bytes)| fits(bytes)).collect();
        let n = u32::try_from(items.len()).unwrap_or(u32::MAX);
        if n == 0 || !self.inner.guard.may_ask(Instant::now()) {
            return;
        }
        let Ok(place) = Arc::clone(&self.inner.waiting).try_acquire_many_owned(n) else { return };
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let Ok(_turn) = inner.writing.acquire().await else { return };
            for items in items.chunks(WRITTEN_TOGETHER) {
                let write = async {
                    match &inner.kind {
                        Kind::Memcached(servers) => servers.put(items, inner.ttl).await,
                        Kind::Redis(server) => server.put(items, inner.ttl).await,
                    }
                };
                if inner.in_time(write).await.is_none() {
                    break;
                }
            }
            drop(place);
        });
    }
}

impl Inner {
    /// Waits for an answer; `None` when it fails or comes too late.
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, RemoteError>>) -> Option<T> {
        let answer = tokio::time::timeout(self.timeout, answer).await;
        match answer.unwrap_or(Err(RemoteError::Late(self.timeout))) {
            Ok(answer) => {
                self.guard.answered();
                Some(answer)
            }
            Err(error) => {
                if self.guard.failed(Instant::now()) {
                    warn!(error = %error, "cache does not answer: it is left alone until it does");
                } else {
                    info!(error = %error, "cache failed");
                }
                None
            }
        }
    }
}
