//! The current endpoints of a querier: those named by flags, by configurations and by files, with DNS names resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tithon_runtime::{ClientTls, ClientTlsOptions, TlsError};
use tithon_storeapi::{Endpoint, EndpointOptions};
use tracing::{info, warn};

use super::{
    Discovery, DiscoveryError, DnsName, EndpointAddress, EndpointConfigError, SdFiles, parse_endpoints,
};
use crate::QueryService;

/// An endpoint as an operator configures it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `host:port`, or a DNS name to look up.
    pub address: EndpointAddress,
    /// Whether it is asked even if it has not answered lately.
    pub strict: bool,
    /// Whether all its addresses are one endpoint, whose requests are spread over them.
    pub group: bool,
    /// TLS of its connections; `None` is clear text.
    pub tls: Option<ClientTlsOptions>,
    /// The flag that named it or its file.
    pub named_by: &'static str,
}

/// The places where endpoints are configured.
#[derive(Clone, Debug, Default)]
pub struct MemberSources {
    /// Endpoints named by flags.
    pub flags: Vec<Member>,
    /// `--endpoint.sd-config-file`, and the interval between two reads.
    pub config_file: Option<(PathBuf, Duration)>,
    /// `--store.sd-files`: glob patterns, and the interval between two reads.
    pub sd_files: (Vec<String>, Duration),
    /// TLS of endpoints without settings of their own.
    pub tls: Option<ClientTlsOptions>,
    /// `--store.sd-dns-interval`: interval between two look-ups of DNS names.
    pub dns_interval: Duration,
}

/// Why the endpoints of a querier cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    /// The configuration cannot be read.
    #[error("--endpoint.sd-config-file={path}: {source}")]
    Read {
        /// Path of the configuration file.
        path: PathBuf,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// The configuration has a mistake.
    #[error("--endpoint.sd-config-file={path}: {source}")]
    Config {
        /// Path of the configuration file.
        path: PathBuf,
        /// The mistake in it.
        source: EndpointConfigError,
    },
    /// A file pattern is not a valid glob.
    #[error("--store.sd-files={pattern}: {source}")]
    Pattern {
        /// The pattern of the flag.
        pattern: String,
        /// What is wrong with it.
        source: glob::PatternError,
    },
}

/// The endpoints of a querier, kept up to date with their sources.
pub struct Members {
    sources: MemberSources,
    config: Vec<Member>,
    files: SdFiles,
    /// Addresses read from the files.
    listed: BTreeSet<String>,
    discovery: Option<Discovery>,
    found: BTreeMap<DnsName, BTreeSet<String>>,
    read_config: Due,
    read_files: Due,
    look_up: Due,
    known: BTreeMap<String, (Member, Endpoint)>,
    duplicates: BTreeSet<String>,
}

/// Time of the last run of a periodic task; `None` when it is due at once.
struct Due(Option<Instant>);

impl Due {
    fn is_now(&mut self, interval: Duration) -> bool {
        let now = Instant::now();
        if self.0.is_some_and(|last| now.saturating_duration_since(last) < interval) {
            return false;
        }
        self.0 = Some(now);
        true
    }
}

fn read_config_file(path: &Path, global: Option<&ClientTlsOptions>) -> Result<Vec<Member>, MembersError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| MembersError::Read { path: path.to_owned(), source })?;
    let members = parse_endpoints(&text, global).and_then(|members| {
        members.iter().try_for_each(Member::check_tls)?;
        Ok(members)
    });
    members.map_err(|source| MembersError::Config { path: path.to_owned(), source })
}

impl Member {
    /// Fails when the certificate or key files of its TLS cannot be used.
    pub fn check_tls(&self) -> Result<(), EndpointConfigError> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let (address, wrong) = (&self.address, |e: TlsError| e.to_string());
        let checked = ClientTls::new(tls.clone()).map(drop).map_err(wrong);
        checked.map_err(|reason| EndpointConfigError::Tls { address: address.to_string(), reason })
    }
}

impl Members {
    /// Reads the configuration file and checks the file patterns. Files are read and names looked up only by
    /// [`Members::update`].
    ///
    /// Fails when the configuration cannot be read or is invalid, or a pattern is no glob.
    pub fn new(sources: MemberSources) -> Result<Members, MembersError> {
        let mut read_config = Due(None);
        let config = match &sources.config_file {
            Some((path, interval)) => {
                read_config.is_now(*interval);
                read_config_file(path, sources.tls.as_ref())?
            }
            None => Vec::new(),
        };
        for pattern in &sources.sd_files.0 {
            glob::Pattern::new(pattern)
                .map_err(|source| MembersError::Pattern { pattern: pattern.clone(), source })?;
        }
        Ok(Members {
            config,
            files: SdFiles::new(sources.sd_files.0.clone()),
            listed: BTreeSet::new(),
            discovery: None,
            found: BTreeMap::new(),
            read_config,
            read_files: Due(None),
            look_up: Due(None),
            known: BTreeMap::new(),
            duplicates: BTreeSet::new(),
            sources,
        })
    }

    /// Whether no source names an endpoint or could name one later.
    pub fn are_none(&self) -> bool {
        let sources = &self.sources;
        sources.flags.is_empty() && sources.config_file.is_none() && sources.sd_files.0.is_empty()
    }

    /// Makes the next update read all files and look up all names.
    pub fn make_due(&mut self) {
        (self.read_config, self.read_files, self.look_up) = (Due(None), Due(None), Due(None));
    }

    /// Reads the files and looks up the names that are due, and gives the service the current endpoints. Endpoints that
    /// stay keep their connections. Must be called inside a tokio runtime.
    ///
    /// Fails when the DNS resolver cannot be set up.
    pub async fn update(&mut self, service: &QueryService) -> Result<(), DiscoveryError> {
        self.read();
        let members = self.members();
        self.resolve(&members, service).await?;
        let mut wanted: BTreeMap<String, (Member, BTreeSet<String>)> = BTreeMap::new();
        let mut duplicates = BTreeSet::new();
        for (name, member, addresses) in members.into_iter().flat_map(|member| self.endpoints_of(member)) {
            if wanted.insert(name.clone(), (member, addresses)).is_some() {
                duplicates.insert(name);
            }
        }
        for name in duplicates.difference(&self.duplicates) {
            warn!(endpoint = name, "endpoint is named several times; the last one counts");
        }
        self.duplicates = duplicates;
        self.known.retain(|name, (member, _)| {
            let stays = wanted.get(name).is_some_and(|(now, _)| now == member);
            if !stays {
                info!(endpoint = name, "endpoint was removed, or its settings changed");
            }
            stays
        });
        for (name, (member, addresses)) in wanted {
            self.set(name, member, addresses, service);
        }
        service.set_endpoints(self.known.values().map(|(_, endpoint)| endpoint.clone()).collect());
        Ok(())
    }

    /// Reads the configuration and the files that are due. An invalid configuration is logged and the last valid one
    /// stays.
    fn read(&mut self) {
        if let Some((path, interval)) = &self.sources.config_file
            && self.read_config.is_now(*interval)
        {
            match read_config_file(path, self.sources.tls.as_ref()) {
                Ok(config) => self.config = config,
                Err(error) => warn!(error = %error, "endpoint config cannot be used, the previous one stays"),
            }
        }
        // Small files are read at least this often, in place of being watched.
        const WATCH_INTERVAL: Duration = Duration::from_secs(5);
        let (patterns, interval) = &self.sources.sd_files;
        if !patterns.is_empty() && self.read_files.is_now((*interval).min(WATCH_INTERVAL)) {
            self.listed = self.files.read();
        }
    }

    /// All members that are configured now, those of flags last.
    fn members(&self) -> Vec<Member> {
        let parse = |text: &String| match EndpointAddress::parse(text) {
            Ok(address) => {
                let (tls, named_by) = (self.sources.tls.clone(), "--store.sd-files");
                Some(Member { address, strict: false, group: false, tls, named_by })
            }
            Err(error) => {
                warn!(error = %error, "a listed address is ignored");
                None
            }
        };
        let listed = self.listed.iter().filter_map(parse);
        self.config.iter().cloned().chain(listed).chain(self.sources.flags.iter().cloned()).collect()
    }

    /// Looks up the DNS names when that is due or a name is new.
    async fn resolve(&mut self, members: &[Member], service: &QueryService) -> Result<(), DiscoveryError> {
        let names: BTreeSet<DnsName> = members
            .iter()
            .filter_map(|member| match &member.address {
                EndpointAddress::Dns(name) => Some(name.clone()),
                EndpointAddress::Static(_) => None,
            })
            .collect();
        if names.is_empty() {
            self.found.clear();
            return Ok(());
        }
        let is_new = names.iter().any(|name| !self.found.contains_key(name));
        if !self.look_up.is_now(self.sources.dns_interval) && !is_new {
            return Ok(());
        }
        let discovery = match &mut self.discovery {
            Some(discovery) => discovery,
            none => none.insert(Discovery::new([], Discovery::system_resolver()?)),
        };
        let n_names = names.len();
        discovery.set_names(names);
        let (found, failed) = discovery.resolve(service.options().info_timeout).await;
        service.inner.metrics.looked_up(n_names, failed);
        self.found = found;
        Ok(())
    }

    /// The endpoints that a member stands for now: name, settings, addresses.
    fn endpoints_of(&self, member: Member) -> Vec<(String, Member, BTreeSet<String>)> {
        let addresses = match &member.address {
            EndpointAddress::Static(address) => BTreeSet::from([address.clone()]),
            EndpointAddress::Dns(name) => self.found.get(name).cloned().unwrap_or_default(),
        };
        if member.group {
            return vec![(format!("thanos:///{}", member.address), member, addresses)];
        }
        // Members with the same address are one endpoint.
        let one = |address: String| {
            let member = Member { address: EndpointAddress::Static(address.clone()), ..member.clone() };
            (address.clone(), member, BTreeSet::from([address]))
        };
        addresses.into_iter().map(one).collect()
    }

    /// Creates an endpoint that is new. Gives a group its current addresses, unless there are none.
    fn set(&mut self, name: String, member: Member, addresses: BTreeSet<String>, service: &QueryService) {
        let endpoint = match self.known.get(&name) {
            Some((_, endpoint)) => endpoint.clone(),
            None => {
                let tls = match member.tls.clone().map(ClientTls::new).transpose() {
                    Ok(tls) => tls,
                    Err(error) => {
                        warn!(endpoint = name, error = %error, "endpoint is left out: its TLS cannot be set up");
                        return;
                    }
                };
                let options = EndpointOptions {
                    strict: member.strict,
                    calls: Some(service.inner.metrics.calls.clone()),
                    named_by: member.named_by,
                    ..service.options().endpoint_options(tls)
                };
                let endpoint = Endpoint::group(&name, options);
                self.known.insert(name.clone(), (member, endpoint.clone()));
                endpoint
            }
        };
        if addresses.is_empty() {
            return;
        }
        if let Err(error) = endpoint.set_addresses(addresses) {
            warn!(endpoint = name, error = %error, "endpoint is left out: its address cannot be used");
            self.known.remove(&name);
        }
    }
}
