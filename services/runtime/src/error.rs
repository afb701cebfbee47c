//! What can go wrong around a server.

use std::io;

use tithon_chunks::ErrorKind;

use crate::WebConfigError;
use crate::tls::TlsError;

/// A server that cannot start or go on, or work that the CPU pool could not finish.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// An address that is not `host:port`, or whose host has no address.
    #[error("listen address {address:?}: {source}")]
    Address {
        /// As it was given.
        address: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The port is in use, or may not be used.
    #[error("listen on {address}: {source}")]
    Bind {
        /// As it was given.
        address: String,
        /// What the system says.
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
        /// Where it listened.
        address: std::net::SocketAddr,
        /// Why it stopped.
        message: String,
    },
    /// Descriptors for reflection that cannot be read.
    #[error("gRPC reflection: {0}")]
    Descriptors(String),
    /// The pool's threads could not be started.
    #[error("start the CPU pool: {0}")]
    Pool(String),
    /// A task on the CPU pool panicked.
    #[error("panic: {0}")]
    Panic(String),
    /// The pool dropped a task before it was run.
    #[error("the CPU pool is gone")]
    PoolGone,
    /// A loop that the process cannot do without panicked or ended.
    #[error("the {name} loop died: {reason}")]
    LoopDied {
        /// What the loop did.
        name: &'static str,
        /// How it ended.
        reason: String,
    },
}

impl RuntimeError {
    /// What the caller should do about it.
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
