//! The gRPC server: a component's services, health and reflection.

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

/// Bytes in one HTTP/2 frame, where the client allows it: bigger frames save system calls.
const FRAME_BYTES: u32 = 1 << 20;
/// Flow-control window of a stream and of a connection, in bytes.
const WINDOW_BYTES: u32 = 8 << 20;
/// Calls of one connection under way at the same time; a client that wants more waits.
const STREAMS_MAX: u32 = 1000;
/// Calls of one connection that its client gave up before they were looked at. Beyond that the client is taken for an attack
/// and its connection closed, with all calls on it; a querier whose readers leave may give up many.
const RESETS_MAX: usize = STREAMS_MAX as usize;
/// How long a connection may be silent before it is pinged.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// How long the answer to a ping may take before the connection is closed.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// A bound gRPC server.
pub struct GrpcServer {
    listener: TcpListener,
    address: SocketAddr,
    calls: Option<CallMetrics>,
    tls: Option<ServerTls>,
    max_connection_age: Option<Duration>,
    log: RequestLog,
}

impl GrpcServer {
    /// Takes the port; fails when it is in use, naming the address.
    pub async fn bind(address: &str) -> Result<GrpcServer, RuntimeError> {
        let (listener, address) = listen(address).await?;
        let log = RequestLog::default();
        Ok(GrpcServer { listener, address, calls: None, tls: None, max_connection_age: None, log })
    }

    /// Counts calls under `grpc_server_*`: of the methods that `descriptors`, an encoded `FileDescriptorSet`, name, and of
    /// health.
    pub fn with_metrics(self, metrics: &Metrics, descriptors: &[u8]) -> GrpcServer {
        let descriptors = [descriptors, tonic_health::pb::FILE_DESCRIPTOR_SET];
        GrpcServer { calls: Some(CallMetrics::new(metrics, Side::Server, &descriptors)), ..self }
    }

    /// The services of this server, to be given later.
    pub fn late_services(&self) -> LateServices {
        LateServices::counted_by(self.calls.clone())
    }

    /// Speaks TLS only; `None` leaves it in clear text.
    pub fn with_tls(self, tls: Option<ServerTls>) -> GrpcServer {
        GrpcServer { tls, ..self }
    }

    /// Clients are asked to connect anew after this time, so that load spreads over replicas; 0 is never. Calls under way
    /// go on to their end.
    pub fn with_max_connection_age(self, age: Duration) -> GrpcServer {
        GrpcServer { max_connection_age: (!age.is_zero()).then_some(age), ..self }
    }

    /// Logs calls as `log` says.
    pub fn with_request_log(self, log: RequestLog) -> GrpcServer {
        GrpcServer { log, ..self }
    }

    /// Where it listens; of use when the port was given as 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `services`, besides them `grpc.health.v1` for the empty service name as `probes` say, and reflection (v1
    /// and v1alpha) of all these over `descriptors`, an encoded `FileDescriptorSet`. At the shutdown open calls have `grace`
    /// to end.
    pub async fn serve(
        self,
        services: GrpcServices,
        descriptors: &'static [u8],
        probes: Probes,
        shutdown: Shutdown,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let address = self.address;
        // Services that come later bring their own reflection.
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

/// Keeps the health service as the probes are; never ends, as the server itself holds the probes.
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
