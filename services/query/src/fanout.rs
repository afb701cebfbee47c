//! The stores of a querier, and the choice of those that may have data for a request. Thanos `pkg/store/proxy.go`.

mod bounds;
mod labels;
mod notes;
mod queue;
mod resolve;
mod select;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tithon_chunks::TimeRange;
use tithon_index::{Labels, Matcher};
use tithon_storeapi::{Apis, Endpoint, Health, StoreApi, StoreInfo};

pub(crate) use self::bounds::{Bounds, LimitViolated};
pub(crate) use self::labels::Found;
pub(crate) use self::notes::Notes;
pub(crate) use self::queue::Unordered;
pub(crate) use self::resolve::{Purpose, to_series};
pub(crate) use self::select::{Handle, Scope, Selection, bytes_of};

/// Why a store failed; its text becomes a warning or the query's error.
pub(crate) type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// All stores of a querier.
pub(crate) struct Fanout {
    /// Stores in this process.
    stores: Vec<Arc<dyn StoreApi>>,
    /// Stores in other processes; the list may change while requests are under way.
    endpoints: ArcSwap<Vec<Endpoint>>,
    bounds: Bounds,
}

/// What a store holds and whether it is reachable, for status pages.
#[derive(Clone, Debug)]
pub(crate) struct StoreStatus {
    /// The address of an endpoint, the name of a store in this process.
    pub(crate) name: String,
    /// The data that the store holds; the default, without component and for all times, until an endpoint has answered.
    pub(crate) info: StoreInfo,
    /// Results of the last `Info` calls to an endpoint.
    pub(crate) health: Health,
}

impl Fanout {
    pub(crate) fn new(stores: Vec<Arc<dyn StoreApi>>, bounds: Bounds) -> Fanout {
        Fanout { stores, endpoints: ArcSwap::default(), bounds }
    }

    /// Sets the endpoints of future requests; requests under way keep the endpoints they began with.
    pub(crate) fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        self.endpoints.store(Arc::new(endpoints));
    }

    /// Calls `Info` of all endpoints at once.
    pub(crate) async fn refresh(&self) {
        let endpoints = self.endpoints.load_full();
        futures::future::join_all(endpoints.iter().map(Endpoint::refresh)).await;
    }

    /// The data that each store holds, and the health of each endpoint.
    pub(crate) fn statuses(&self) -> Vec<StoreStatus> {
        let local = self.stores.iter().filter_map(|store| {
            Some(StoreStatus { name: store.name(), info: store.info()?, health: Health::default() })
        });
        let endpoints = self.endpoints.load();
        let remote = endpoints.iter().map(|endpoint| {
            let (name, health) = (endpoint.address().to_owned(), endpoint.health());
            let info = endpoint.info().unwrap_or_else(|| StoreInfo::new("", TimeRange::ALL));
            StoreStatus { name, info, health }
        });
        local.chain(remote).collect()
    }

    /// The healthy endpoints that announce a service.
    pub(crate) fn endpoints_with(&self, api: fn(&Apis) -> bool) -> Vec<Endpoint> {
        let endpoints = self.endpoints.load();
        endpoints.iter().filter(|endpoint| endpoint.is_asked() && endpoint.has(api)).cloned().collect()
    }

    /// The stores in this process.
    pub(crate) fn local_stores(&self) -> &[Arc<dyn StoreApi>] {
        &self.stores
    }

    /// Whether requests read all that the stores have, under the labels that these have.
    pub(crate) fn sees_all(&self) -> bool {
        !self.bounds.narrows()
    }

    /// Whether selections have limits of their own.
    pub(crate) fn limits_selections(&self) -> bool {
        self.bounds.limits()
    }

    /// The data of the stores to which requests are sent now.
    pub(crate) fn asked(&self) -> Vec<StoreInfo> {
        let endpoints = self.endpoints.load();
        let remote =
            endpoints.iter().filter(|endpoint| endpoint.is_asked() && endpoint.has(|apis| apis.store));
        let remote = remote.filter_map(|endpoint| endpoint.info());
        let all = self.stores.iter().filter_map(|store| store.info()).chain(remote);
        all.filter_map(|info| self.chosen(info)).collect()
    }

    /// The store's info with the label sets that the selector rules keep; `None` when they keep none.
    fn chosen(&self, mut info: StoreInfo) -> Option<StoreInfo> {
        if self.bounds.chooses_stores() {
            info.label_sets = self.bounds.kept(&info.label_sets)?.into_iter().cloned().collect();
        }
        Some(info)
    }

    /// The stores that may hold series of `range` that satisfy `matchers` and whose address satisfies one of
    /// `store_matchers` (any address if there are none), and the matchers to send them. `None` when the matchers
    /// contradict the querier's own labels, so that no store can have such series.
    ///
    /// Fails when all matchers are on the querier's own labels.
    fn candidates(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        store_matchers: &[Vec<Matcher>],
    ) -> Result<Option<Candidates>, SourceError> {
        let Some(mut left) = self.bounds.without_own(matchers) else { return Ok(None) };
        if left.is_empty() && !matchers.is_empty() {
            let text =
                "rpc error: code = InvalidArgument desc = no matchers specified (excluding selector labels)";
            return Err(text.into());
        }
        let stores = self.matching(&left, range, store_matchers);
        if self.bounds.chooses_stores() {
            let infos: Vec<StoreInfo> = stores.iter().filter_map(|store| store.info()).collect();
            let kept = infos.iter().filter_map(|info| self.bounds.kept(&info.label_sets)).flatten();
            left.extend(bounds::matchers_of(&kept.collect::<Vec<_>>()));
        }
        Ok(Some(Candidates { stores, matchers: left }))
    }

    /// Who is asked for such series. To be called only if [`Fanout::sees_all`].
    pub(crate) fn asked_for(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        store_matchers: &[Vec<Matcher>],
    ) -> Asked {
        let (local, mut remote) = self.split_matching(matchers, range, store_matchers);
        match (local.len(), remote.pop()) {
            (0, None) => Asked::Nobody,
            (0, Some(endpoint)) if remote.is_empty() => Asked::One(endpoint),
            _ => Asked::Others,
        }
    }

    fn matching(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        store_matchers: &[Vec<Matcher>],
    ) -> Vec<Arc<dyn StoreApi>> {
        let (local, remote) = self.split_matching(matchers, range, store_matchers);
        let remote = remote.into_iter().map(|endpoint| Arc::new(endpoint) as Arc<dyn StoreApi>);
        local.into_iter().chain(remote).collect()
    }

    /// The stores of this process and the endpoints that are asked.
    fn split_matching(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        store_matchers: &[Vec<Matcher>],
    ) -> (Vec<Arc<dyn StoreApi>>, Vec<Endpoint>) {
        let is_asked = |store: &dyn StoreApi, address: &str| {
            let may_hold = store.info().is_none_or(|info| {
                self.chosen(info).is_some_and(|info| {
                    range.min <= info.range.max
                        && range.max >= info.range.min
                        && may_match(matchers, &info.label_sets)
                })
            });
            may_hold && (store_matchers.is_empty() || store_matchers.iter().any(|set| accepts(set, address)))
        };
        let local = self.stores.iter().filter(|store| is_asked(&***store, "")).cloned();
        let endpoints = self.endpoints.load();
        let can_answer = |endpoint: &Endpoint| endpoint.is_asked() && endpoint.has(|apis| apis.store);
        let remote = endpoints.iter().filter(|endpoint| can_answer(endpoint));
        let remote = remote.filter(|endpoint| is_asked(*endpoint, endpoint.address()));
        (local.collect(), remote.cloned().collect())
    }
}

/// Who is asked for series.
pub(crate) enum Asked {
    /// No store.
    Nobody,
    /// One endpoint alone.
    One(Endpoint),
    /// Several stores, or one of this process.
    Others,
}

/// The stores to ask, and the matchers to send them.
struct Candidates {
    stores: Vec<Arc<dyn StoreApi>>,
    matchers: Vec<Matcher>,
}

/// Whether at least one label set contradicts no matcher; a store without label sets may hold anything.
pub(crate) fn may_match(matchers: &[Matcher], label_sets: &[Labels]) -> bool {
    label_sets.is_empty()
        || label_sets
            .iter()
            .any(|set| matchers.iter().all(|m| set.get(m.name()).is_none_or(|value| m.matches(value))))
}

/// Whether a matcher set accepts a store by `__address__`, the only label that is looked at; a store in this process
/// has an empty address.
fn accepts(set: &[Matcher], address: &str) -> bool {
    set.iter().filter(|m| m.name() == b"__address__").all(|m| m.matches(address.as_bytes()))
}

#[cfg(test)]
mod tests {
    use tithon_index::MatchOp;

    use super::*;

    #[test]
    fn external_labels_rule_sources_out() {
        let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).expect("a matcher");
        let sets = [
            Labels::from_pairs([("cluster", "eu"), ("replica", "a")]),
            Labels::from_pairs([("cluster", "us")]),
        ];
        assert!(may_match(&[], &sets));
        assert!(may_match(&[matcher(MatchOp::Equal, "cluster", "us")], &sets));
        assert!(may_match(&[matcher(MatchOp::Equal, "job", "x")], &sets));
        assert!(!may_match(&[matcher(MatchOp::Equal, "cluster", "asia")], &sets));
        assert!(may_match(&[matcher(MatchOp::Equal, "cluster", "asia")], &[]));
        // One label set has to satisfy all matchers.
        let both = [matcher(MatchOp::Equal, "cluster", "us"), matcher(MatchOp::Equal, "replica", "a")];
        assert!(may_match(&both, &sets));
        let both = [matcher(MatchOp::Equal, "cluster", "eu"), matcher(MatchOp::Equal, "replica", "b")];
        assert!(!may_match(&both, &sets));
    }
}
