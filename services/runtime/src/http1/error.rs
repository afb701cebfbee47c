//! Why a request got no answer.

use std::io;
use std::time::Duration;

use super::Http1Fault;

/// Why a request got no answer, or only a part of it.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Error of the general client, without the URL.
    #[error(transparent)]
    Client(reqwest::Error),
    /// The server cannot be reached.
    #[error("connect to {address}")]
    Connect {
        /// Host and port.
        address: String,
        /// Error of the look-up, or of the last of its addresses.
        source: io::Error,
    },
    /// The connection broke.
    #[error("connection")]
    Connection(#[from] io::Error),
    /// The server did not take or send anything for too long.
    #[error("nothing was received in {0:?}")]
    Silent(Duration),
    /// The connection was closed before the end of the answer.
    #[error("the connection was closed within the answer")]
    CutShort,
    /// What was received is no answer.
    #[error(transparent)]
    Fault(#[from] Http1Fault),
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> HttpError {
        HttpError::Client(error.without_url())
    }
}
