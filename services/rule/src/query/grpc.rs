//! Queriers that are asked over gRPC; names among their addresses are looked up as those of other queriers are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rand::seq::SliceRandom;
use reqwest::Url;
use tithon_runtime::{EndpointAddress, HttpClientConfig};
use tithon_storeapi::PromqlClient;
use tracing::warn;

use super::config::REFRESH_INTERVAL;
use crate::peers::{Peers, PeersConfig, PeersError};

/// The addresses, and a client for each that is known now.
pub(crate) struct GrpcQueriers {
    peers: Arc<Peers>,
    clients: Mutex<BTreeMap<String, PromqlClient>>,
}

impl GrpcQueriers {
    /// Nothing is looked up yet. Fails when an address lacks a port or has an unknown prefix.
    pub(crate) fn new(addresses: &[String]) -> Result<GrpcQueriers, PeersError> {
        for address in addresses {
            EndpointAddress::parse(address)?;
        }
        let peers = Peers::new(PeersConfig {
            client: HttpClientConfig::default(),
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            addresses: addresses.to_vec(),
            files: Vec::new(),
            refresh_interval: REFRESH_INTERVAL,
        })?;
        Ok(GrpcQueriers { peers: Arc::new(peers), clients: Mutex::default() })
    }

    /// What is to be kept up to date.
    pub(crate) fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// All queriers in random order. Must be called inside a tokio runtime.
    pub(crate) fn shuffled(&self) -> Vec<PromqlClient> {
        let addresses: BTreeSet<String> = self.peers.urls().0.iter().filter_map(host_and_port).collect();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|address, _| addresses.contains(address));
        for address in addresses {
            if clients.contains_key(&address) {
                continue;
            }
            match PromqlClient::new(&address) {
                Ok(client) => _ = clients.insert(address, client),
                Err(error) => warn!(%error, "a querier cannot be asked over gRPC"),
            }
        }
        let mut all: Vec<PromqlClient> = clients.values().cloned().collect();
        all.shuffle(&mut rand::rng());
        all
    }
}

fn host_and_port(url: &Url) -> Option<String> {
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_with_and_without_look_up() {
        let of = |addresses: &[&str]| {
            GrpcQueriers::new(&addresses.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        let known = |queriers: &GrpcQueriers| {
            let mut all: Vec<_> =
                queriers.shuffled().iter().map(|client| client.address().to_owned()).collect();
            all.sort();
            all
        };
        let queriers = of(&["a:80", "[::1]:2", "dns+localhost:3"]).unwrap();
        assert_eq!(known(&queriers), ["[::1]:2", "a:80"]);
        queriers.peers().refresh(&crate::peers::DnsMetrics::default()).await;
        assert!(known(&queriers).contains(&"127.0.0.1:3".to_owned()), "{:?}", known(&queriers));
        for (address, reason) in
            [("a", "expected HOST:PORT"), ("dns+a", "a port"), ("x+a:1", "unknown prefix")]
        {
            let error = of(&[address]).err().unwrap().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
