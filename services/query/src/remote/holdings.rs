//! What the queriers below hold, and what is read from stores directly. Thanos `pkg/query/remote_engine.go`.

use std::collections::HashSet;

use tithon_chunks::TimeRange;
use tithon_index::Labels;
use tithon_promql::{LocalSource, Partitioning, RemoteEngine, RemoteSource, Remotes};
use tithon_storeapi::{Endpoint, StoreApi, StoreInfo};

use crate::fanout::Fanout;

impl Fanout {
    /// The data that queries can be distributed over, and the queriers that have it, in the order of the engines.
    pub(crate) fn holdings(
        &self,
        replica_labels: &[String],
        partitioning: &Partitioning,
    ) -> (Remotes, Vec<Endpoint>) {
        let (mut engines, mut endpoints, mut local) = (Vec::new(), Vec::new(), Vec::new());
        for endpoint in self.endpoints_with(|apis| apis.query || apis.store) {
            let info = endpoint.info();
            let can_evaluate = endpoint.has(|apis| apis.query);
            match info.as_ref().filter(|_| can_evaluate).and_then(|info| sources(info, replica_labels)) {
                Some(sources) => {
                    engines.push(RemoteEngine { name: endpoint.address().to_owned(), sources });
                    endpoints.push(endpoint);
                }
                None if endpoint.has(|apis| apis.store) => local.push(local_source(info)),
                None => {}
            }
        }
        local.extend(self.local_stores().iter().map(|store| local_source(store.info())));
        (Remotes::new(engines, local, partitioning), endpoints)
    }
}

/// The sources of a querier; `None` if it does not tell all its external labels, so that its data could be those of others.
fn sources(info: &StoreInfo, replica_labels: &[String]) -> Option<Vec<RemoteSource>> {
    let source = |stretch: &tithon_storeapi::Stretch| RemoteSource {
        labels: stretch.labels.without(replica_labels),
        min_time: stretch.min_time,
        max_time: stretch.max_time,
    };
    let sources: Vec<RemoteSource> = info.stretches.iter().map(source).collect();
    let known: HashSet<&Labels> = sources.iter().map(|source| &source.labels).collect();
    // A label set may also have the labels of the querier itself.
    let is_told = |set: &Labels| {
        let is_within = |source: &&Labels| source.iter().all(|(name, value)| set.get(name) == Some(value));
        known.contains(set) || known.iter().any(is_within)
    };
    let tells_all = !info.label_sets.is_empty()
        && known.iter().all(|labels| !labels.is_empty())
        && info.label_sets.iter().all(|set| is_told(&set.without(replica_labels)));
    tells_all.then_some(sources)
}

/// A store as a source that is read here; before its first answer to `Info` it may hold anything.
fn local_source(info: Option<StoreInfo>) -> LocalSource {
    match info {
        Some(info) => LocalSource { label_sets: info.label_sets, range: info.range },
        None => LocalSource { label_sets: Vec::new(), range: TimeRange::ALL },
    }
}

#[cfg(test)]
mod tests {
    use tithon_storeapi::Stretch;

    use super::*;

    #[test]
    fn a_querier_that_does_not_tell_its_labels_is_no_engine() {
        let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        let east = set(&[("region", "east"), ("replica", "a")]);
        let info = |label_sets: &[Labels], stretches: &[Labels]| StoreInfo {
            label_sets: label_sets.to_vec(),
            stretches: stretches
                .iter()
                .map(|labels| Stretch { labels: labels.clone(), min_time: 1, max_time: 2 })
                .collect(),
            ..StoreInfo::new("query", TimeRange::ALL)
        };
        let one = |set: &Labels| [set.clone()];
        let replica = ["replica".to_owned()];
        let told = sources(&info(&one(&east), &one(&east)), &replica).expect("all is told");
        assert_eq!(told, [RemoteSource { labels: set(&[("region", "east")]), min_time: 1, max_time: 2 }]);
        // Nothing, not for all stores, only replica labels, a set without times.
        let west = set(&[("region", "west")]);
        let only = set(&[("replica", "a")]);
        for info in [
            info(&[], &[]),
            info(&[], &one(&east)),
            info(&one(&only), &one(&only)),
            info(&[east.clone(), west], &[east]),
        ] {
            assert_eq!(sources(&info, &replica), None, "{info:?}");
        }
    }
}
