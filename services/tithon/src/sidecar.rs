//! `tithon sidecar`: the sidecar of a Prometheus.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use tithon_bucket::{Bucket, TransferOptions};
use tithon_engine::SourceType;
use tithon_runtime::Cpu;
use tithon_ship::{ShipMetrics, ShipOptions, Shipper};
use tithon_sidecar::{
    FlagRules, HttpClientConfig, HttpClientError, Prometheus, PrometheusCompanions, PrometheusStore,
    ReloadMethod, ReloadOptions, Reloader, SidecarMetrics, StoreLimits, Watch, WatchOptions,
};
use tithon_storeapi::{CompanionServer, StoreApiServer};
use tracing::{error, info};

use crate::bucket::bucket_config;
use crate::cli::{PrometheusFlags, ReloaderFlags, ShipperFlags, SidecarFlags};
use crate::flags::{Duration, LimitFlags, UsageError, path_or_content};
use crate::process::Process;

/// Runs until a signal comes.
pub async fn run(flags: &SidecarFlags) -> Result<(), Box<dyn Error>> {
    let prometheus = prometheus(flags).map_err(|error| UsageError::of(error.to_string()))?;
    let config = match flags.bucket.is_given() {
        true => Some(bucket_config(&flags.bucket).map_err(UsageError::of)?),
        false => None,
    };
    let log = flags.request_logging.read().map_err(UsageError::of)?;
    let process = Process::start("sidecar", &flags.server, log).await?;
    let metrics = SidecarMetrics::new(&process.metrics);
    let watch = watch(flags, prometheus.clone(), config.is_some(), &process, &metrics);
    keep_reloading(&process, Reloader::new(prometheus, reload_options(&flags.reloader), &process.metrics));
    let begin = async {
        match config {
            Some(config) => {
                let bucket = Bucket::connect(&config).await?;
                process.metrics.register(|registry| bucket.register_metrics(registry));
                let dir = flags.prometheus.tsdb_path.clone();
                let options = ship_options(&flags.shipper, dir, SourceType::Sidecar);
                let shipper = Shipper::new(bucket, options, ShipMetrics::new(&process.metrics));
                keep_shipping(&process, &watch, shipper, flags.prometheus.ready_timeout);
            }
            None => info!("no bucket is configured, blocks are not uploaded"),
        }
        watch.begin(&process.shutdown).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let Some(begun) = process.unless_stopped(begin).await else { return Ok(process.stop().await?) };
    begun?;
    keep_watching(&process, &watch);
    let (cpu, LimitFlags { request_series, request_samples }) = (Cpu::new(0)?, flags.limits);
    let limits = StoreLimits { series: request_series, samples: request_samples };
    let store = PrometheusStore::new(watch.clone(), limits, cpu.clone(), metrics);
    let services = StoreApiServer::new(Arc::new(store), cpu, process.probes.clone()).services();
    let services = CompanionServer::new(Arc::new(PrometheusCompanions::new(watch))).and(services);
    Ok(process.serve(Router::new(), services).await?)
}

fn watch(
    flags: &SidecarFlags,
    prometheus: Prometheus,
    ships: bool,
    process: &Process,
    metrics: &SidecarMetrics,
) -> Watch {
    let options = WatchOptions {
        interval: flags.prometheus.get_config_interval,
        timeout: flags.prometheus.get_config_timeout,
        min_time: flags.min_time,
        flag_rules: ships.then(|| FlagRules {
            state_file: flags.prometheus.tsdb_path.join(&flags.shipper.state_file),
            ignore_unequal_block_size: flags.shipper.ignore_unequal_block_size,
        }),
    };
    Watch::new(prometheus, options, process.probes.clone(), metrics.clone())
}

/// Starts the loop that polls Prometheus.
fn keep_watching(process: &Process, watch: &Watch) {
    let (watch, shutdown) = (watch.clone(), process.shutdown.clone());
    process.supervisor.spawn("heartbeat", async move { watch.keep(&shutdown).await });
}

fn prometheus(flags: &SidecarFlags) -> Result<Prometheus, Box<dyn Error>> {
    let PrometheusFlags { url, http_client, http_client_file, .. } = &flags.prometheus;
    let wrong = |error: HttpClientError| format!("--prometheus.http-client: {error}");
    let config = match path_or_content("prometheus.http-client", http_client_file, http_client, false)? {
        Some(yaml) => HttpClientConfig::parse(&yaml).map_err(wrong)?,
        None => HttpClientConfig::default(),
    };
    Ok(Prometheus::new(url.clone(), config).map_err(wrong)?)
}

/// Starts the loop that makes Prometheus read changed files. It does not wait for Prometheus, which may need the
/// configuration written here to start.
fn keep_reloading(process: &Process, reloader: Reloader) {
    let shutdown = process.shutdown.clone();
    process.supervisor.spawn("reloader", async move { reloader.keep(&shutdown).await });
}

fn reload_options(flags: &ReloaderFlags) -> ReloadOptions {
    let file = |path: &str| (!path.is_empty()).then(|| PathBuf::from(path));
    ReloadOptions {
        config_file: file(&flags.watched_config_file),
        expanded_file: file(&flags.expanded_file),
        rule_dirs: flags.rule_dirs.clone(),
        watch_interval: flags.watch_interval,
        retry_interval: flags.retry_interval,
        method: match flags.method.as_str() {
            "signal" => ReloadMethod::Signal(flags.process_name.clone()),
            _ => ReloadMethod::Http,
        },
    }
}

/// Starts the loop that uploads blocks. The process ends if Prometheus has no external labels in time.
fn keep_shipping(process: &Process, watch: &Watch, shipper: Shipper, ready_timeout: Duration) {
    let (watch, shutdown) = (watch.clone(), process.shutdown.clone());
    process.supervisor.spawn("shipper", async move {
        if let Err(error) = tithon_sidecar::ship(&shipper, &watch, ready_timeout, &shutdown).await {
            error!(%error, "no block can be uploaded");
        }
    });
}

/// How the blocks of `dir` are uploaded, which a process of the kind `source` writes.
pub(crate) fn ship_options(flags: &ShipperFlags, dir: PathBuf, source: SourceType) -> ShipOptions {
    ShipOptions {
        dir,
        source,
        state_file: flags.state_file.clone(),
        upload_compacted: flags.upload_compacted,
        allow_out_of_order: flags.allow_out_of_order,
        skip_corrupted: flags.skip_corrupted,
        transfer: TransferOptions {
            files_concurrency: flags.upload_concurrency.max(1),
            hash: !flags.hash_func.is_empty(),
            unlabelled: false,
        },
    }
}
