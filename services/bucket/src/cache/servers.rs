//! Which memcached servers there are: named, or what names stand for now. Thanos `pkg/cacheutil/memcached_client.go`.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tithon_runtime::{Discovery, EndpointAddress};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::error::RemoteError;
use super::jump::natural;
use super::server::Server;

/// The longest time that the look-up of a name may take.
const LOOK_UP_MAX: Duration = Duration::from_secs(5);

/// Servers in natural order of their addresses, by which keys find theirs. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Servers {
    now: Arc<RwLock<Arc<[Arc<Server>]>>>,
    /// `None` where all are named by their addresses.
    names: Option<Arc<Mutex<Names>>>,
    idle_max: usize,
}

/// Names that are looked up again when the interval has passed and somebody asks.
struct Names {
    discovery: Discovery,
    interval: Duration,
    looked_up: Option<Instant>,
    /// Servers that are there beside those of the names.
    fixed: BTreeSet<String>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl Servers {
    /// Servers at `host:port`.
    pub(super) fn of(addresses: impl IntoIterator<Item = String>, idle_max: usize) -> Servers {
        let servers = Servers { now: Arc::new(RwLock::new(Arc::new([]))), names: None, idle_max };
        servers.set(addresses.into_iter().collect());
        servers
    }

    /// Servers by address or name; names are looked up as often as `interval` says. Fails when the system's resolver cannot be
    /// used.
    pub(super) fn new(
        addresses: Vec<EndpointAddress>,
        interval: Duration,
        idle_max: usize,
    ) -> Result<Servers, tithon_runtime::DiscoveryError> {
        let (mut fixed, mut names) = (BTreeSet::new(), Vec::new());
        for address in addresses {
            match address {
                EndpointAddress::Static(address) => _ = fixed.insert(address),
                EndpointAddress::Dns(name) => names.push(name),
            }
        }
        let servers = Servers::of(fixed.clone(), idle_max);
        if names.is_empty() {
            return Ok(servers);
        }
        let discovery = Discovery::new(names, Discovery::system_resolver()?);
        let names = Names { discovery, interval, looked_up: None, fixed };
        Ok(Servers { names: Some(Arc::new(Mutex::new(names))), ..servers })
    }

    /// The servers that there are now, at least one. Waits for a look-up only while none is known.
    pub(super) async fn now(&self) -> Result<Arc<[Arc<Server>]>, RemoteError> {
        if let Some(names) = &self.names {
            if let Ok(names) = Arc::clone(names).try_lock_owned()
                && names.are_due()
            {
                // It goes on when whoever asks has no time to wait.
                tokio::spawn(self.clone().look_up(names));
            }
            if self.known().is_empty() {
                drop(names.lock().await);
            }
        }
        let known = self.known();
        if known.is_empty() { Err(RemoteError::NoServer) } else { Ok(known) }
    }

    fn known(&self) -> Arc<[Arc<Server>]> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn look_up(self, mut names: OwnedMutexGuard<Names>) {
        let (found, _) = names.discovery.resolve(LOOK_UP_MAX).await;
        names.looked_up = Some(Instant::now());
        self.set(found.into_values().flatten().chain(names.fixed.iter().cloned()).collect());
    }

    /// From now on there are these servers; those that were there before keep their connections.
    fn set(&self, addresses: BTreeSet<String>) {
        let known = self.known();
        let server = |address: String| {
            let same = known.iter().find(|server| server.address == address);
            same.map_or_else(|| Arc::new(Server::new(address.clone(), self.idle_max)), Arc::clone)
        };
        let mut servers: Vec<Arc<Server>> = addresses.into_iter().map(server).collect();
        servers.sort_by(|a, b| natural(&a.address, &b.address));
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = servers.into();
    }
}

impl Names {
    fn are_due(&self) -> bool {
        self.looked_up.is_none_or(|at| at.elapsed() >= self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(servers: &[Arc<Server>]) -> Vec<&str> {
        servers.iter().map(|server| server.address.as_str()).collect()
    }

    #[tokio::test]
    async fn servers_that_stay_are_the_same() {
        let servers = Servers::of(["m-10:1", "m-9:1", "m-9:1"].map(str::to_owned), 1);
        let first = servers.now().await.unwrap();
        assert_eq!(addresses(&first), ["m-9:1", "m-10:1"]);
        servers.set(["m-10:1", "m-11:1"].map(str::to_owned).into());
        let second = servers.now().await.unwrap();
        assert_eq!(addresses(&second), ["m-10:1", "m-11:1"]);
        assert!(Arc::ptr_eq(&first[1], &second[0]));
        servers.set(BTreeSet::new());
        assert!(matches!(servers.now().await, Err(RemoteError::NoServer)));
    }

    #[tokio::test]
    async fn names_are_looked_up_when_somebody_asks() {
        let parse = |text: &str| EndpointAddress::parse(text).unwrap();
        let given = vec![parse("dns+localhost:11211"), parse("other:11211")];
        let servers = Servers::new(given, Duration::from_secs(60), 1).unwrap();
        assert_eq!(addresses(&servers.now().await.unwrap()), ["other:11211"], "nobody waits for more");
        let names = servers.names.clone().unwrap();
        while names.lock().await.looked_up.is_none() {
            tokio::task::yield_now().await;
        }
        assert!(addresses(&servers.now().await.unwrap()).contains(&"127.0.0.1:11211"));
        let alone = Servers::new(vec![parse("dns+localhost:11211")], Duration::from_secs(60), 1).unwrap();
        assert!(addresses(&alone.now().await.unwrap()).contains(&"127.0.0.1:11211"), "waits for the first");
    }
}
