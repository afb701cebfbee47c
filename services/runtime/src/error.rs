//! Errors of servers and of the CPU pool.

use std::io;

use tithon_chunks::ErrorKind;

use crate::WebConfigError;
use crate::tls::TlsError;

/// A server cannot start or continue, or the CPU pool could not finish work.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The address is not `host:port`, or its host cannot be resolved.
    #[error("listen address {address:?}: {source}")]
    Address {
        /// The address in the configuration.
        address: String,
        /// Error of the resolver.
        source: io::Error,
    },
    /// The port is in use or not permitted.
    #[error("listen on {address}: {source}")]
    Bind {
        /// The address in the configuration.
        address: String,
        /// Error of the system.
        source: io::Error,
    },
    /// The file of `--http.config` cannot be used.
    #[error(transparent)]
    WebConfig(#[from] WebConfigError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A server stopped on its own.
    #[error("{server} server on {address}: {message}")]
    Serve {
        /// `http` or `grpc`.
        server: &'static str,
        /// Address that it listened on.
        address: std::net::SocketAddr,
        /// Why it stopped.
        message: String,
    },
    /// The descriptors for reflection are invalid.
    #[error("gRPC reflection: {0}")]
    Descriptors(String),
    /// The threads of the CPU pool could not be started.
    #[error("start the CPU pool: {0}")]
    Pool(String),
    /// A task on the CPU pool panicked.
    #[error("panic: {0}")]
    Panic(String),
    /// The pool was dropped before the task ran.
    #[error("the CPU pool is gone")]
    PoolGone,
    /// A loop that the process needs panicked or ended.
    #[error("the {name} loop died: {reason}")]
    LoopDied {
        /// Name of the loop.
        name: &'static str,
        /// How the loop ended.
        reason: String,
    },
}

impl RuntimeError {
    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            RuntimeError::Address { .. } | RuntimeError::WebConfig(_) => ErrorKind::Invalid,
            RuntimeError::Tls(error) => error.kind(),
            RuntimeError::Bind { .. } | RuntimeError::Serve { .. } => ErrorKind::Unavailable,
            RuntimeError::PoolGone => ErrorKind::Cancelled,
            RuntimeError::Descriptors(_)
            | RuntimeError::Pool(_)
            | RuntimeError::Panic(_)
            | RuntimeError::LoopDied { .. } => ErrorKind::Internal,
        }
    }
}
