//! Sends requests over kept connections.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, Request, Url};

use super::connection::Connection;
use super::head::request_bytes;
use super::{HttpAnswer, HttpError};

/// A client of requests that may be sent again, such as those that only read. Clones share connections.
///
/// Connections belong to the asynchronous runtime in which they were made: each should have a client of its own.
#[derive(Clone, Debug)]
pub struct HttpClient {
    general: reqwest::Client,
    own: Option<Arc<Pool>>,
}

/// Limits of connections; `None` means no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Time until a connection is there.
    pub(crate) connect: Option<Duration>,
    /// Time in which something must be received.
    pub(crate) silence: Option<Duration>,
    /// Time that a connection is kept without a request.
    pub(crate) idle: Option<Duration>,
    /// Most connections to a host that are kept without a request.
    pub(crate) idle_per_host: usize,
}

/// Connections without a request, those used last behind.
#[derive(Debug)]
struct Pool {
    limits: Limits,
    idle: Mutex<Vec<(Peer, Instant, Connection)>>,
}

/// Host and port of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer(String, u16);

/// Where a connection goes when its answer has been read.
#[derive(Debug)]
pub(super) struct Home {
    pool: Arc<Pool>,
    peer: Peer,
}

impl HttpClient {
    /// A client with connections of its own, unless `limits` are `None`; what they cannot do is left to a general client.
    pub(crate) fn new(general: reqwest::Client, limits: Option<Limits>) -> HttpClient {
        let own = limits.map(|limits| Arc::new(Pool { limits, idle: Mutex::default() }));
        HttpClient { general, own }
    }

    /// Makes requests, which [`HttpClient::send`] takes.
    pub fn requests(&self) -> &reqwest::Client {
        &self.general
    }

    /// Sends a request, and waits for the head of its answer. A kept connection that turns out to be closed is replaced by a new one.
    pub async fn send(&self, request: Request) -> Result<HttpAnswer, HttpError> {
        let (Some(pool), Some(peer)) = (&self.own, peer(&request)) else {
            return Ok(self.general.execute(request).await?.into());
        };
        let home = Home { pool: Arc::clone(pool), peer };
        let bytes = request_bytes(&request);
        let mut connection = home.begin(&bytes).await?;
        let head = connection.head().await?;
        if head.redirects() {
            return Ok(self.general.execute(request).await?.into());
        }
        Ok(HttpAnswer::own(request.url().clone(), head, connection, home))
    }
}

/// The server of a request that a connection of our own can be used for.
fn peer(request: &Request) -> Option<Peer> {
    let is_known =
        matches!(*request.method(), Method::GET | Method::POST) && request.url().scheme() == "http";
    let is_whole = request.body().is_none_or(|body| body.as_bytes().is_some());
    let url: &Url = request.url();
    let peer = Peer(url.host_str()?.to_owned(), url.port_or_known_default()?);
    (is_known && is_whole).then_some(peer)
}

impl Home {
    /// A connection on which the answer to a request has begun.
    async fn begin(&self, request: &[u8]) -> Result<Connection, HttpError> {
        if let Some(mut kept) = self.pool.take(&self.peer) {
            match kept.begin(request).await {
                Ok(true) => return Ok(kept),
                Err(error @ HttpError::Silent(_)) => return Err(error),
                // Closed while the request was on its way.
                Ok(false) | Err(_) => {}
            }
        }
        let Peer(host, port) = &self.peer;
        let Limits { connect, silence, .. } = self.pool.limits;
        let mut fresh = Connection::open(host, *port, connect, silence).await?;
        match fresh.begin(request).await? {
            true => Ok(fresh),
            false => Err(HttpError::CutShort),
        }
    }

    /// Keeps a connection for the next request to the same server.
    pub(super) fn keep(self, mut connection: Connection) {
        if !connection.is_at_rest() {
            return;
        }
        connection.rest();
        let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.pool.drop_old(&mut idle);
        let to_peer = idle.iter().filter(|(peer, ..)| *peer == self.peer).count();
        if to_peer < self.pool.limits.idle_per_host {
            idle.push((self.peer, Instant::now(), connection));
        }
    }
}

impl Pool {
    /// The connection to `peer` that was used last.
    fn take(&self, peer: &Peer) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        self.drop_old(&mut idle);
        while let Some(at) = idle.iter().rposition(|(kept, ..)| kept == peer) {
            let (.., connection) = idle.remove(at);
            if connection.is_at_rest() {
                return Some(connection);
            }
        }
        None
    }

    fn drop_old(&self, idle: &mut Vec<(Peer, Instant, Connection)>) {
        if let Some(limit) = self.limits.idle {
            idle.retain(|(_, since, _)| since.elapsed() < limit);
        }
    }
}
