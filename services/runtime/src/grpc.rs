//! The gRPC server: a component's services, health checks and reflection.

mod compression;
mod encoding;
mod services;
mod tls_incoming;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use self::compression::Compressed;
pub use self::compression::Packing;
pub use self::encoding::GrpcEncoding;
pub use self::services::GrpcServices;
use crate::calls::{CallMetrics, Side, Watch};
use crate::listener::listen;
use crate::tls::ServerTls;
use crate::{LateServices, Metrics, Probes, RequestLog, RuntimeError, Shutdown};

/// Largest HTTP/2 frame in bytes, if the client accepts it; larger frames need fewer system calls.
const FRAME_BYTES: u32 = 1 << 20;
/// Flow-control window in bytes, of a stream and of a connection.
const WINDOW_BYTES: u32 = 8 << 20;
/// Number of concurrent calls per connection; further calls of the client wait.
const STREAMS_MAX: u32 = 1000;
/// Number of calls of a connection that the client may cancel before they were accepted. Beyond it the client is taken
/// for an attacker and its connection closed, which ends all calls on it. It is high because a querier whose clients
/// leave may cancel many calls.
const RESETS_MAX: usize = STREAMS_MAX as usize;
/// Time without data after which a connection is pinged.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// Time to wait for the answer to a ping before the connection is closed.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A gRPC server that is bound to its port.
pub struct GrpcServer {
    listener: TcpListener,
    address: SocketAddr,
    calls: Option<CallMetrics>,
    tls: Option<ServerTls>,
    max_connection_age: Option<Duration>,
    log: RequestLog,
}

impl GrpcServer {
    /// Binds the port. Fails when the address is invalid or in use.
    pub async fn bind(address: &str) -> Result<GrpcServer, RuntimeError> {
        let (listener, address) = listen(address).await?;
        let log = RequestLog::default();
        Ok(GrpcServer { listener, address, calls: None, tls: None, max_connection_age: None, log })
    }

    /// Counts calls in `grpc_server_*`, for the methods in `descriptors`, an encoded `FileDescriptorSet`, and the
    /// health service.
    pub fn with_metrics(self, metrics: &Metrics, descriptors: &[u8]) -> GrpcServer {
        let descriptors = [descriptors, tonic_health::pb::FILE_DESCRIPTOR_SET];
        GrpcServer { calls: Some(CallMetrics::new(metrics, Side::Server, &descriptors)), ..self }
    }

    /// A handle to give the server its services later.
    pub fn late_services(&self) -> LateServices {
        LateServices::counted_by(self.calls.clone())
    }

    /// Uses TLS; `None` is clear text.
    pub fn with_tls(self, tls: Option<ServerTls>) -> GrpcServer {
        GrpcServer { tls, ..self }
    }

    /// Asks clients to reconnect after this time, so that load spreads over replicas; 0 means never. Calls in progress
    /// continue to their end.
    pub fn with_max_connection_age(self, age: Duration) -> GrpcServer {
        GrpcServer { max_connection_age: (!age.is_zero()).then_some(age), ..self }
    }

    /// Logs calls as configured.
    pub fn with_request_log(self, log: RequestLog) -> GrpcServer {
        GrpcServer { log, ..self }
    }

    /// The bound address; useful when the port was given as 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `services`, `grpc.health.v1` for the empty service name according to `probes`, and reflection (v1 and
    /// v1alpha) of all of these from `descriptors`, an encoded `FileDescriptorSet`. At the shutdown, open calls have
    /// `grace` to end.
    pub async fn serve(
        self,
        services: GrpcServices,
        descriptors: &'static [u8],
        probes: Probes,
        shutdown: Shutdown,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let address = self.address;
        // Late services come with their own reflection.
        let services = if services.is_late { services } else { services.with_reflection(descriptors)? };
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", ServingStatus::NotServing).await;
        if let Some(calls) = &self.calls {
            calls.begin_at_zero(&services.names);
        }
        let watch = Watch { side: Side::Server, metrics: self.calls, log: self.log };
        let follow = follow_probes(reporter, probes);
        let begun = shutdown.clone();
        let mut server = Server::builder()
            .layer(watch)
            .layer(Compressed)
            .max_frame_size(FRAME_BYTES)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT));
        if let Some(age) = self.max_connection_age {
            server = server.max_connection_age(age);
        }
        let server = server.add_routes(services.routes).add_service(health);
        let ending = async move { begun.wait().await };
        let server = async {
            match self.tls {
                None => {
                    let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
                    server.serve_with_incoming_shutdown(incoming, ending).await
                }
                Some(tls) => {
                    let incoming = tls_incoming::incoming(self.listener, tls);
                    server.serve_with_incoming_shutdown(incoming, ending).await
                }
            }
        };
        let deadline = async {
            shutdown.wait().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            result = server => result
                .map_err(|e| RuntimeError::Serve { server: "grpc", address, message: e.to_string() }),
            () = deadline => Ok(()),
            () = follow => Ok(()),
        }
    }
}

/// Updates the health service from the probes. Never ends, since the server itself holds the probes.
async fn follow_probes(reporter: HealthReporter, probes: Probes) {
    let mut watch = probes.watch();
    loop {
        let state = *watch.borrow_and_update();
        let status = if state.ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status("", status).await;
        if watch.changed().await.is_err() {
            return;
        }
    }
}
