//! The frame of every server process: metrics, probes, signals, the HTTP and the gRPC server.

use std::panic::AssertUnwindSafe;
use std::path::Path;

use axum::Router;
use futures::FutureExt;
use tithon_runtime::{
    GrpcServer, HttpServer, Metrics, Probes, RuntimeError, Shutdown, Supervisor, TlsError, ops_router,
};
use tithon_store::StoreService;
use tonic::service::Routes;
use tracing::info;

use crate::flags::{HttpFlags, ServerFlags};

/// What a component needs while it starts; its ports are taken, so that a port in use is found first.
pub struct Process {
    pub metrics: Metrics,
    pub probes: Probes,
    pub shutdown: Shutdown,
    /// Runs the loops without which the process must stop.
    pub supervisor: Supervisor,
    http: HttpServer,
    grpc: GrpcServer,
    flags: ServerFlags,
    component: &'static str,
}

impl Process {
    /// Takes both ports and begins to listen for SIGINT and SIGTERM.
    pub async fn start(component: &'static str, flags: &ServerFlags) -> Result<Process, ProcessError> {
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let probes = Probes::default();
        probes.register(&metrics, component);
        let shutdown = Shutdown::on_signals().map_err(ProcessError::Signals)?;
        Ok(Process {
            supervisor: Supervisor::new(probes.clone(), shutdown.clone()),
            shutdown,
            http: bind_http(&flags.http).await?,
            // Every component serves the same two services so far.
            grpc: GrpcServer::bind(&flags.grpc_address.to_string())
                .await?
                .with_metrics(&metrics)
                .with_services(StoreService::SERVICES)
                .with_tls(flags.grpc_tls.load()?)
                .with_max_connection_age(flags.grpc_max_connection_age),
            metrics,
            probes,
            flags: flags.clone(),
            component,
        })
    }

    /// Serves until a signal comes, or until a supervised loop dies, which is an error: `router` besides probes and metrics, `routes` besides health and reflection.
    pub async fn serve(self, router: Router, routes: Routes) -> Result<(), ProcessError> {
        let (http, grpc) = (self.http.local_addr(), self.grpc.local_addr());
        let router = router.merge(ops_router(self.probes.clone(), self.metrics.clone()));
        self.probes.set_healthy(true);
        self.probes.set_ready(true);
        info!(component = self.component, http = %http, grpc = %grpc, "ready");
        let probes = self.probes.clone();
        let (shutdown, unready) = (self.shutdown.clone(), self.shutdown.clone());
        let announce = async move {
            unready.wait().await;
            info!("stopping");
            probes.set_ready(false);
            Ok(())
        };
        let http = self.http.serve(router, shutdown.clone(), self.flags.http.http_grace_period);
        let grpc = self.grpc.serve(
            routes,
            tithon_proto::FILE_DESCRIPTOR_SET,
            self.probes.clone(),
            shutdown,
            self.flags.grpc_grace_period,
        );
        let result = tokio::try_join!(http, grpc, announce);
        self.probes.set_healthy(false);
        result?;
        self.supervisor.failure().map_or(Ok(()), |failure| Err(failure.into()))
    }
}

async fn bind_http(flags: &HttpFlags) -> Result<HttpServer, ProcessError> {
    let server = HttpServer::bind(&flags.http_address.to_string()).await?;
    Ok(match flags.http_config.as_str() {
        "" => server,
        path => server.with_web_config(Path::new(path))?,
    })
}

/// The frame of a process without StoreAPI.
pub struct HttpProcess {
    pub metrics: Metrics,
    pub probes: Probes,
    pub shutdown: Shutdown,
    http: HttpServer,
    flags: HttpFlags,
    component: &'static str,
}

impl HttpProcess {
    /// Takes the port and begins to listen for SIGINT and SIGTERM.
    pub async fn start(component: &'static str, flags: &HttpFlags) -> Result<HttpProcess, ProcessError> {
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
        let probes = Probes::default();
        probes.register(&metrics, component);
        Ok(HttpProcess {
            http: bind_http(flags).await?,
            shutdown: Shutdown::on_signals().map_err(ProcessError::Signals)?,
            metrics,
            probes,
            flags: flags.clone(),
            component,
        })
    }

    /// Serves `router` besides probes and metrics for as long as `work` goes on.
    pub async fn serve_during<T>(
        self,
        router: Router,
        work: impl Future<Output = T>,
    ) -> Result<T, ProcessError> {
        let router = router.merge(ops_router(self.probes.clone(), self.metrics.clone()));
        self.probes.set_healthy(true);
        self.probes.set_ready(true);
        info!(component = self.component, http = %self.http.local_addr(), "ready");
        let work = async {
            let done = AssertUnwindSafe(work).catch_unwind().await;
            info!("stopping");
            self.probes.set_ready(false);
            self.shutdown.trigger();
            // The panic's own message was printed where it happened.
            done.map_err(|_| RuntimeError::LoopDied { name: self.component, reason: "panic".to_owned() })
        };
        let http = self.http.serve(router, self.shutdown.clone(), self.flags.http_grace_period);
        let ((), done) = tokio::try_join!(http, work)?;
        self.probes.set_healthy(false);
        Ok(done)
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
