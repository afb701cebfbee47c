//! The HTTP server, and the routes of every component.

mod access;
mod connection;
mod long_query;
mod measure;
mod web_config;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::access::Access;
pub use self::long_query::{LongQuery, url_query};
pub(crate) use self::measure::measure;
pub use self::measure::{AnsweredBy, HttpMetrics};
pub use self::web_config::WebConfigError;
use crate::compress::{accepts_gzip, gzip};
use crate::listener::{accept, listen};
use crate::tls::ServerTls;
use crate::{Metrics, Probes, RuntimeError, Shutdown};

/// Fails when the web configuration in a file, or a certificate it names, is invalid.
pub fn check_web_config(path: &Path) -> Result<(), WebConfigError> {
    let tls = Access::new(path.to_owned())?.config()?.tls(path)?.map(ServerTls::new).transpose();
    tls.map(drop).map_err(|source| WebConfigError::Tls { path: path.to_owned(), source })
}

/// Number of open connections; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 8192;

/// The routes `/-/healthy`, `/-/ready` (200 `OK` or 503 `NOT OK`) and `/metrics`.
pub fn ops_router(probes: Probes, metrics: Metrics) -> Router {
    let healthy = probes.clone();
    Router::new()
        .route("/-/healthy", get(async move || probe(healthy.is_healthy())))
        .route("/-/ready", get(async move || probe(probes.is_ready())))
        .route("/metrics", get(async move |headers: HeaderMap| scraped(&metrics, &headers)))
}

/// The metrics in the format that the scraper asks for, compressed if it accepts that.
fn scraped(metrics: &Metrics, headers: &HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, text) = metrics.answer(accept);
    let mut response = ([(header::CONTENT_TYPE, kind)], Vec::new()).into_response();
    let body = match accepts_gzip(headers) {
        true => {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            gzip(&text)
        }
        false => text,
    };
    *response.body_mut() = Body::from(body);
    response
}

fn probe(good: bool) -> (StatusCode, &'static str) {
    if good { (StatusCode::OK, "OK") } else { (StatusCode::SERVICE_UNAVAILABLE, "NOT OK") }
}

/// An HTTP server that is bound to its port. Speaks HTTP/1.1, and HTTP/2 if the TLS handshake agrees on it.
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    access: Option<Access>,
    tls: Option<ServerTls>,
}

impl HttpServer {
    /// Binds the port. Fails when the address is invalid or in use.
    pub async fn bind(address: &str) -> Result<HttpServer, RuntimeError> {
        let (listener, address) = listen(address).await?;
        Ok(HttpServer { listener, address, access: None, tls: None })
    }

    /// Applies TLS, passwords, headers and rate limit of the web configuration in a file to all routes, including
    /// probes and metrics. Changes of the file apply at once.
    ///
    /// Fails when the configuration is invalid.
    pub fn with_web_config(self, path: &Path) -> Result<HttpServer, RuntimeError> {
        let access = Access::new(path.to_owned())?;
        let tls = access.config()?.tls(path)?.map(ServerTls::new).transpose();
        let tls = tls.map_err(|source| WebConfigError::Tls { path: path.to_owned(), source })?;
        Ok(HttpServer { access: Some(access), tls, ..self })
    }

    /// The bound address; useful when the port was given as 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the shutdown, then waits at most `grace` for open requests; 0 ends them at once.
    pub async fn serve(
        self,
        router: Router,
        shutdown: Shutdown,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let router = match self.access {
            Some(access) => router.layer(axum::middleware::from_fn_with_state(access, access::check)),
            None => router,
        };
        let open = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let accepted = async {
                // The semaphore is never closed.
                let permit = Arc::clone(&permits).acquire_owned().await.ok();
                (accept(&self.listener).await, permit)
            };
            let (stream, permit) = tokio::select! {
                accepted = accepted => accepted,
                () = shutdown.wait() => break,
            };
            let tls = self.tls.as_ref().map(ServerTls::config);
            let (router, watcher) = (router.clone(), open.watcher());
            tokio::spawn(async move {
                connection::serve(stream, tls, router, watcher).await;
                drop(permit);
            });
        }
        drop(self.listener);
        // Requests that are open after the grace period end with the process.
        let _ = tokio::time::timeout(grace, open.shutdown()).await;
        Ok(())
    }
}
