//! Servers that are spoken to over HTTP: queriers and Alertmanagers, named by flags, configurations and files, and looked up by
//! DNS. Thanos `pkg/clientconfig`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use reqwest::header::AUTHORIZATION;
use reqwest::{RequestBuilder, Response, Url};
use serde::Deserialize;
use tithon_runtime::{
    Discovery, DiscoveryError, DnsName, EndpointAddress, HttpClient, HttpClientConfig, HttpClientError,
    Metrics, SdFiles,
};

/// Servers of one kind, with the settings of the client.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// Passwords, tokens and TLS.
    pub client: HttpClientConfig,
    /// `http` or `https`
    pub scheme: String,
    /// Prefix of the paths of the API.
    pub path_prefix: String,
    /// `host`, `host:port`, or a name with the way it is looked up.
    pub addresses: Vec<String>,
    /// Patterns of the paths of files with addresses.
    pub files: Vec<String>,
    /// How often the files are read.
    pub refresh_interval: Duration,
}

/// The part of YAML that says where servers are; the same for queriers and Alertmanagers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSd {
    #[serde(default)]
    pub(crate) files: Vec<String>,
    #[serde(default)]
    pub(crate) refresh_interval: Option<crate::yaml::Span>,
}

/// Why servers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// The YAML is not what is expected.
    #[error("{0}")]
    Yaml(tithon_runtime::YamlFault),
    /// An address or a setting that cannot be used.
    #[error("{what:?}: {reason}")]
    Setting {
        /// The address or setting.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The client cannot be made.
    #[error("http_config: {0}")]
    Client(#[from] HttpClientError),
    /// A name that cannot be looked up.
    #[error("{0}")]
    Address(#[from] DiscoveryError),
}

/// Servers, as they are known now.
pub(crate) struct Peers {
    config: PeersConfig,
    pub(crate) client: HttpClient,
    fixed: Vec<EndpointAddress>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    files: SdFiles,
    listed: BTreeSet<String>,
    discovery: Option<Discovery>,
    names: BTreeMap<DnsName, BTreeSet<String>>,
    /// Each once.
    urls: Arc<[Url]>,
    /// How many were named again.
    again: u64,
}

/// Look-ups of names and those that failed.
#[derive(Clone, Default)]
pub(crate) struct DnsMetrics {
    lookups: Counter,
    failures: Counter,
}

impl DnsMetrics {
    /// Registers `PREFIX_dns_lookups_total` and `PREFIX_dns_failures_total`.
    pub(crate) fn new(registry: &Metrics, prefix: &str) -> DnsMetrics {
        let metrics = DnsMetrics::default();
        registry.register(|r| {
            r.register(format!("{prefix}_dns_lookups"), "Look-ups of names", metrics.lookups.clone());
            let help = "Look-ups of names that failed";
            r.register(format!("{prefix}_dns_failures"), help, metrics.failures.clone());
        });
        metrics
    }
}

/// Names are looked up no longer than this.
const LOOKUP_MAX: Duration = Duration::from_secs(10);

impl Peers {
    /// Nothing is looked up yet; addresses without a prefix are known at once.
    pub(crate) fn new(config: PeersConfig) -> Result<Peers, PeersError> {
        if !matches!(config.scheme.as_str(), "http" | "https") {
            let reason = "expected http or https as the scheme".to_owned();
            return Err(PeersError::Setting { what: config.scheme, reason });
        }
        config.client.check()?;
        let client = config.client.http_client()?;
        config.client.authorization()?;
        let fixed = config.addresses.iter().map(|text| address(text)).collect::<Result<Vec<_>, _>>()?;
        let peers = Peers { client, fixed, found: Mutex::default(), config };
        let files = SdFiles::new(peers.config.files.clone());
        {
            let mut found = peers.lock();
            found.files = files;
            peers.find_urls(&mut found)?;
        }
        Ok(peers)
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the servers are now, each once; and how many were named again.
    pub(crate) fn urls(&self) -> (Arc<[Url]>, u64) {
        let found = self.lock();
        (Arc::clone(&found.urls), found.again)
    }

    /// Reads the files and looks names up.
    pub(crate) async fn refresh(&self, metrics: &DnsMetrics) {
        let (discovery, names) = {
            let mut found = self.lock();
            found.listed = found.files.read();
            (found.discovery.take(), self.names(&found))
        };
        if !names.is_empty() {
            self.resolve(discovery, names, metrics).await;
        }
        let mut found = self.lock();
        if let Err(error) = self.find_urls(&mut found) {
            tracing::warn!(%error, "a listed address cannot be used");
        }
    }

    async fn resolve(&self, discovery: Option<Discovery>, names: BTreeSet<DnsName>, metrics: &DnsMetrics) {
        let discovery = match discovery {
            Some(discovery) => Ok(discovery),
            None => Discovery::system_resolver().map(|resolver| Discovery::new([], resolver)),
        };
        metrics.lookups.inc_by(names.len() as u64);
        match discovery {
            Ok(mut discovery) => {
                discovery.set_names(names);
                let (found, failed) = discovery.resolve(LOOKUP_MAX).await;
                metrics.failures.inc_by(failed as u64);
                let mut state = self.lock();
                (state.names, state.discovery) = (found, Some(discovery));
            }
            Err(error) => {
                metrics.failures.inc_by(names.len() as u64);
                tracing::warn!(%error, "names cannot be looked up");
            }
        }
    }

    /// All addresses: those of the configuration, then those of the files.
    fn addresses(&self, found: &Found) -> Vec<EndpointAddress> {
        let listed = found.listed.iter().filter_map(|text| match address(text) {
            Ok(address) => Some(address),
            Err(error) => {
                tracing::warn!(%error, "a listed address is left out");
                None
            }
        });
        self.fixed.iter().cloned().chain(listed).collect()
    }

    fn names(&self, found: &Found) -> BTreeSet<DnsName> {
        let name = |address| match address {
            EndpointAddress::Dns(name) => Some(name),
            EndpointAddress::Static(_) => None,
        };
        self.addresses(found).into_iter().filter_map(name).collect()
    }

    /// Puts the addresses as they are known now into `found.urls`. Fails, and changes nothing, when one is no part of a URL.
    fn find_urls(&self, found: &mut Found) -> Result<(), PeersError> {
        let (mut urls, mut seen, mut again) = (Vec::new(), BTreeSet::new(), 0);
        for address in self.addresses(found) {
            let hosts = match &address {
                EndpointAddress::Static(host) => BTreeSet::from([host.clone()]),
                EndpointAddress::Dns(name) => found.names.get(name).cloned().unwrap_or_default(),
            };
            for host in hosts {
                let text = format!("{}://{host}{}", self.config.scheme, rooted(&self.config.path_prefix));
                let wrong = |reason: String| PeersError::Setting { what: text.clone(), reason };
                let url = Url::parse(&text).map_err(|error| wrong(error.to_string()))?;
                match seen.insert(url.clone()) {
                    true => urls.push(url),
                    false => again += 1,
                }
            }
        }
        (found.urls, found.again) = (urls.into(), again);
        Ok(())
    }

    /// How often files are to be read.
    pub(crate) fn refresh_interval(&self) -> Duration {
        self.config.refresh_interval
    }

    /// A request with the name and password of the configuration, which are read anew.
    pub(crate) fn authorized(&self, request: RequestBuilder) -> Result<RequestBuilder, HttpClientError> {
        Ok(match self.config.client.authorization()? {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        })
    }
}

/// Keeps lists of servers up to date until the end.
pub(crate) async fn keep(
    peers: &[Arc<Peers>],
    dns_interval: Duration,
    metrics: &DnsMetrics,
    shutdown: &tithon_runtime::Shutdown,
) {
    let mut due = vec![Instant::now(); peers.len()];
    loop {
        for (one, due) in peers.iter().zip(&mut due) {
            if Instant::now() >= *due {
                one.refresh(metrics).await;
                let interval = dns_interval.min(one.refresh_interval()).max(Duration::from_secs(1));
                *due = Instant::now() + interval;
            }
        }
        let next = due.iter().min().copied().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = shutdown.wait() => return,
        }
    }
}

/// An address; one without a prefix may lack a port.
fn address(text: &str) -> Result<EndpointAddress, PeersError> {
    if text.is_empty() {
        return Err(PeersError::Setting { what: text.to_owned(), reason: "the address is empty".to_owned() });
    }
    match text.contains('+') {
        true => Ok(EndpointAddress::parse(text)?),
        false => Ok(EndpointAddress::Static(text.to_owned())),
    }
}

/// A path with a slash in front and none behind; nothing for the root.
fn rooted(path: &str) -> String {
    let trimmed = path.trim_matches('/');
    if trimmed.is_empty() { String::new() } else { format!("/{trimmed}") }
}

/// A URL with more segments behind its path.
pub(crate) fn joined(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // URLs of HTTP can have paths.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// The body of an answer, of `max` bytes at most.
pub(crate) async fn body(mut answer: Response, max: usize) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(part)) if body.len() + part.len() > max => {
                return Err(format!("the answer is longer than {max} bytes"));
            }
            Ok(Some(part)) => body.extend_from_slice(&part),
            Ok(None) => return Ok(body),
            Err(error) => return Err(tithon_proto::with_causes(&error.without_url())),
        }
    }
}
