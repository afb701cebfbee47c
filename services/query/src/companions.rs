//! Rules, targets, metadata, exemplars and statistics of all servers behind a querier. Thanos
//! `pkg/{rules,targets,metadata,exemplars,status}/proxy.go`.
//!
//! The gRPC services forward the answers of all servers unchanged; the HTTP API merges them with the functions of the
//! modules here.

pub(crate) mod exemplars;
pub(crate) mod metadata;
pub(crate) mod rules;
pub(crate) mod statistics;
pub(crate) mod targets;

use futures::FutureExt;
use tithon_chunks::ErrorKind;
use tithon_storeapi::{
    Companions, Endpoint, ExemplarsRequest, MetadataByMetric, MetadataRequest, RuleGroup, RulesRequest,
    SeriesExemplars, StatisticsByTenant, StatisticsRequest, StoreApi, StoreApiError, TargetsByState,
    TargetsRequest, Telling, Told,
};

use crate::QueryService;

impl QueryService {
    /// Joins the answers of several named servers, waiting for each no longer than a query may take. With `partial`, a
    /// server that fails or is late costs a warning; without it, the first such server fails the whole answer.
    fn gather<T: Send + 'static>(
        &self,
        asked: impl IntoIterator<Item = (String, Telling<T>)>,
        partial: bool,
    ) -> Telling<T> {
        let timeout = self.options().timeout;
        let in_time = |(name, telling): (String, Telling<T>)| async move {
            let late = |_| {
                let text = format!("{name}: no answer within {timeout:?} (--query.timeout)");
                match partial {
                    true => Ok(Told { found: Vec::new(), warnings: vec![text] }),
                    false => Err(StoreApiError::new(ErrorKind::TimedOut, text)),
                }
            };
            tokio::time::timeout(timeout, telling).await.unwrap_or_else(late)
        };
        let telling: Vec<_> = asked.into_iter().map(in_time).collect();
        let telling = futures::future::try_join_all(telling);
        async move {
            let mut all = Told::default();
            for Told { mut found, mut warnings } in telling.await? {
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
        let asked = endpoints.iter().map(|endpoint| (endpoint.name(), endpoint.rules(request)));
        self.gather(asked, request.partial_response)
    }

    fn targets(&self, request: TargetsRequest) -> Telling<TargetsByState> {
        let endpoints = self.inner.fanout.endpoints_with(|apis| apis.targets);
        let asked = endpoints.iter().map(|endpoint| (endpoint.name(), endpoint.targets(request)));
        self.gather(asked, request.partial_response)
    }

    fn metadata(&self, request: MetadataRequest) -> Telling<MetadataByMetric> {
        let endpoints = self.inner.fanout.endpoints_with(|apis| apis.metadata);
        let asked = endpoints.iter().map(|endpoint| (endpoint.name(), endpoint.metadata(request.clone())));
        self.gather(asked, request.partial_response)
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Telling<SeriesExemplars> {
        let service = self.clone();
        let telling = async move {
            let endpoints = service.inner.fanout.endpoints_with(|apis| apis.exemplars);
            let asked = exemplars::queries(&service, &request.query, endpoints).await?;
            let ask = |(endpoint, query): (Endpoint, String)| {
                let request = ExemplarsRequest { query, ..request.clone() };
                (endpoint.name(), endpoint.exemplars(request))
            };
            service.gather(asked.into_iter().map(ask), request.partial_response).await
        };
        telling.boxed()
    }

    fn statistics(&self, request: StatisticsRequest) -> Telling<StatisticsByTenant> {
        let endpoints = self.inner.fanout.endpoints_with(|apis| apis.status);
        let asked = endpoints.iter().map(|endpoint| (endpoint.name(), endpoint.statistics(request.clone())));
        self.gather(asked, request.partial_response)
    }
}
