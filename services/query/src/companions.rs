//! Rules, targets, metadata, exemplars and statistics of all servers behind a querier. Thanos
//! `pkg/{rules,targets,metadata,exemplars,status}/proxy.go`.
//!
//! The gRPC services hand on what the servers tell as it is; the HTTP API makes one list of it by the functions of the modules
//! here.

pub(crate) mod exemplars;
pub(crate) mod metadata;
pub(crate) mod rules;
pub(crate) mod statistics;
pub(crate) mod targets;

use futures::FutureExt;
use tithon_chunks::ErrorKind;
use tithon_index::Labels;
use tithon_storeapi::{
    Companions, ExemplarsRequest, MetadataByMetric, MetadataRequest, RuleGroup, RulesRequest,
    SeriesExemplars, StatisticsByTenant, StatisticsRequest, StoreApiError, TargetsByState, TargetsRequest,
    Telling, Told,
};

use crate::QueryService;

impl QueryService {
    /// Waits for answers of several servers, no longer than a query may take, and joins them in the servers' order. Fails with
    /// the first that fails.
    fn gather<T: Send + 'static>(&self, telling: Vec<Telling<T>>) -> Telling<T> {
        let timeout = self.options().timeout;
        async move {
            let told = tokio::time::timeout(timeout, futures::future::try_join_all(telling)).await;
            let told = told.unwrap_or_else(|_| {
                let text = format!("no answer within {timeout:?} (--query.timeout)");
                Err(StoreApiError::new(ErrorKind::TimedOut, text))
            })?;
            let mut all = Told::default();
            for Told { mut found, mut warnings } in told {
                all.found.append(&mut found);
                all.warnings.append(&mut warnings);
            }
            Ok(all)
        }
        .boxed()
    }
}

impl Companions for QueryService {
    fn rules(&self, request: RulesRequest) -> Telling<RuleGroup> {
        let endpoints = self.inner.fanout.endpoints_with(|apis| apis.rules);
        self.gather(endpoints.iter().map(|endpoint| endpoint.rules(request)).collect())
    }

    fn targets(&self, request: TargetsRequest) -> Telling<TargetsByState> {
        let endpoints = self.inner.fanout.endpoints_with(|apis| apis.targets);
        self.gather(endpoints.iter().map(|endpoint| endpoint.targets(request)).collect())
    }

    fn metadata(&self, request: MetadataRequest) -> Telling<MetadataByMetric> {
        let endpoints = self.inner.fanout.endpoints_with(|apis| apis.metadata);
        self.gather(endpoints.iter().map(|endpoint| endpoint.metadata(request.clone())).collect())
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Telling<SeriesExemplars> {
        let service = self.clone();
        let telling = async move {
            let endpoints = service.inner.fanout.endpoints_with(|apis| apis.exemplars);
            let asked = exemplars::queries(&service, &request.query, endpoints).await?;
            let ask = |(endpoint, query): (tithon_storeapi::Endpoint, String)| {
                endpoint.exemplars(ExemplarsRequest { query, ..request.clone() })
            };
            service.gather(asked.into_iter().map(ask).collect()).await
        };
        telling.boxed()
    }

    fn statistics(&self, request: StatisticsRequest) -> Telling<StatisticsByTenant> {
        let endpoints = self.inner.fanout.endpoints_with(|apis| apis.status);
        self.gather(endpoints.iter().map(|endpoint| endpoint.statistics(request.clone())).collect())
    }
}

/// Labels without those that tell replicas apart.
fn without(labels: &Labels, replica_labels: &[String]) -> Labels {
    if replica_labels.iter().all(|name| labels.get(name).is_none()) {
        return labels.clone();
    }
    let keeps = |label: &[u8]| !replica_labels.iter().any(|name| name.as_bytes() == label);
    labels.to_builder().retain(keeps).finish()
}
