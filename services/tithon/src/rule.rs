//! `tithon rule`: evaluates recording and alerting rules over queriers.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tithon_bucket::{Bucket, BucketConfig};
use tithon_chunks::TimeRange;
use tithon_engine::SourceType;
use tithon_index::Labels;
use tithon_promql::ParseOptions;
use tithon_rule::{
    AlertLabelling, AlertQueue, AlertSender, AlertmanagerConfig, Generator, Manager, ManagerOptions,
    PeersConfig, Queriers, QueryOptions, RemoteConfig, RemoteWrite, RuleCompanions, RuleMetrics,
    SenderOptions, Storage, alertmanager_of, parse_alertmanagers, parse_query_config, parse_relabelling,
    parse_remote_write, queriers_of, rule_pages,
};
use tithon_runtime::{About, BuildInfo, Cpu, EndpointAddress, GrpcServices, RuntimeInfo};
use tithon_ship::{ShipMetrics, ShipOptions, Shipper};
use tithon_storeapi::{Apis, CompanionServer, Moment, StoreApiServer, StoreInfo, info_services};
use tithon_tsdb::{Tsdb, TsdbOptions, TsdbStore};
use tracing::{error, warn};

use crate::bucket::bucket_config;
use crate::cli::{AlertFlags, LocalStorageFlags, RuleFlags, RuleQueryFlags};
use crate::flags::{LimitFlags, UsageError, path_or_content};
use crate::prefix;
use crate::process::Process;
use crate::sidecar::ship_options;

/// The settings of flags, or why they are invalid.
type Given<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Runs until a signal comes.
pub async fn run(flags: &RuleFlags) -> Result<(), Box<dyn Error>> {
    let (queriers, over_grpc) = queriers(&flags.query).map_err(UsageError::of)?;
    let alertmanagers = alertmanagers(&flags.alert).map_err(UsageError::of)?;
    let labelling = labelling(flags).map_err(UsageError::of)?;
    let generator = Generator::new(&flags.alert.query_url, &flags.alert.query_template)
        .map_err(|error| UsageError::of(format!("--alert.query-template: {error}")))?;
    let remotes = remote_write(flags).map_err(UsageError::of)?;
    let options = manager_options(flags).map_err(UsageError::of)?;
    let bucket = bucket(flags).map_err(UsageError::of)?;
    let log = flags.request_logging.read().map_err(UsageError::of)?;
    let process = Process::start("rule", &flags.server, log).await?;
    let metrics = RuleMetrics::new(&process.metrics);
    let external = options.external_labels.clone();

    let queriers = Queriers::new(queriers, query_options(flags), &process.metrics, metrics.clone())?
        .and_over_grpc(&over_grpc)?;
    let cpu = Cpu::new(0)?;
    let opening = open_storage(flags, remotes, &external, &cpu, &process);
    let Some(opened) = process.unless_stopped(opening).await else { return Ok(process.stop().await?) };
    let storage = opened?;
    let queue = AlertQueue::new(labelling, metrics.clone());
    let sender_options = SenderOptions { dns_interval: flags.alert.alertmanagers_dns_interval };
    let sender = AlertSender::new(alertmanagers, sender_options, &process.metrics, metrics.clone())?;
    let shutdown = process.shutdown.clone();
    let manager = Manager::new(
        options,
        queriers.clone(),
        storage.clone(),
        queue.clone(),
        generator,
        metrics,
        shutdown.clone(),
    )?;

    let stop = shutdown.clone();
    process.supervisor.spawn("queriers", async move { queriers.keep(&stop).await });
    keep_storage(&process, &storage);
    if let Some(config) = bucket {
        let Some(begun) = process.unless_stopped(keep_shipping(flags, &config, &external, &process)).await
        else {
            return Ok(process.stop().await?);
        };
        begun?;
    }
    let (stop, keeping) = (shutdown.clone(), sender.clone());
    process.supervisor.spawn("alertmanagers", async move { keeping.keep(&stop).await });
    let stop = shutdown.clone();
    process.supervisor.spawn("alerts", async move { sender.send_all(&queue, &stop).await });
    manager.reload().await?;
    keep_reloading(&process, &manager);

    let services = services(flags, &storage, external, &cpu, &process);
    let companions = CompanionServer::new(Arc::new(RuleCompanions::new(manager.clone())));
    let services = match &storage {
        Storage::Remote(_) => companions.rules_and(services),
        Storage::Local(_) => companions.clone().rules_and(companions.status_and(services)),
    };
    let pages = rule_pages(manager.clone(), !flags.disable_cors, about(flags, &cpu));
    let pages = prefix::below(&flags.route_prefix, pages, "rules");
    process.serve(pages, services).await?;
    // Evaluations that wait for their querier are abandoned: their results would be too late.
    drop(tokio::time::timeout(Duration::from_secs(5), manager.stop()).await);
    if let Storage::Local(tsdb) = &storage {
        tsdb.sync()?;
    }
    Ok(())
}

/// The directory of the ruler's own, or the queue of results for other servers.
async fn open_storage(
    flags: &RuleFlags,
    remotes: Option<Vec<RemoteConfig>>,
    external: &Labels,
    cpu: &Cpu,
    process: &Process,
) -> Result<Storage, Box<dyn Error>> {
    let dir = Path::new(&flags.data_dir);
    if let Some(remotes) = remotes {
        let queue_dir = dir.join("remote-write");
        let remote = RemoteWrite::open(&queue_dir, external, remotes, &process.metrics)?;
        return Ok(Storage::Remote(remote));
    }
    let LocalStorageFlags { block_duration, retention, no_lockfile, wal_compression } = flags.storage;
    let options = TsdbOptions {
        dir: dir.to_owned(),
        block_duration,
        retention,
        wal_compression,
        has_lock: !no_lockfile,
    };
    Ok(Storage::Local(Tsdb::open(options, cpu.clone(), &process.metrics).await?))
}

/// Starts the loop that looks after results once they are stored.
fn keep_storage(process: &Process, storage: &Storage) {
    let (storage, stop) = (storage.clone(), process.shutdown.clone());
    match storage {
        Storage::Remote(remote) => {
            process.supervisor.spawn("remote write", async move { remote.send_all(&stop).await });
        }
        Storage::Local(tsdb) => {
            process.supervisor.spawn("local storage", async move { tsdb.keep(&stop).await });
        }
    }
}

/// Starts the loop that uploads blocks.
async fn keep_shipping(
    flags: &RuleFlags,
    config: &BucketConfig,
    external: &Labels,
    process: &Process,
) -> Result<(), Box<dyn Error>> {
    let bucket = Bucket::connect(config).await?;
    process.metrics.register(|registry| bucket.register_metrics(registry));
    let options = ShipOptions {
        // Blocks are never compacted here, whatever the flag says.
        upload_compacted: false,
        ..ship_options(&flags.shipper, PathBuf::from(&flags.data_dir), SourceType::Ruler)
    };
    let shipper = Shipper::new(bucket, options, ShipMetrics::new(&process.metrics));
    let (external, shutdown) = (external.clone(), process.shutdown.clone());
    process.supervisor.spawn("shipper", async move { shipper.keep(|| external.clone(), &shutdown).await });
    Ok(())
}

/// `Store` over local storage, or `Info` alone where there is none.
fn services(
    flags: &RuleFlags,
    storage: &Storage,
    external: Labels,
    cpu: &Cpu,
    process: &Process,
) -> GrpcServices {
    let apis = Apis { rules: true, ..Apis::default() };
    match storage {
        Storage::Remote(_) => {
            let range = TimeRange::new(i64::MAX, i64::MIN);
            let info = StoreInfo { label_sets: vec![external], apis, ..StoreInfo::new("rule", range) };
            info_services(info, process.probes.clone())
        }
        Storage::Local(tsdb) => {
            let LimitFlags { request_series, request_samples } = flags.limits;
            let store =
                TsdbStore::new(tsdb.clone(), "rule", external, Apis { store: true, status: true, ..apis });
            let store = store.with_limits(request_series, request_samples);
            StoreApiServer::new(Arc::new(store), cpu.clone(), process.probes.clone()).services()
        }
    }
}

/// What `/api/v1/status/*` tells. Shown are flags that say how rules are evaluated; others may have passwords.
fn about(flags: &RuleFlags, cpu: &Cpu) -> About {
    let shown = [
        ("alert.query-template", flags.alert.query_template.clone()),
        ("alert.query-url", flags.alert.query_url.clone()),
        ("data-dir", flags.data_dir.clone()),
        ("eval-interval", format!("{:?}", flags.rules.eval_interval)),
        ("resend-delay", format!("{:?}", flags.rules.resend_delay)),
        ("rule-file", flags.rules.rule_files.join(",")),
        ("web.route-prefix", flags.route_prefix.clone()),
    ];
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Moment::from_millis(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    About {
        build: BuildInfo::default(),
        flags: shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        runtime: RuntimeInfo::new(now.to_string(), cpu.threads()),
    }
}

/// The bucket that blocks are uploaded to, if there is to be one.
fn bucket(flags: &RuleFlags) -> Given<Option<BucketConfig>> {
    if !flags.bucket.is_given() {
        return Ok(None);
    }
    if flags.rules.external_labels().is_empty() {
        return Err("blocks without labels cannot be uploaded: give --label".into());
    }
    Ok(Some(bucket_config(&flags.bucket)?))
}

/// Reads the rule files again at each SIGHUP.
fn keep_reloading(process: &Process, manager: &Manager) {
    let (mut reloads, shutdown, manager) =
        (process.reload.subscribe(), process.shutdown.clone(), manager.clone());
    process.supervisor.spawn("reload", async move {
        loop {
            tokio::select! {
                changed = reloads.changed() => if changed.is_err() { return },
                () = shutdown.wait() => return,
            }
            if let Err(error) = manager.reload().await {
                error!(%error, "rules cannot be reloaded, the previous ones stay");
            }
        }
    });
}

/// The queriers that are asked over HTTP, and the addresses of those asked over gRPC.
fn queriers(flags: &RuleQueryFlags) -> Given<(Vec<PeersConfig>, Vec<String>)> {
    let config = path_or_content("query.config", &flags.query_config_file, &flags.query_config.0, true)?;
    let is_named = !flags.queriers.is_empty() || !flags.files.is_empty() || !flags.grpc_queriers.is_empty();
    let Some(config) = config else {
        if !is_named {
            return Err("no query configuration parameters provided: give --query or --query.config".into());
        }
        let mut seen = std::collections::BTreeSet::new();
        if let Some(again) = flags.queriers.iter().find(|querier| !seen.insert(*querier)) {
            return Err(format!("address {again} is duplicated for --query flag").into());
        }
        let queriers = queriers_of(&flags.queriers, &flags.files, flags.sd_interval);
        check_addresses("--grpc-query-endpoint", &flags.grpc_queriers)?;
        return Ok((queriers.map_err(|error| format!("--query: {error}"))?, flags.grpc_queriers.clone()));
    };
    if is_named {
        return Err("--query.config cannot be given together with --query, --query.sd-files or \
                    --grpc-query-endpoint"
            .into());
    }
    let config = parse_query_config(&config).map_err(|error| format!("--query.config: {error}"))?;
    if config.http.is_empty() && config.grpc.is_empty() {
        return Err("--query.config: no querier is named".into());
    }
    check_addresses("--query.config", &config.grpc)?;
    Ok((config.http, config.grpc))
}

fn check_addresses(flag: &str, addresses: &[String]) -> Given<()> {
    for address in addresses {
        EndpointAddress::parse(address).map_err(|error| format!("{flag}: {error}"))?;
    }
    Ok(())
}

fn query_options(flags: &RuleFlags) -> QueryOptions {
    /// Thanos has no such limit: its evaluation hangs when a querier does.
    const TIMEOUT: Duration = Duration::from_secs(120);
    QueryOptions {
        is_post: flags.query.http_method == "POST",
        only_prometheus_params: flags.query.only_prometheus_params,
        restore_step: flags.query.default_step,
        restore_ignored_labels: flags.rules.restore_ignored_labels.clone(),
        dns_interval: flags.query.query_dns_interval,
        timeout: TIMEOUT,
    }
}

fn alertmanagers(flags: &AlertFlags) -> Given<Vec<AlertmanagerConfig>> {
    let config =
        path_or_content("alertmanagers.config", &flags.alertmanagers_file, &flags.alertmanagers.0, true)?;
    match config {
        Some(_) if !flags.urls.is_empty() => {
            Err("--alertmanagers.url and --alertmanagers.config cannot be given together".into())
        }
        Some(yaml) => {
            Ok(parse_alertmanagers(&yaml).map_err(|error| format!("--alertmanagers.config: {error}"))?)
        }
        None => {
            if flags.urls.is_empty() {
                warn!("no Alertmanager is configured, alerts are not sent");
            }
            let one = |url: &String| alertmanager_of(url, flags.send_timeout);
            let all = flags.urls.iter().map(one).collect::<Result<Vec<_>, _>>();
            Ok(all.map_err(|error| format!("--alertmanagers.url: {error}"))?)
        }
    }
}

fn labelling(flags: &RuleFlags) -> Given<AlertLabelling> {
    let AlertFlags { relabel_file, relabel, label_drop, .. } = &flags.alert;
    let yaml = path_or_content("alert.relabel-config", relabel_file, &relabel.0, true)?;
    let steps = match yaml {
        Some(yaml) => parse_relabelling(&yaml).map_err(|error| format!("--alert.relabel-config: {error}"))?,
        None => Vec::new(),
    };
    Ok(AlertLabelling { external_labels: flags.rules.external_labels(), dropped: label_drop.clone(), steps })
}

/// The servers that results are written to; `None` for local storage.
fn remote_write(flags: &RuleFlags) -> Given<Option<Vec<RemoteConfig>>> {
    let (file, inline) = (&flags.remote_write_file, &flags.remote_write.0);
    let Some(yaml) = path_or_content("remote-write.config", file, inline, true)? else { return Ok(None) };
    Ok(Some(parse_remote_write(&yaml).map_err(|error| format!("--remote-write.config: {error}"))?))
}

/// How expressions of rules are parsed with these features.
pub fn parse_options(features: &[String]) -> ParseOptions {
    let mut parse = ParseOptions::default();
    for feature in features {
        match feature.as_str() {
            "promql-experimental-functions" => parse.experimental_functions = true,
            "promql-extended-range-selectors" => parse.extended_range_selectors = true,
            other => warn!(feature = other, "this feature is not known and not enabled"),
        }
    }
    parse
}

fn manager_options(flags: &RuleFlags) -> Given<ManagerOptions> {
    let rules = &flags.rules;
    let parse = parse_options(&rules.features);
    if rules.eval_interval.is_zero() {
        return Err("--eval-interval: expected more than 0".into());
    }
    if flags.storage.block_duration.is_zero() {
        return Err("--tsdb.block-duration: expected more than 0".into());
    }
    Ok(ManagerOptions {
        rule_files: rules.rule_files.clone(),
        data_dir: flags.data_dir.clone(),
        eval_interval: rules.eval_interval,
        query_offset: rules.query_offset,
        concurrent_evaluations: rules.concurrent_evaluations,
        resend_delay: rules.resend_delay,
        for_outage_tolerance: rules.for_outage_tolerance,
        for_grace_period: rules.for_grace_period,
        external_url: flags.alert.query_url.clone(),
        external_labels: rules.external_labels(),
        parse,
    })
}
