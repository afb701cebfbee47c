//! A cache of pieces on servers: reads have a timeout, writes happen in the background, and servers that fail are not
//! asked for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tracing::{info, warn};

use super::error::RemoteError;
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
    /// How long readers wait for an answer.
    timeout: Duration,
    ttl: Duration,
    /// Larger items are not written; 0 means no limit.
    item_bytes_max: u64,
    /// Limits the items that wait to be written.
    waiting: Arc<Semaphore>,
    /// Limits concurrent writes.
    writing: Semaphore,
}

/// Number of items that share one write timeout, so that a long list does not look like a slow server.
const WRITTEN_TOGETHER: usize = 16;

/// The protocol of the servers.
#[derive(Debug)]
pub(super) enum Kind {
    Memcached(Memcached),
    Redis(Box<Redis>),
}

/// Limits and timeouts of a cache on servers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) timeout: Duration,
    pub(super) ttl: Duration,
    pub(super) item_bytes_max: u64,
    pub(super) waiting_max: usize,
    pub(super) writes_max: usize,
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

    /// The cached values of keys; all missing while the servers do not answer.
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

    /// Writes items in the background; those beyond the limit of waiting items are dropped.
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
    /// Waits for an answer; `None` when it fails or is late.
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, RemoteError>>) -> Option<T> {
        let answer = tokio::time::timeout(self.timeout, answer).await;
        match answer.unwrap_or(Err(RemoteError::Late(self.timeout))) {
            Ok(answer) => {
                self.guard.answered();
                Some(answer)
            }
            Err(error) => {
                if self.guard.failed(Instant::now()) {
                    warn!(error = %error, "cache does not answer, it is not used until it does");
                } else {
                    info!(error = %error, "cache failed");
                }
                None
            }
        }
    }
}
