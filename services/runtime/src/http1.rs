//! A client of HTTP/1.1 that reads answers in place, from one buffer for each connection.
//!
//! A general client hands each chunk of a body from the task of the connection to the reader, which for the many small chunks of a
//! Prometheus costs more than all other work on them. TLS, proxies and redirects are left to such a client.

mod answer;
mod body;
mod client;
mod connection;
mod error;
mod fault;
mod head;

pub use self::answer::HttpAnswer;
pub use self::body::{BodyReader, Framing};
pub use self::client::HttpClient;
pub(crate) use self::client::Limits;
pub use self::error::HttpError;
pub use self::fault::Http1Fault;
pub use self::head::Head;

/// The name that requests tell of their sender.
pub(crate) const USER_AGENT: &str = concat!("tithon/", env!("CARGO_PKG_VERSION"));
