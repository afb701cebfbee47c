//! `tithon query`: PromQL over StoreAPI servers.

use std::error::Error;
use std::sync::Arc;

use tithon_query::{
    Dialect, Discovery, DiscoveryError, DnsName, EndpointAddress, PartialResponses, QueryOptions,
    QueryService, router,
};
use tithon_runtime::{Cpu, TlsError};
use tithon_storeapi::{CompanionServer, Endpoint, EndpointError, StoreApiServer};
use tracing::warn;

use crate::cli::{AnswerFlags, QueryFlags};
use crate::memory;
use crate::process::Process;

/// What is wrong with the flags that say whom to ask.
#[derive(Debug, thiserror::Error)]
pub enum EndpointFlagsError {
    /// TLS towards endpoints cannot be set up.
    #[error("--grpc-client-tls-*: {0}")]
    Tls(#[from] TlsError),
    /// What is looked up can change, and a strict endpoint cannot.
    #[error(
        "--endpoint-strict={0}: a strict endpoint is one HOST:PORT and no name to look up; use --endpoint"
    )]
    StrictName(String),
    /// An address or a name cannot be used.
    #[error("--endpoint: {0}")]
    Name(#[from] DiscoveryError),
    /// An address cannot be used.
    #[error("--endpoint: {0}")]
    Endpoint(#[from] EndpointError),
}

/// Runs until a signal comes.
pub async fn run(flags: &QueryFlags) -> Result<(), Box<dyn Error>> {
    let process = Process::start("query", &flags.server).await?;
    let options = QueryOptions {
        dialect: Dialect::Thanos,
        store_response_timeout: flags.response_timeout,
        info_timeout: flags.info_timeout,
        unhealthy_timeout: flags.unhealthy_timeout,
        partial_responses: PartialResponses {
            rules: flags.rule_partial_response,
            targets: flags.target_partial_response,
            metadata: flags.metadata_partial_response,
            exemplars: flags.exemplar_partial_response,
            status: flags.status_partial_response,
        },
        ..answer_options(&flags.answers)
    };
    let cpu = Cpu::new(0)?;
    let service = QueryService::new(options, Vec::new(), cpu.clone(), &process.metrics);
    connect(&process, &service, flags).await?;
    let server = StoreApiServer::new(Arc::new(service.clone()), cpu, process.probes.clone());
    let services = CompanionServer::new(Arc::new(service.clone())).and(server.services());
    Ok(process.serve(router(service), services).await?)
}

/// Gives the service its endpoints, and starts the loops that look up their names and ask them what they hold.
async fn connect(
    process: &Process,
    service: &QueryService,
    flags: &QueryFlags,
) -> Result<(), EndpointFlagsError> {
    let (addresses, names) = addresses(flags)?;
    let options = service.options().endpoint_options(flags.tls.load()?);
    let connect = move |address: &str| Endpoint::new(address, options.clone());
    let endpoints: Vec<Endpoint> =
        addresses.iter().map(|address| connect(address)).collect::<Result<_, _>>()?;
    if endpoints.is_empty() && names.is_empty() {
        warn!("no --endpoint is given: every query will find nothing");
    }
    service.set_endpoints(endpoints.clone());
    if !names.is_empty() {
        let mut discovery = Discovery::new(names, Discovery::system_resolver()?);
        service.discover(&endpoints, &mut discovery, &connect).await;
        let (service, shutdown, interval) = (service.clone(), process.shutdown.clone(), flags.dns_interval);
        process.supervisor.spawn("DNS discovery", async move {
            loop {
                tokio::select! {
                    () = shutdown.wait() => return,
                    () = tokio::time::sleep(interval) => {}
                }
                service.discover(&endpoints, &mut discovery, &connect).await;
            }
        });
    }
    service.refresh().await;
    let (service, shutdown) = (service.clone(), process.shutdown.clone());
    process.supervisor.spawn("endpoint", async move { service.keep_refreshed(shutdown).await });
    Ok(())
}

/// The addresses of `--endpoint` and `--endpoint-strict`, and the names to be looked up.
fn addresses(flags: &QueryFlags) -> Result<(Vec<String>, Vec<DnsName>), EndpointFlagsError> {
    let (mut addresses, mut names) = (Vec::new(), Vec::new());
    for text in &flags.endpoint {
        match EndpointAddress::parse(text)? {
            EndpointAddress::Static(address) => addresses.push(address),
            EndpointAddress::Dns(name) => names.push(name),
        }
    }
    for text in &flags.endpoint_strict {
        match EndpointAddress::parse(text)? {
            EndpointAddress::Static(address) => addresses.push(address),
            EndpointAddress::Dns(_) => return Err(EndpointFlagsError::StrictName(text.clone())),
        }
    }
    Ok((addresses, names))
}

/// The names in a list of labels, without what commas at its ends or doubled ones leave.
fn replica_labels(given: &[String]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for label in given.iter().map(|label| label.trim()).filter(|label| !label.is_empty()) {
        if !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    }
    labels
}

/// The options that the flags of answers give; the rest stays as it is by default.
pub fn answer_options(flags: &AnswerFlags) -> QueryOptions {
    let mut options = QueryOptions {
        timeout: flags.timeout,
        max_concurrent: flags.max_concurrent,
        max_samples: flags.max_samples,
        max_bytes: flags.max_bytes,
        memory_limit: match flags.memory_limit {
            0 => memory::usable_bytes().map_or(0, |bytes| bytes / 2),
            bytes => bytes,
        },
        lookback_delta: flags.lookback_delta,
        replica_labels: replica_labels(&flags.replica_label),
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
            // Always on, as upstream has them by now.
            "promql-at-modifier" | "promql-negative-offset" | "promql-duration-expr" | "query-pushdown" => {}
            other => warn!(feature = other, "unknown feature in --enable-feature is ignored"),
        }
    }
    options
}
