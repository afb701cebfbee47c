//! The HTTP server and the routes that every component has.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;

use crate::listener::listen;
use crate::{Metrics, Probes, RuntimeError, Shutdown};

/// `/-/healthy`, `/-/ready` (200 `OK` or 503 `NOT OK`) and `/metrics`.
pub fn ops_router(probes: Probes, metrics: Metrics) -> Router {
    let healthy = probes.clone();
    Router::new()
        .route("/-/healthy", get(async move || probe(healthy.is_healthy())))
        .route("/-/ready", get(async move || probe(probes.is_ready())))
        .route(
            "/metrics",
            get(async move || ([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], metrics.text())),
        )
}

fn probe(good: bool) -> (StatusCode, &'static str) {
    if good { (StatusCode::OK, "OK") } else { (StatusCode::SERVICE_UNAVAILABLE, "NOT OK") }
}

/// A bound HTTP server.
#[derive(Debug)]
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl HttpServer {
    /// Takes the port; fails when it is in use, naming the address.
    pub async fn bind(address: &str) -> Result<HttpServer, RuntimeError> {
        let (listener, address) = listen(address).await?;
        Ok(HttpServer { listener, address })
    }

    /// Where it listens; of use when the port was given as 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the shutdown, then lets open requests end for at most `grace`; 0 ends them at once.
    pub async fn serve(
        self,
        router: Router,
        shutdown: Shutdown,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let address = self.address;
        let begun = shutdown.clone();
        let server =
            axum::serve(self.listener, router).with_graceful_shutdown(async move { begun.wait().await });
        let deadline = async {
            shutdown.wait().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            result = server => result
                .map_err(|e| RuntimeError::Serve { server: "http", address, message: e.to_string() }),
            () = deadline => Ok(()),
        }
    }
}
