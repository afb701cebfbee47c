//! The frame of every server process: metrics, probes, signals, and the HTTP and gRPC servers.
//!
//! A process is started, makes its pages and gRPC services, and serves them:
//!
//! ```text
//! let process = Process::start("store", &flags.server).await?;
//! let store = Store::open(.., &process.metrics).await?;
//! process.supervisor.spawn("sync", ..);
//! process.serve(pages, services).await
//! ```

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use futures::FutureExt;
use tithon_runtime::{
    GrpcServer, GrpcServices, HttpServer, Metrics, Probes, RuntimeError, Shutdown, Supervisor, TlsError,
    ops_router,
};
use tracing::info;

use crate::flags::{HttpFlags, ServerFlags};

/// What a component needs while it starts; its ports are taken, so that a port in use is found first.
pub struct Process {
    pub metrics: Metrics,
    pub probes: Probes,
    pub shutdown: Shutdown,
    /// Runs the loops without which the process must stop.
    pub supervisor: Supervisor,
    component: &'static str,
    http: HttpServer,
    http_grace: Duration,
    /// The gRPC server and how long its calls may go on after the shutdown; none in a process without gRPC.
    grpc: Option<(GrpcServer, Duration)>,
}

impl Process {
    /// Takes the ports of HTTP and gRPC and begins to listen for SIGINT and SIGTERM.
    pub async fn start(component: &'static str, flags: &ServerFlags) -> Result<Process, ProcessError> {
        let process = Process::start_http(component, &flags.http).await?;
        let grpc = GrpcServer::bind(&flags.grpc_address.to_string())
            .await?
            .with_metrics(&process.metrics)
            .with_tls(flags.grpc_tls.load()?)
            .with_max_connection_age(flags.grpc_max_connection_age);
        Ok(Process { grpc: Some((grpc, flags.grpc_grace_period)), ..process })
    }

    /// Like [`Process::start`] for a process without gRPC.
    pub async fn start_http(component: &'static str, flags: &HttpFlags) -> Result<Process, ProcessError> {
        let (metrics, probes) = (Metrics::new(env!("CARGO_PKG_VERSION")), Probes::default());
        probes.register(&metrics, component);
        let shutdown = Shutdown::on_signals().map_err(ProcessError::Signals)?;
        let mut http = HttpServer::bind(&flags.http_address.to_string()).await?;
        if !flags.http_config.is_empty() {
            http = http.with_web_config(Path::new(&flags.http_config))?;
        }
        Ok(Process {
            supervisor: Supervisor::new(probes.clone(), shutdown.clone()),
            metrics,
            probes,
            shutdown,
            component,
            http,
            http_grace: flags.http_grace_period,
            grpc: None,
        })
    }

    /// Serves until a signal comes: `pages` besides probes and metrics, `services` besides health and reflection. A
    /// supervised loop that dies ends it with an error.
    pub async fn serve(self, pages: Router, services: GrpcServices) -> Result<(), ProcessError> {
        let shutdown = self.shutdown.clone();
        self.serve_during(pages, services, async move { shutdown.wait().await }).await
    }

    /// Serves as [`Process::serve`] does, for as long as `work` goes on, and gives its result.
    pub async fn serve_during<T>(
        self,
        pages: Router,
        services: GrpcServices,
        work: impl Future<Output = T>,
    ) -> Result<T, ProcessError> {
        let pages = pages.merge(ops_router(self.probes.clone(), self.metrics.clone()));
        let (http, grpc) =
            (self.http.local_addr(), self.grpc.as_ref().map(|(grpc, _)| grpc.local_addr().to_string()));
        self.probes.set_healthy(true);
        self.probes.set_ready(true);
        info!(component = self.component, http = %http, grpc, "ready");
        let work = async {
            let done = AssertUnwindSafe(work).catch_unwind().await;
            info!("stopping");
            self.probes.set_ready(false);
            self.shutdown.trigger();
            // The panic's own message was printed where it happened.
            done.map_err(|_| RuntimeError::LoopDied { name: self.component, reason: "panic".to_owned() })
        };
        let http = self.http.serve(pages, self.shutdown.clone(), self.http_grace);
        let (probes, shutdown) = (self.probes.clone(), self.shutdown.clone());
        let grpc = async move {
            let Some((grpc, grace)) = self.grpc else { return Ok(()) };
            grpc.serve(services, tithon_proto::FILE_DESCRIPTOR_SET, probes, shutdown, grace).await
        };
        let result = tokio::try_join!(http, grpc, work);
        self.probes.set_healthy(false);
        let ((), (), done) = result?;
        self.supervisor.failure().map_or(Ok(done), |failure| Err(failure.into()))
    }
}

/// Why a process ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A server could not start or broke.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Signals cannot be listened for.
    #[error("signals: {0}")]
    Signals(std::io::Error),
}
