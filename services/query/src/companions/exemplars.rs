//! Exemplars: the query for each server, and the merge of their answers. Thanos `pkg/exemplars/{proxy,exemplars}.go`.

use std::collections::BTreeMap;

use tithon_chunks::ErrorKind;
use tithon_index::{Labels, Matcher};
use tithon_promql::{NodeKind, QueryError, parse_within};
use tithon_runtime::Priority;
use tithon_storeapi::{Endpoint, Exemplar, SeriesExemplars, StoreApi, StoreApiError};

use crate::QueryService;
use crate::fanout::may_match;

/// The endpoints that may have exemplars for the selectors in `query`, each with the query to send it.
///
/// Fails when the query cannot be parsed or has no selector.
pub(super) async fn queries(
    service: &QueryService,
    query: &str,
    endpoints: Vec<Endpoint>,
) -> Result<Vec<(Endpoint, String)>, StoreApiError> {
    let (job, _stop) = service.begin();
    let (options, text) = (service.options().parse_options(), query.to_owned());
    let parse = move || {
        let parsed = parse_within(&text, &options, job.watch());
        let (expr, _held) = parsed.map_err(|error| match error {
            QueryError::Parse(errors) => StoreApiError::new(ErrorKind::Unknown, errors.to_string()),
            error => StoreApiError::new(error.kind(), error.to_string()),
        })?;
        let selector = |node: &tithon_promql::Node| match &node.kind {
            NodeKind::Vector(selector) => Some(selector.matchers.clone()),
            _ => None,
        };
        Ok::<_, StoreApiError>(expr.nodes().iter().filter_map(selector).collect::<Vec<_>>())
    };
    let parsed = service.inner.cpu.run(Priority::Query, parse).await;
    let selectors = parsed.map_err(|error| StoreApiError::new(ErrorKind::Internal, error))??;
    let own = Labels::from_pairs(service.options().selector_labels.iter().map(|(n, v)| (n, v)));
    let Some(selectors) = of_own(selectors, &own) else { return Ok(Vec::new()) };
    if selectors.is_empty() {
        let text = "no matchers specified (excluding external labels)";
        return Err(StoreApiError::new(ErrorKind::Invalid, text));
    }
    let asked = endpoints.into_iter().filter_map(|endpoint| {
        let info = endpoint.info()?;
        let query = for_server(&selectors, &info.label_sets, info.component == "query")?;
        Some((endpoint, query))
    });
    Ok(asked.collect())
}

/// The selectors that agree with the querier's own labels, with the matchers on those labels removed; `None` when no
/// selector agrees.
fn of_own(selectors: Vec<Vec<Matcher>>, own: &Labels) -> Option<Vec<Vec<Matcher>>> {
    if own.is_empty() {
        return Some(selectors);
    }
    let fits =
        |set: &Vec<Matcher>| set.iter().all(|m| own.get(m.name()).is_none_or(|value| m.matches(value)));
    let mut kept: Vec<Vec<Matcher>> = selectors.into_iter().filter(fits).collect();
    if kept.is_empty() {
        return None;
    }
    kept.iter_mut().for_each(|set| set.retain(|m| own.get(m.name()).is_none()));
    kept.retain(|set| !set.is_empty());
    Some(kept)
}

/// The selectors that may select series of a server, as one expression; `None` when there is none. A Prometheus does
/// not know its external labels when it looks up exemplars, so matchers on them are removed unless the server is a
/// querier.
fn for_server(selectors: &[Vec<Matcher>], label_sets: &[Labels], is_querier: bool) -> Option<String> {
    let is_external = |m: &Matcher| label_sets.iter().any(|set| set.get(m.name()).is_some());
    let texts = selectors.iter().filter(|set| may_match(set, label_sets)).map(|set| {
        let matchers = set.iter().filter(|m| is_querier || !is_external(m));
        format!("{{{}}}", matchers.map(Matcher::to_string).collect::<Vec<_>>().join(", "))
    });
    let texts: Vec<String> = texts.collect();
    (!texts.is_empty()).then(|| texts.join("+"))
}

/// Merges the exemplars of series that differ only in replica labels; equal exemplars are kept once.
pub(crate) fn merge(found: Vec<SeriesExemplars>, replica_labels: &[String]) -> Vec<SeriesExemplars> {
    let mut by_series: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
    for SeriesExemplars { labels, mut exemplars } in found.into_iter().filter(|one| !one.exemplars.is_empty())
    {
        by_series.entry(labels.without(replica_labels)).or_default().append(&mut exemplars);
    }
    let merged = by_series.into_iter().map(|(labels, mut exemplars)| {
        let order = |a: &Exemplar, b: &Exemplar| {
            a.time_ms.cmp(&b.time_ms).then_with(|| a.labels.cmp(&b.labels)).then(a.value.total_cmp(&b.value))
        };
        exemplars.sort_by(order);
        exemplars.dedup_by(|a, b| order(a, b).is_eq());
        SeriesExemplars { labels, exemplars }
    });
    merged.collect()
}

#[cfg(test)]
mod tests {
    use tithon_index::MatchOp;

    use super::*;

    fn equal(name: &str, value: &str) -> Matcher {
        Matcher::new(MatchOp::Equal, name, value).expect("a matcher")
    }

    #[test]
    fn servers_are_asked_for_what_they_can_know() {
        let selectors = [
            vec![equal("__name__", "up"), equal("cluster", "eu")],
            vec![equal("__name__", "x"), equal("cluster", "us")],
        ];
        let sets = |cluster: &str| [Labels::from_pairs([("cluster", cluster)])];
        let ask = |cluster, is_querier| for_server(&selectors, &sets(cluster), is_querier);
        assert_eq!(ask("eu", false).as_deref(), Some("{__name__=\"up\"}"));
        assert_eq!(ask("us", true).as_deref(), Some("{__name__=\"x\", cluster=\"us\"}"));
        assert_eq!(ask("asia", false), None);
        let all = "{__name__=\"up\", cluster=\"eu\"}+{__name__=\"x\", cluster=\"us\"}";
        assert_eq!(for_server(&selectors, &[], false).as_deref(), Some(all));

        let own = Labels::from_pairs([("cluster", "eu")]);
        let kept = of_own(selectors.to_vec(), &own).expect("one that fits");
        assert_eq!(kept, [vec![equal("__name__", "up")]]);
        assert_eq!(of_own(selectors.to_vec(), &Labels::from_pairs([("cluster", "asia")])), None);
    }

    #[test]
    fn replicas_of_an_exemplar_are_one() {
        let one = |replica: &str, times: &[i64]| SeriesExemplars {
            labels: Labels::from_pairs([("job", "a"), ("replica", replica)]),
            exemplars: times
                .iter()
                .map(|time_ms| Exemplar {
                    labels: Labels::from_pairs([("trace", "1")]),
                    value: 1.0,
                    time_ms: *time_ms,
                })
                .collect(),
        };
        let merged =
            merge(vec![one("0", &[2, 1]), one("1", &[1, 3]), one("2", &[])], &["replica".to_owned()]);
        let times: Vec<i64> = merged[0].exemplars.iter().map(|one| one.time_ms).collect();
        assert_eq!((merged.len(), times), (1, vec![1, 2, 3]));
    }
}
