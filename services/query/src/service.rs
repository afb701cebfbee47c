//! The querier: options, stores and resources that its HTTP and gRPC APIs share.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tithon_promql::Budget;
use tithon_runtime::{Cpu, Metrics, Reload, Shutdown};
use tithon_storeapi::{Endpoint, StoreApi};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::active::ActiveQueries;
use crate::discovery::Members;
use crate::fanout::{Bounds, Fanout, StoreStatus};
use crate::metrics::QueryMetrics;
use crate::options::QueryOptions;
use crate::pushdown::Rests;

/// Least interval between two `Info` calls to an endpoint.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A querier. Clones share all state.
#[derive(Clone)]
pub struct QueryService {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: QueryOptions,
    pub(crate) fanout: Fanout,
    pub(crate) cpu: Cpu,
    pub(crate) gate: Semaphore,
    /// Memory budget of all requests together.
    pub(crate) memory: Arc<Budget>,
    pub(crate) metrics: QueryMetrics,
    pub(crate) active: Option<ActiveQueries>,
    /// Stores that are asked for no parts of queries.
    pub(crate) rests: Rests,
    pub(crate) started: SystemTime,
}

impl QueryService {
    /// A querier over `stores` of this process. Evaluation runs on `cpu`, metrics are registered in `registry`.
    pub fn new(
        options: QueryOptions,
        stores: Vec<Arc<dyn StoreApi>>,
        cpu: Cpu,
        registry: &Metrics,
    ) -> QueryService {
        QueryService::with_active_queries(options, stores, cpu, registry, None)
    }

    /// Like [`QueryService::new`], and writes the queries under way to the file `active`.
    pub fn with_active_queries(
        options: QueryOptions,
        stores: Vec<Arc<dyn StoreApi>>,
        cpu: Cpu,
        registry: &Metrics,
        active: Option<ActiveQueries>,
    ) -> QueryService {
        let concurrent =
            if options.max_concurrent == 0 { Semaphore::MAX_PERMITS } else { options.max_concurrent };
        let metrics = QueryMetrics::new(registry, &options);
        let memory_limit = if options.memory_limit == 0 { u64::MAX } else { options.memory_limit };
        let fanout = Fanout::new(stores, Bounds::new(&options, &metrics));
        QueryService {
            inner: Arc::new(Inner {
                options,
                fanout,
                cpu,
                gate: Semaphore::new(concurrent),
                memory: Budget::new(memory_limit, "--query.memory-limit"),
                metrics,
                active,
                rests: Rests::default(),
                started: SystemTime::now(),
            }),
        }
    }

    /// Sets the endpoints that future requests ask besides the stores of this process.
    pub fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        self.inner.fanout.set_endpoints(endpoints);
    }

    /// Calls `Info` of every endpoint once. A querier is ready when this has ended.
    pub async fn refresh(&self) {
        let inner = &self.inner;
        inner.fanout.refresh().await;
        let asked = inner.fanout.endpoints_with(|_| true);
        let connected = asked.iter().filter_map(|endpoint| Some((endpoint.address(), endpoint.info()?)));
        inner.metrics.connected(connected, &inner.options.connection_labels);
    }

    /// Updates the endpoints from `members` and calls their `Info`, once per info timeout and at once on `reload`,
    /// until the shutdown.
    pub async fn keep_refreshed(&self, mut members: Members, shutdown: Shutdown, reload: Reload) {
        let mut reloads = reload.subscribe();
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(self.inner.options.info_timeout.max(REFRESH_INTERVAL_MIN)) => {}
                Ok(()) = reloads.changed() => {
                    info!("endpoint configuration and files are read again, and names looked up");
                    members.make_due();
                }
            }
            if let Err(error) = members.update(self).await {
                warn!(error = %error, "endpoints cannot be updated, the previous ones stay");
            }
            self.refresh().await;
        }
    }

    /// The data that each store holds, and the health of each endpoint.
    pub(crate) fn stores(&self) -> Vec<StoreStatus> {
        self.inner.fanout.statuses()
    }

    /// The settings of this querier.
    pub fn options(&self) -> &QueryOptions {
        &self.inner.options
    }
}
