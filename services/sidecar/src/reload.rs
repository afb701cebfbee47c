//! Makes Prometheus read its configuration and rule files again when they change. Thanos `pkg/reloader/reloader.go`.

mod files;
mod metrics;
mod trigger;

use std::path::PathBuf;
use std::time::Duration;

use tithon_runtime::{Metrics, Shutdown};
use tokio::time::Instant;
use tracing::{error, info};

pub use self::files::ReloadError;
use self::files::Watched;
use self::metrics::ReloadMetrics;
use crate::Prometheus;

/// Interval between two checks of the files' times. Polling also sees changes on network drives and mounted volumes,
/// which the system does not announce.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The way to make Prometheus reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadMethod {
    /// `POST /-/reload`, which requires `--web.enable-lifecycle`.
    Http,
    /// SIGHUP to the first process whose program has this name.
    Signal(String),
}

/// The watched files, and how to reload.
#[derive(Clone, Debug)]
pub struct ReloadOptions {
    /// The configuration file (`--reloader.config-file`).
    pub config_file: Option<PathBuf>,
    /// File to write the configuration to, with `$(NAME)` expanded (`--reloader.config-envsubst-file`).
    pub expanded_file: Option<PathBuf>,
    /// Folders with rule files and other files (`--reloader.rule-dir`).
    pub rule_dirs: Vec<PathBuf>,
    /// Interval at which the files' contents are read, whatever their times; zero means once at the start.
    pub watch_interval: Duration,
    /// Interval between two attempts when Prometheus does not accept the files.
    pub retry_interval: Duration,
    /// The way to make Prometheus reload.
    pub method: ReloadMethod,
}

/// Watches files and reloads Prometheus.
pub struct Reloader {
    prometheus: Prometheus,
    options: ReloadOptions,
    metrics: ReloadMetrics,
}

impl Reloader {
    /// A reloader that has read no file yet.
    pub fn new(prometheus: Prometheus, options: ReloadOptions, registry: &Metrics) -> Reloader {
        let method = if options.method == ReloadMethod::Http { "http" } else { "signal" };
        let metrics = ReloadMetrics::new(registry, method);
        Reloader { prometheus, options, metrics }
    }

    /// Watches the files until the shutdown. Without files it only waits.
    pub async fn keep(&self, shutdown: &Shutdown) {
        let mut watched = Watched::new(&self.options);
        if !watched.is_empty() {
            self.metrics.watches.set(watched.len() as i64);
            info!(paths = watched.len(), "watching the files of Prometheus");
            tokio::select! {
                () = self.watch(&mut watched) => {}
                () = shutdown.wait() => {}
            }
        }
        shutdown.wait().await;
    }

    async fn watch(&self, watched: &mut Watched) {
        loop {
            let (begun, stamp) = (Instant::now(), watched.stamp());
            self.apply(watched).await;
            if self.options.watch_interval.is_zero() {
                return;
            }
            while begun.elapsed() < self.options.watch_interval {
                tokio::time::sleep(LOOK_INTERVAL.min(self.options.watch_interval)).await;
                if watched.stamp() != stamp {
                    self.metrics.watch_events.inc();
                    break;
                }
            }
        }
    }

    /// Reads the files, and reloads Prometheus if they changed since its last reload. Retries until the next check is
    /// due.
    async fn apply(&self, watched: &mut Watched) {
        let begun = Instant::now();
        self.metrics.applies.inc();
        let digest = match watched.read() {
            Ok(digest) => digest,
            Err(error) => {
                self.metrics.failed_applies.inc();
                let is_variable = matches!(error, ReloadError::Variable { .. });
                self.metrics.variable_errors.set(is_variable.into());
                error!(%error, "the files of Prometheus cannot be read");
                return;
            }
        };
        self.metrics.variable_errors.set(0);
        while watched.is_new(digest) {
            self.metrics.reloads.inc();
            match trigger::reload(&self.prometheus, &self.options.method).await {
                Ok(()) => {
                    info!("Prometheus has read its files again");
                    self.metrics.succeeded();
                    watched.taken(digest);
                }
                Err(error) => {
                    self.metrics.failed();
                    error!(%error, "Prometheus did not read its files again");
                    if begun.elapsed() + self.options.retry_interval >= self.options.watch_interval {
                        return;
                    }
                    tokio::time::sleep(self.options.retry_interval).await;
                }
            }
        }
    }
}
