//! `tithon query`: PromQL over StoreAPI servers.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tithon_promql::Partitioning;
use tithon_query::{
    ActiveQueries, ActiveQueriesError, Dialect, DiscoveryError, EndpointAddress, EndpointConfigError, Member,
    MemberSources, Members, PartialResponses, QueryOptions, QueryService, parse_endpoints, router,
};
use tithon_runtime::{ClientTlsOptions, Cpu, TlsError};
use tithon_storeapi::{CompanionServer, PromqlServer, StoreApiServer};
use tracing::{info, warn};

use crate::cli::{AnswerFlags, EndpointFlags, QueryFlags};
use crate::flags::{Mode, PathOrContentError, ScopeError, UsageError};
use crate::process::Process;
use crate::{machine, prefix};

/// Why the flags that name servers are invalid.
#[derive(Debug, thiserror::Error)]
pub enum EndpointFlagsError {
    /// The TLS of endpoints cannot be set up.
    #[error("--grpc-client-tls-*: {0}")]
    Tls(#[from] TlsError),
    /// A strict endpoint has a DNS name; only static addresses can be strict.
    #[error("{0}: a strict endpoint is one HOST:PORT and no name to look up")]
    StrictName(String),
    /// An address or a DNS name is invalid.
    #[error("{flag}: {error}")]
    Address {
        /// The flag with the address.
        flag: &'static str,
        /// The error in its value.
        error: DiscoveryError,
    },
    /// The inline configuration is invalid.
    #[error("--endpoint.sd-config: {0}")]
    Config(#[from] EndpointConfigError),
    /// Both the inline configuration and the file are given.
    #[error(transparent)]
    Both(#[from] PathOrContentError),
}

/// Runs until a signal comes.
pub async fn run(flags: &QueryFlags) -> Result<(), Box<dyn Error>> {
    let options = options(flags).map_err(UsageError::of)?;
    let members = members(flags).map_err(UsageError::of)?;
    let log = flags.request_logging.read().map_err(UsageError::of)?;
    let active = active_queries(flags, options.max_concurrent).map_err(UsageError::of)?;
    let process = Process::start("query", &flags.server, log).await?;
    let cpu = Cpu::new(0)?;
    let (stores, metrics) = (Vec::new(), &process.metrics);
    let service = QueryService::with_active_queries(options, stores, cpu.clone(), metrics, active);
    let connect = connect(&process, &service, members);
    let Some(connected) = process.unless_stopped(connect).await else { return Ok(process.stop().await?) };
    connected?;
    let server = StoreApiServer::new(Arc::new(service.clone()), cpu, process.probes.clone());
    let services = CompanionServer::new(Arc::new(service.clone())).and(server.services());
    let promql = service.clone();
    let services = PromqlServer::new(move |request| promql.answer_promql(request)).and(services);
    let pages = prefix::below(flags.web.prefix(), router(service), "graph");
    Ok(process.serve(pages, services).await?)
}

fn options(flags: &QueryFlags) -> Result<QueryOptions, ScopeError> {
    Ok(QueryOptions {
        dialect: Dialect::Thanos,
        store_response_timeout: flags.response_timeout,
        info_timeout: flags.info_timeout,
        unhealthy_timeout: flags.unhealthy_timeout,
        grpc_encoding: flags.grpc_compression.0,
        tenancy: flags.tenancy.tenancy(),
        disable_cors: flags.web.disable_cors,
        selector_labels: flags.selector_label.clone(),
        selector_rules: flags.selector.read()?,
        request_series_max: flags.limits.request_series,
        request_samples_max: flags.limits.request_samples,
        connection_labels: flags.connection_label.clone(),
        log_longer_than: flags.log_queries_longer_than,
        distributed: (flags.mode == Mode::Distributed).then(|| Partitioning {
            labels: distinct(&flags.partition_label),
            overlapping: flags.overlapping_interval,
        }),
        pushdown: flags.pushdown,
        flags: shown_flags(flags),
        dynamic_lookback_delta: flags.dynamic_lookback_delta,
        instant_max_source_resolution: flags.instant_max_source_resolution,
        partial_responses: PartialResponses {
            rules: flags.rule_partial_response,
            targets: flags.target_partial_response,
            metadata: flags.metadata_partial_response,
            exemplars: flags.exemplar_partial_response,
            status: flags.status_partial_response,
        },
        ..answer_options(&flags.answers)
    })
}

/// The file of active queries, if the flag is set. Queries that a crashed process left in it are logged.
fn active_queries(
    flags: &QueryFlags,
    max_concurrent: usize,
) -> Result<Option<ActiveQueries>, ActiveQueriesError> {
    if flags.active_query_path.is_empty() {
        return Ok(None);
    }
    let folder = Path::new(&flags.active_query_path);
    let (active, unfinished) = ActiveQueries::open(folder, max_concurrent)?;
    if !unfinished.is_empty() {
        info!(queries = unfinished, "these queries did not end in the last run");
    }
    Ok(Some(active))
}

/// The flags that `/api/v1/status/flags` shows, which are those that pages for Thanos read.
fn shown_flags(flags: &QueryFlags) -> BTreeMap<String, String> {
    let step = format!("{}s", flags.answers.default_step.as_secs());
    // Distributed mode makes Thanos's own engine the default one.
    let engine = if flags.mode == Mode::Distributed { "thanos" } else { "prometheus" };
    let shown = [
        ("query.default-step", step),
        ("query.mode", flags.mode.word().to_owned()),
        ("query.partial-response", flags.answers.partial_response.to_string()),
        ("query.promql-engine", engine.to_owned()),
    ];
    shown.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The endpoints that the flags name. The files of these flags must be valid at the start; later changes apply at once.
fn members(flags: &QueryFlags) -> Result<Members, Box<dyn Error + Send + Sync>> {
    flags.tls.load().map_err(EndpointFlagsError::Tls)?;
    let tls = flags.tls.options().map_err(EndpointFlagsError::Tls)?;
    let members = Members::new(flags.endpoints.sources(tls)?)?;
    if members.are_none() {
        warn!("no --endpoint is given: every query will find nothing");
    }
    Ok(members)
}

/// Sets the service's endpoints, and starts the loop that keeps them up to date with their sources.
async fn connect(
    process: &Process,
    service: &QueryService,
    mut members: Members,
) -> Result<(), Box<dyn Error>> {
    members.update(service).await?;
    service.refresh().await;
    let (service, shutdown, reload) = (service.clone(), process.shutdown.clone(), process.reload.clone());
    process
        .supervisor
        .spawn("endpoint", async move { service.keep_refreshed(members, shutdown, reload).await });
    Ok(())
}

impl EndpointFlags {
    /// The sources of endpoints that the flags name; `tls` is the TLS of endpoints without settings of their own.
    fn sources(&self, tls: Option<ClientTlsOptions>) -> Result<MemberSources, EndpointFlagsError> {
        let mut flags = Vec::new();
        for (flag, list, strict, group) in [
            ("--endpoint", &self.endpoint, false, false),
            ("--endpoint-group", &self.endpoint_group, false, true),
            ("--endpoint-strict", &self.endpoint_strict, true, false),
            ("--endpoint-group-strict", &self.endpoint_group_strict, true, true),
        ] {
            for text in list {
                let address = EndpointAddress::parse(text);
                let address = address.map_err(|error| EndpointFlagsError::Address { flag, error })?;
                if strict && matches!(address, EndpointAddress::Dns(_)) {
                    return Err(EndpointFlagsError::StrictName(format!("{flag}={text}")));
                }
                flags.push(Member { address, strict, group, tls: tls.clone(), named_by: flag });
            }
        }
        if !self.sd_config_file.is_empty() && !self.sd_config.is_empty() {
            return Err(PathOrContentError::Both("endpoint.sd-config".to_owned()).into());
        }
        let mut inline = parse_endpoints(&self.sd_config, tls.as_ref())?;
        inline.iter().try_for_each(Member::check_tls)?;
        flags.append(&mut inline);
        let config_file = (!self.sd_config_file.is_empty())
            .then(|| (PathBuf::from(&self.sd_config_file), self.sd_reload_interval));
        Ok(MemberSources {
            flags,
            config_file,
            sd_files: (self.sd_files.clone(), self.sd_interval),
            tls,
            dns_interval: self.dns_interval,
        })
    }
}

/// The distinct labels in a list, without the empty ones that extra commas leave.
fn distinct(given: &[String]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for label in given.iter().map(|label| label.trim()).filter(|label| !label.is_empty()) {
        if !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    }
    labels
}

/// The options that the flags of answers set; the others have their defaults.
pub fn answer_options(flags: &AnswerFlags) -> QueryOptions {
    let mut options = QueryOptions {
        timeout: flags.timeout,
        max_concurrent: flags.max_concurrent,
        max_samples: flags.max_samples,
        max_bytes: flags.max_bytes,
        memory_limit: match flags.memory_limit {
            0 => machine::usable_bytes().map_or(0, |bytes| bytes / 2),
            bytes => bytes,
        },
        lookback_delta: flags.lookback_delta,
        replica_labels: distinct(&flags.replica_label),
        dedup_function: flags.deduplication,
        default_evaluation_interval: flags.default_evaluation_interval,
        default_step: flags.default_step,
        auto_downsampling: flags.auto_downsampling,
        partial_response: flags.partial_response,
        metadata_default_time_range: flags.metadata_default_time_range,
        ..QueryOptions::default()
    };
    for feature in &flags.enable_feature {
        match feature.as_str() {
            "promql-experimental-functions" => options.experimental_functions = true,
            "promql-extended-range-selectors" => options.extended_range_selectors = true,
            "promql-binop-fill-modifiers" => options.binop_fill_modifiers = true,
            "promql-delayed-name-removal" => options.delayed_name_removal = true,
            // Always enabled, as in current versions of Prometheus and Thanos.
            "promql-at-modifier" | "promql-negative-offset" | "promql-duration-expr" | "query-pushdown" => {}
            other => warn!(feature = other, "unknown feature in --enable-feature is ignored"),
        }
    }
    options
}
