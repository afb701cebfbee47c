//! `tithon rule`: evaluates recording and alerting rules over queriers.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tithon_chunks::TimeRange;
use tithon_promql::ParseOptions;
use tithon_rule::{
    AlertLabelling, AlertQueue, AlertSender, AlertmanagerConfig, Generator, Manager, ManagerOptions,
    PeersConfig, Queriers, QueryOptions, RemoteWrite, RuleCompanions, RuleMetrics, SenderOptions, Storage,
    alertmanager_of, parse_alertmanagers, parse_query_config, parse_relabelling, parse_remote_write,
    queriers_of, rule_pages,
};
use tithon_storeapi::{Apis, CompanionServer, StoreInfo, info_services};
use tracing::{error, warn};

use crate::cli::{AlertFlags, RuleFlags, RuleQueryFlags};
use crate::flags::{UsageError, path_or_content};
use crate::prefix;
use crate::process::Process;

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
    let log = flags.request_logging.read().map_err(UsageError::of)?;
    let process = Process::start("rule", &flags.server, log).await?;
    let metrics = RuleMetrics::new(&process.metrics);
    let external = options.external_labels.clone();

    let queriers = Queriers::new(queriers, query_options(flags), &process.metrics, metrics.clone())?
        .and_over_grpc(&over_grpc)?;
    let queue_dir = Path::new(&flags.data_dir).join("remote-write");
    let remote = RemoteWrite::open(&queue_dir, &external, remotes, &process.metrics)?;
    let queue = AlertQueue::new(labelling, metrics.clone());
    let sender_options = SenderOptions { dns_interval: flags.alert.alertmanagers_dns_interval };
    let sender = AlertSender::new(alertmanagers, sender_options, &process.metrics, metrics.clone())?;
    let storage = Storage::Remote(remote.clone());
    let shutdown = process.shutdown.clone();
    let manager =
        Manager::new(options, queriers.clone(), storage, queue.clone(), generator, metrics, shutdown.clone());

    let stop = shutdown.clone();
    process.supervisor.spawn("queriers", async move { queriers.keep(&stop).await });
    let stop = shutdown.clone();
    process.supervisor.spawn("remote write", async move { remote.send_all(&stop).await });
    let (stop, keeping) = (shutdown.clone(), sender.clone());
    process.supervisor.spawn("alertmanagers", async move { keeping.keep(&stop).await });
    let stop = shutdown.clone();
    process.supervisor.spawn("alerts", async move { sender.send_all(&queue, &stop).await });
    manager.reload().await?;
    keep_reloading(&process, &manager);

    let info = StoreInfo {
        label_sets: vec![external],
        apis: Apis { rules: true, ..Apis::default() },
        ..StoreInfo::new("rule", TimeRange::new(i64::MAX, i64::MIN))
    };
    let services = info_services(info, process.probes.clone());
    let services = CompanionServer::new(Arc::new(RuleCompanions::new(manager.clone()))).rules_and(services);
    let pages = prefix::below(&flags.route_prefix, rule_pages(manager.clone(), !flags.disable_cors), "rules");
    process.serve(pages, services).await?;
    // Evaluations that wait for their querier are abandoned: their results would be too late.
    drop(tokio::time::timeout(Duration::from_secs(5), manager.stop()).await);
    Ok(())
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
    Ok((config.http, config.grpc))
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

fn remote_write(flags: &RuleFlags) -> Given<Vec<tithon_rule::RemoteConfig>> {
    let (file, inline) = (&flags.remote_write_file, &flags.remote_write.0);
    let Some(yaml) = path_or_content("remote-write.config", file, inline, true)? else {
        return Err("local storage is not here yet: name the servers that results are written to by \
                    --remote-write.config, as for a stateless ruler"
            .into());
    };
    Ok(parse_remote_write(&yaml).map_err(|error| format!("--remote-write.config: {error}"))?)
}

fn manager_options(flags: &RuleFlags) -> Given<ManagerOptions> {
    let rules = &flags.rules;
    let mut parse = ParseOptions::default();
    for feature in &rules.features {
        match feature.as_str() {
            "promql-experimental-functions" => parse.experimental_functions = true,
            "promql-extended-range-selectors" => parse.extended_range_selectors = true,
            other => warn!(feature = other, "this feature is not known and not enabled"),
        }
    }
    if rules.eval_interval.is_zero() {
        return Err("--eval-interval: expected more than 0".into());
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
