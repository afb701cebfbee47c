//! Common parts of all server processes: metrics, probes, signals, and the HTTP and gRPC servers.
//!
//! A process is started, creates its pages and gRPC services, and serves them:
//!
//! ```text
//! let process = Process::start("store", &flags.server, log).await?;
//! let Some(store) = process.unless_stopped(Store::open(.., &process.metrics)).await else { .. };
//! process.supervisor.spawn("sync", ..);
//! process.serve(pages, services).await
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use axum::Router;
use futures::FutureExt;
use tithon_runtime::{
    GrpcServer, GrpcServices, HttpMetrics, HttpServer, LatePages, LateServices, Metrics, Probes, Reload,
    RequestLog, RuntimeError, Shutdown, Supervisor, check_web_config, ops_router,
};
use tokio::task::{JoinError, JoinHandle};
use tracing::info;

use crate::flags::{HttpFlags, ServerFlags, UsageError};
use crate::version::{COMMIT, VERSION};

/// The parts of a process that components use while they start. Its servers already run: probes, metrics and gRPC
/// health are answered from the beginning, and anything else with 503 or `Unavailable` until [`Process::serve`] is
/// called.
pub struct Process {
    pub metrics: Metrics,
    pub probes: Probes,
    pub shutdown: Shutdown,
    /// Reload requests by SIGHUP.
    pub reload: Reload,
    /// Supervises the loops that the process needs.
    pub supervisor: Supervisor,
    component: &'static str,
    log: RequestLog,
    pages: LatePages,
    services: LateServices,
    http: Serving,
    grpc: Option<Serving>,
}

/// A running server and its address.
struct Serving {
    address: SocketAddr,
    task: JoinHandle<Result<(), RuntimeError>>,
}

impl Serving {
    async fn ended(self, name: &'static str) -> Result<(), RuntimeError> {
        // The panic's message was printed when it occurred.
        let panic = |e: JoinError| RuntimeError::LoopDied { name, reason: e.to_string() };
        self.task.await.map_err(panic).flatten()
    }
}

impl Process {
    /// Binds the ports of HTTP and gRPC, serves, and handles SIGINT, SIGTERM and SIGHUP. Fails with a [`UsageError`],
    /// before a port is bound, if files that the flags name are invalid.
    pub async fn start(
        component: &'static str,
        flags: &ServerFlags,
        log: RequestLog,
    ) -> Result<Process, Box<dyn Error>> {
        let tls = flags.grpc_tls.load().map_err(|e| UsageError::of(format!("--grpc-server-tls-*: {e}")))?;
        let mut process = Process::start_http(component, &flags.http, log).await?;
        let descriptors = tithon_proto::FILE_DESCRIPTOR_SET;
        let grpc = GrpcServer::bind(&flags.grpc_address.to_string())
            .await
            .map_err(|source| ProcessError::Listen { flag: "--grpc-address", source })?
            .with_metrics(&process.metrics, descriptors)
            .with_tls(tls)
            .with_request_log(process.log.clone())
            .with_max_connection_age(flags.grpc_max_connection_age);
        let address = grpc.local_addr();
        process.services = grpc.late_services();
        let (services, probes) = (process.services.services(), process.probes.clone());
        let (shutdown, grace) = (process.shutdown.clone(), flags.grpc_grace_period);
        let task = tokio::spawn(grpc.serve(services, descriptors, probes, shutdown, grace));
        process.grpc = Some(Serving { address, task });
        Ok(process)
    }

    /// Like [`Process::start`], for a process without gRPC.
    pub async fn start_http(
        component: &'static str,
        flags: &HttpFlags,
        log: RequestLog,
    ) -> Result<Process, Box<dyn Error>> {
        info!(component, version = VERSION, commit = COMMIT, "starting");
        let web_config = Some(Path::new(&flags.http_config)).filter(|path| !path.as_os_str().is_empty());
        web_config.map(check_web_config).transpose().map_err(UsageError::of)?;
        let (metrics, probes) = (Metrics::of_build(VERSION, COMMIT), Probes::default());
        probes.register(&metrics, component);
        let shutdown = Shutdown::on_signals().map_err(ProcessError::Signals)?;
        let reload = Reload::on_signals().map_err(ProcessError::Signals)?;
        let mut http = HttpServer::bind(&flags.http_address.to_string())
            .await
            .map_err(|source| ProcessError::Listen { flag: "--http-address", source })?;
        if let Some(path) = web_config {
            http = http.with_web_config(path).map_err(ProcessError::Runtime)?;
        }
        let address = http.local_addr();
        let pages = LatePages::default();
        let router =
            pages.behind(ops_router(probes.clone(), metrics.clone()).merge(tithon_profile::router()));
        let task = tokio::spawn(http.serve(router, shutdown.clone(), flags.http_grace_period));
        probes.set_healthy(true);
        Ok(Process {
            supervisor: Supervisor::new(probes.clone(), shutdown.clone()),
            metrics,
            probes,
            shutdown,
            reload,
            component,
            log,
            pages,
            services: LateServices::default(),
            http: Serving { address, task },
            grpc: None,
        })
    }

    /// Waits for a part of the start; `None` if a signal comes first, after which only [`Process::stop`] is left to
    /// call.
    pub async fn unless_stopped<T>(&self, part: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = part => Some(done),
            () = self.shutdown.wait() => None,
        }
    }

    /// Ends a process that was stopped before it was ready.
    pub async fn stop(self) -> Result<(), ProcessError> {
        info!("stopping");
        self.end(async { Ok(()) }).await
    }

    /// Serves until a signal comes: `pages` besides probes and metrics, `services` besides health and reflection. Fails
    /// when a server breaks or a supervised loop dies.
    pub async fn serve(self, pages: Router, services: GrpcServices) -> Result<(), ProcessError> {
        let shutdown = self.shutdown.clone();
        self.serve_during(pages, services, async move { shutdown.wait().await }).await
    }

    /// Serves as [`Process::serve`] does while `work` runs, and returns its result.
    pub async fn serve_during<T>(
        self,
        pages: Router,
        services: GrpcServices,
        work: impl Future<Output = T>,
    ) -> Result<T, ProcessError> {
        self.pages.set(pages, HttpMetrics::new(&self.metrics), self.log.clone());
        self.services.set(services, tithon_proto::FILE_DESCRIPTOR_SET)?;
        self.probes.set_ready(true);
        let grpc = self.grpc.as_ref().map(|grpc| grpc.address.to_string());
        info!(component = self.component, http = %self.http.address, grpc, "ready");
        let (probes, shutdown, component) = (self.probes.clone(), self.shutdown.clone(), self.component);
        let work = async move {
            let done = AssertUnwindSafe(work).catch_unwind().await;
            info!("stopping");
            probes.set_ready(false);
            shutdown.trigger();
            // The panic's message was printed when it occurred.
            done.map_err(|_| RuntimeError::LoopDied { name: component, reason: "panic".to_owned() })
        };
        self.end(work).await
    }

    /// Waits until `work` and the servers have ended.
    async fn end<T>(self, work: impl Future<Output = Result<T, RuntimeError>>) -> Result<T, ProcessError> {
        let grpc = self.grpc;
        let grpc = async {
            match grpc {
                Some(grpc) => grpc.ended("grpc").await,
                None => Ok(()),
            }
        };
        let result = tokio::try_join!(self.http.ended("http"), grpc, work);
        self.probes.set_healthy(false);
        let ((), (), done) = result?;
        self.supervisor.failure().map_or(Ok(done), |failure| Err(failure.into()))
    }
}

/// Why a process ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A server could not start, or failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// An address cannot be bound.
    #[error("{flag}: {source}")]
    Listen {
        /// The flag with the address.
        flag: &'static str,
        /// What is wrong.
        source: RuntimeError,
    },
    /// Signals cannot be handled.
    #[error("signals: {0}")]
    Signals(std::io::Error),
}
