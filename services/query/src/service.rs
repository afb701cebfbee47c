//! A querier: options, stores and the means to work, shared by its HTTP and gRPC faces.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tithon_promql::Budget;
use tithon_runtime::{Cpu, Metrics, Shutdown};
use tithon_storeapi::{Endpoint, EndpointError, StoreApi};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::discovery::Discovery;
use crate::fanout::{Fanout, StoreStatus};
use crate::metrics::QueryMetrics;
use crate::options::QueryOptions;

/// How often endpoints are asked what they hold, as Thanos does.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// A querier. Clones share everything.
#[derive(Clone)]
pub struct QueryService {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: QueryOptions,
    pub(crate) fanout: Fanout,
    pub(crate) cpu: Cpu,
    pub(crate) gate: Semaphore,
    /// What all requests together may hold.
    pub(crate) memory: Arc<Budget>,
    pub(crate) metrics: QueryMetrics,
    pub(crate) started: SystemTime,
}

impl QueryService {
    /// A querier over `stores` of this process; evaluation runs on `cpu`, metrics are registered in `registry`.
    pub fn new(
        options: QueryOptions,
        stores: Vec<Arc<dyn StoreApi>>,
        cpu: Cpu,
        registry: &Metrics,
    ) -> QueryService {
        let concurrent =
            if options.max_concurrent == 0 { Semaphore::MAX_PERMITS } else { options.max_concurrent };
        let metrics = QueryMetrics::new(registry, options.max_concurrent);
        let memory_limit = if options.memory_limit == 0 { u64::MAX } else { options.memory_limit };
        let fanout = Fanout::new(stores, options.default_tenant.clone());
        QueryService {
            inner: Arc::new(Inner {
                options,
                fanout,
                cpu,
                gate: Semaphore::new(concurrent),
                memory: Budget::new(memory_limit, "--query.memory-limit"),
                metrics,
                started: SystemTime::now(),
            }),
        }
    }

    /// From now on these servers are asked too.
    pub fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        self.inner.fanout.set_endpoints(endpoints);
    }

    /// Asks every endpoint once what it holds. A querier is ready when this has ended.
    pub async fn refresh(&self) {
        self.inner.fanout.refresh().await;
    }

    /// Goes on asking until the shutdown.
    pub async fn keep_refreshed(&self, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(REFRESH_INTERVAL) => self.refresh().await,
            }
        }
    }

    /// Looks the names up once: from now on the endpoints are `fixed` and those that `discovery` finds, which `connect`
    /// makes of addresses that are new.
    pub async fn discover(
        &self,
        fixed: &[Endpoint],
        discovery: &mut Discovery,
        connect: impl Fn(&str) -> Result<Endpoint, EndpointError>,
    ) {
        let mut endpoints = fixed.to_vec();
        for address in discovery.resolve(self.inner.options.info_timeout).await {
            let known = self.inner.fanout.endpoint(&address).map(Ok);
            match known.unwrap_or_else(|| connect(&address)) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => warn!(address, error = %error, "a found address is left out"),
            }
        }
        self.set_endpoints(endpoints);
    }

    /// What the stores hold, as far as they have answered.
    pub(crate) fn stores(&self) -> Vec<StoreStatus> {
        self.inner.fanout.statuses()
    }

    /// The settings it was made with.
    pub fn options(&self) -> &QueryOptions {
        &self.inner.options
    }
}
