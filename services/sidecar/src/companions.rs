//! Rules, targets, metadata, exemplars and statistics of a Prometheus, from its JSON API. Thanos
//! `pkg/{rules,targets,metadata,exemplars}/prometheus.go`.

mod json;

use std::collections::BTreeMap;

use futures::FutureExt;
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_storeapi::{
    Companions, ExemplarsRequest, MetadataByMetric, MetadataRequest, RuleGroup, RuleKind, RulesRequest,
    SeriesExemplars, StatisticsByTenant, StatisticsRequest, StoreApiError, TargetState, TargetsByState,
    TargetsRequest, Telling, Told,
};

use crate::external::extended;
use crate::prometheus::{Answer, time_pairs};
use crate::{PrometheusError, Watch};

/// The companion APIs of the Prometheus that a [`Watch`] follows, with its external labels.
#[derive(Clone)]
pub struct PrometheusCompanions(Watch);

impl PrometheusCompanions {
    /// The APIs of the server that `watch` follows.
    pub fn new(watch: Watch) -> PrometheusCompanions {
        PrometheusCompanions(watch)
    }

    /// Calls the JSON API; `items_of` makes the items of its answer. With `partial`, a failure becomes a warning.
    fn ask<J: serde::de::DeserializeOwned + Default + Send + 'static, T: Send + 'static>(
        &self,
        path: &'static [&'static str],
        pairs: Vec<(&'static str, String)>,
        partial: bool,
        items_of: impl FnOnce(J, &Watch) -> Vec<T> + Send + 'static,
    ) -> Telling<T> {
        let watch = self.0.clone();
        async move {
            let answer: Result<Answer<J>, PrometheusError> = watch.prometheus().call(path, &pairs).await;
            match answer {
                Ok(Answer { data, warnings }) => Ok(Told { found: items_of(data, &watch), warnings }),
                Err(error) if partial => Ok(Told { found: Vec::new(), warnings: vec![error.to_string()] }),
                Err(error) => Err(StoreApiError::new(error.kind(), error)),
            }
        }
        .boxed()
    }
}

impl Companions for PrometheusCompanions {
    fn rules(&self, request: RulesRequest) -> Telling<RuleGroup> {
        let kind = request.kind.map(|kind| match kind {
            RuleKind::Alerting => ("type", "alert".to_owned()),
            RuleKind::Recording => ("type", "record".to_owned()),
        });
        let items_of = |groups: json::RuleGroups, watch: &Watch| {
            let (mut groups, external) = (groups.into_groups(), watch.external_labels());
            for rule in groups.iter_mut().flat_map(|group| &mut group.rules) {
                rule.labels = extended(&rule.labels, &external);
            }
            groups
        };
        self.ask(&["rules"], kind.into_iter().collect(), request.partial_response, items_of)
    }

    fn targets(&self, request: TargetsRequest) -> Telling<TargetsByState> {
        let state = request.state.map(|state| match state {
            TargetState::Active => ("state", "active".to_owned()),
            TargetState::Dropped => ("state", "dropped".to_owned()),
        });
        let items_of = |targets: json::Targets, watch: &Watch| {
            let (mut targets, external) = (targets.into_targets(), watch.external_labels());
            for target in &mut targets.active {
                target.labels = extended(&target.labels, &external);
                target.discovered_labels = extended(&target.discovered_labels, &external);
            }
            for labels in &mut targets.dropped {
                *labels = extended(labels, &external);
            }
            vec![targets]
        };
        self.ask(&["targets"], state.into_iter().collect(), request.partial_response, items_of)
    }

    fn metadata(&self, request: MetadataRequest) -> Telling<MetadataByMetric> {
        let mut pairs = Vec::new();
        if !request.metric.is_empty() {
            pairs.push(("metric", request.metric));
        }
        if request.limit >= 0 {
            pairs.push(("limit", request.limit.to_string()));
        }
        let items_of = |metas: BTreeMap<String, Vec<json::Meta>>, _: &Watch| {
            let metas = metas
                .into_iter()
                .map(|(name, metas)| (name, metas.into_iter().map(json::Meta::into_meta).collect()));
            vec![MetadataByMetric(metas.collect())]
        };
        self.ask(&["metadata"], pairs, request.partial_response, items_of)
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Telling<SeriesExemplars> {
        let range = TimeRange::new(request.start_ms, request.end_ms);
        let pairs = [("query", request.query)].into_iter().chain(time_pairs(range)).collect();
        let items_of = |series: Vec<json::SeriesExemplars>, watch: &Watch| {
            let external = watch.external_labels();
            let series = series.into_iter().map(json::SeriesExemplars::into_exemplars);
            series.map(|one| SeriesExemplars { labels: extended(&one.labels, &external), ..one }).collect()
        };
        self.ask(&["query_exemplars"], pairs, request.partial_response, items_of)
    }

    fn statistics(&self, request: StatisticsRequest) -> Telling<StatisticsByTenant> {
        let external = self.0.external_labels();
        if !self.0.is_up() {
            let error = StoreApiError::new(ErrorKind::Unknown, "not ready");
            return async { Err(error) }.boxed();
        }
        let value = |name: &[u8]| external.get(name).unwrap_or_default();
        if request.matchers.iter().any(|matcher| !matcher.matches(value(matcher.name()))) {
            return async { Ok(Told { found: vec![StatisticsByTenant::default()], warnings: Vec::new() }) }
                .boxed();
        }
        let limit = (request.limit > 0).then(|| ("limit", request.limit.to_string()));
        let items_of = |status: json::TsdbStatus, _: &Watch| {
            vec![StatisticsByTenant([(String::new(), status.into_statistics())].into())]
        };
        self.ask(&["status", "tsdb"], limit.into_iter().collect(), request.partial_response, items_of)
    }
}
