//! The gRPC server: a component's services, health and reflection.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::calls::CallMetrics;
use crate::listener::listen;
use crate::{Metrics, Probes, RuntimeError, Shutdown};

/// Bytes in one HTTP/2 frame, where the client allows it: bigger frames save system calls.
const FRAME_BYTES: u32 = 1 << 20;
/// How much a stream or connection may have under way before it waits for an acknowledgement.
const WINDOW_BYTES: u32 = 8 << 20;

/// A bound gRPC server.
pub struct GrpcServer {
    listener: TcpListener,
    address: SocketAddr,
    metrics: Option<Metrics>,
    services: &'static [&'static str],
}

impl GrpcServer {
    /// Takes the port; fails when it is in use, naming the address.
    pub async fn bind(address: &str) -> Result<GrpcServer, RuntimeError> {
        let (listener, address) = listen(address).await?;
        Ok(GrpcServer { listener, address, metrics: None, services: &[] })
    }

    /// Counts calls under `grpc_server_*`.
    pub fn with_metrics(self, metrics: &Metrics) -> GrpcServer {
        GrpcServer { metrics: Some(metrics.clone()), ..self }
    }

    /// Full names of the services that reflection lists besides health and its own; without this all that the
    /// descriptors hold, served or not.
    pub fn with_services(self, services: &'static [&'static str]) -> GrpcServer {
        GrpcServer { services, ..self }
    }

    /// Where it listens; of use when the port was given as 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `routes`, besides them `grpc.health.v1` for the empty service name as `probes` say, and reflection (v1
    /// and v1alpha) over `descriptors`, an encoded `FileDescriptorSet`. At the shutdown open calls have `grace` to end.
    pub async fn serve(
        self,
        routes: Routes,
        descriptors: &'static [u8],
        probes: Probes,
        shutdown: Shutdown,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let address = self.address;
        let reflection = || {
            let mut builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            let health = (!self.services.is_empty()).then_some("grpc.health.v1.Health");
            for name in self.services.iter().copied().chain(health) {
                builder = builder.with_service_name(name);
            }
            builder
        };
        let unreadable = |e: tonic_reflection::server::Error| RuntimeError::Descriptors(e.to_string());
        let (v1, v1alpha) =
            (reflection().build_v1().map_err(unreadable)?, reflection().build_v1alpha().map_err(unreadable)?);
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", ServingStatus::NotServing).await;
        let calls = self
            .metrics
            .as_ref()
            .map(|metrics| CallMetrics::new(metrics, &[descriptors, tonic_health::pb::FILE_DESCRIPTOR_SET]));
        let calls = tower::util::option_layer(calls);
        let follow = follow_probes(reporter, probes);
        let begun = shutdown.clone();
        let server = Server::builder()
            .layer(calls)
            .max_frame_size(FRAME_BYTES)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .add_routes(routes)
            .add_service(health)
            .add_service(v1)
            .add_service(v1alpha)
            .serve_with_incoming_shutdown(
                TcpIncoming::from(self.listener).with_nodelay(Some(true)),
                async move { begun.wait().await },
            );
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
