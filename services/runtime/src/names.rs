//! Discovery of servers: addresses from flags and files, and DNS look-ups. Thanos `pkg/discovery/dns`.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{RData, rdata::SRV};
use tracing::warn;

pub use self::files::SdFiles;

/// An address is invalid, or the DNS resolver cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// The address is invalid.
    #[error("endpoint {address:?}: {reason}")]
    Address {
        /// The address in the configuration.
        address: String,
        /// What is wrong with the address.
        reason: String,
    },
    /// The system's DNS resolver cannot be set up.
    #[error("resolver of endpoint names: {reason}")]
    Resolver {
        /// Why it cannot be set up.
        reason: String,
    },
}

/// An address of a server, as in `--endpoint`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndpointAddress {
    /// `host:port` of one server.
    Static(String),
    /// A DNS name that is looked up repeatedly.
    Dns(DnsName),
}

/// A DNS name with its kind of look-up, such as `dns+thanos-store:10901`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DnsName {
    lookup: Lookup,
    name: String,
    /// Required for `dns+`; for SRV records it replaces theirs.
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lookup {
    /// `dns+` and `dnsdualstack+`: A and AAAA records.
    Hosts,
    /// `dnssrv+`: SRV records, then A and AAAA records of their targets.
    Services,
    /// `dnssrvnoa+`: SRV records, whose targets are resolved when connecting.
    ServicesOnly,
}

impl EndpointAddress {
    /// Parses an address. Fails when the prefix is unknown, or the port is missing and no SRV record supplies it.
    pub fn parse(text: &str) -> Result<EndpointAddress, DiscoveryError> {
        let wrong = |reason: String| DiscoveryError::Address { address: text.to_owned(), reason };
        let Some((prefix, rest)) = text.split_once('+') else {
            let (host, port) = split_port(text);
            if host.is_empty() || port.is_none() {
                return Err(wrong("expected HOST:PORT".to_owned()));
            }
            return Ok(EndpointAddress::Static(text.to_owned()));
        };
        let lookup = match prefix {
            "dns" | "dnsdualstack" => Lookup::Hosts,
            "dnssrv" => Lookup::Services,
            "dnssrvnoa" => Lookup::ServicesOnly,
            _ => {
                let known = "dns+, dnsdualstack+, dnssrv+ and dnssrvnoa+";
                return Err(wrong(format!("unknown prefix {prefix:?}; there are {known}")));
            }
        };
        let (name, port) = split_port(rest);
        if name.is_empty() {
            return Err(wrong("the name is missing".to_owned()));
        }
        if port.is_none() && (lookup == Lookup::Hosts || rest.contains(':')) {
            return Err(wrong("expected a port behind the name".to_owned()));
        }
        Ok(EndpointAddress::Dns(DnsName { lookup, name: name.to_owned(), port }))
    }
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            EndpointAddress::Static(address) => return f.write_str(address),
            EndpointAddress::Dns(name) => name,
        };
        let prefix = match name.lookup {
            Lookup::Hosts => "dns",
            Lookup::Services => "dnssrv",
            Lookup::ServicesOnly => "dnssrvnoa",
        };
        write!(f, "{prefix}+{}", name.name)?;
        name.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Splits host and port at the last colon; `None` if no port number follows it.
fn split_port(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (text, None),
    }
}

/// Looks up DNS names, and keeps the last addresses of each while look-ups fail.
pub struct Discovery {
    resolver: TokioResolver,
    found: BTreeMap<DnsName, BTreeSet<String>>,
}

impl Discovery {
    /// A discovery of these names, none of them looked up yet.
    pub fn new(names: impl IntoIterator<Item = DnsName>, resolver: TokioResolver) -> Discovery {
        Discovery { resolver, found: names.into_iter().map(|name| (name, BTreeSet::new())).collect() }
    }

    /// The resolver that `/etc/resolv.conf` and `/etc/hosts` configure. Fails when they are invalid.
    pub fn system_resolver() -> Result<TokioResolver, DiscoveryError> {
        let failed = |e: NetError| DiscoveryError::Resolver { reason: e.to_string() };
        let mut builder = TokioResolver::builder_tokio().map_err(failed)?;
        let options = builder.options_mut();
        // Every look-up must see the current records, whatever their time to live.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        builder.build().map_err(failed)
    }

    /// Replaces the names; those that stay keep their addresses.
    pub fn set_names(&mut self, names: BTreeSet<DnsName>) {
        let known = std::mem::take(&mut self.found);
        self.found = names.into_iter().map(|name| (name, BTreeSet::new())).collect();
        for (name, addresses) in known {
            self.found.entry(name).and_modify(|found| *found = addresses);
        }
    }

    /// Looks up all names once, each for at most `limit`. Returns the addresses of each name, and the number of failed
    /// look-ups. A name whose look-up fails keeps its addresses; one that does not exist has none.
    pub async fn resolve(&mut self, limit: Duration) -> (BTreeMap<DnsName, BTreeSet<String>>, usize) {
        let resolver = &self.resolver;
        let lookups = self.found.iter_mut().map(async |(name, found)| {
            match tokio::time::timeout(limit, name.addresses(resolver)).await {
                Ok(Ok(addresses)) => {
                    *found = addresses;
                    return true;
                }
                Ok(Err(error)) => warn!(name = %name.name, error = %error, "name cannot be looked up"),
                Err(_) => warn!(name = %name.name, limit = ?limit, "name was not looked up in time"),
            }
            false
        });
        let done = futures::future::join_all(lookups).await;
        (self.found.clone(), done.into_iter().filter(|is_done| !is_done).count())
    }
}

impl DnsName {
    async fn addresses(&self, resolver: &TokioResolver) -> Result<BTreeSet<String>, NetError> {
        if self.lookup == Lookup::Hosts {
            // An address with `dns+` and without a port is refused when it is parsed.
            return hosts(resolver, &self.name, self.port.unwrap_or_default()).await;
        }
        let mut addresses = BTreeSet::new();
        for service in services(resolver, &self.name).await? {
            let (target, port) = (service.target.to_string(), self.port.unwrap_or(service.port));
            match self.lookup {
                Lookup::Services => addresses.append(&mut hosts(resolver, &target, port).await?),
                _ => _ = addresses.insert(format!("{}:{port}", target.trim_end_matches('.'))),
            }
        }
        Ok(addresses)
    }
}

async fn hosts(resolver: &TokioResolver, name: &str, port: u16) -> Result<BTreeSet<String>, NetError> {
    match resolver.lookup_ip(name).await {
        Ok(found) => Ok(found.iter().map(|ip| std::net::SocketAddr::new(ip, port).to_string()).collect()),
        Err(error) if error.is_no_records_found() => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

async fn services(resolver: &TokioResolver, name: &str) -> Result<Vec<SRV>, NetError> {
    let found = match resolver.srv_lookup(name).await {
        Ok(found) => found,
        Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let services = found.answers().iter().filter_map(|record| match &record.data {
        RData::SRV(service) => Some(service.clone()),
        _ => None,
    });
    Ok(services.collect())
}

#[cfg(test)]
mod tests;
