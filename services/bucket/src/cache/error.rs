//! Errors of caches on servers.

use std::time::Duration;

/// Why a request to a server failed.
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
