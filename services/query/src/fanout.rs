//! Sources of series, and asking those of them that may know.
//!
//! A source is either blocks in this process or an endpoint that speaks StoreAPI. Thanos `pkg/store/proxy.go`.

mod endpoint;
mod labels;
mod notes;
mod request;
mod resolve;
mod select;
pub(crate) mod wire;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tithon_chunks::TimeRange;
use tithon_index::{Labels, Matcher};

pub use self::endpoint::{Endpoint, EndpointError};
pub(crate) use self::labels::Found;
pub(crate) use self::notes::Notes;
pub(crate) use self::request::SeriesStream;
pub use self::request::{
    Aggregate, LabelsRequest, Lease, LocalPart, LocalSource, SeriesRequest, SourceError, SourceInfo,
    SourceLabels,
};
pub(crate) use self::resolve::{Purpose, to_series};
pub(crate) use self::select::{Scope, Selection, bytes_of};

/// Where series come from.
#[derive(Clone)]
pub enum Source {
    /// Blocks in this process, asked without gRPC.
    Local(Arc<dyn LocalSource>),
    /// A StoreAPI server.
    Remote(Arc<Endpoint>),
}

/// All sources of a querier; which ones may change while requests are under way.
pub(crate) struct Fanout {
    sources: ArcSwap<Vec<Source>>,
}

impl Fanout {
    pub(crate) fn new(sources: Vec<Source>) -> Fanout {
        Fanout { sources: ArcSwap::from_pointee(sources) }
    }

    /// The sources as they are now.
    fn sources(&self) -> Arc<Vec<Source>> {
        self.sources.load_full()
    }

    /// From now on requests ask these; those under way go on with the sources that they began with.
    pub(crate) fn set_sources(&self, sources: Vec<Source>) {
        self.sources.store(Arc::new(sources));
    }

    /// The endpoint at an address, if it is among the sources.
    pub(crate) fn endpoint(&self, address: &str) -> Option<Arc<Endpoint>> {
        self.sources().iter().find_map(|source| match source {
            Source::Remote(endpoint) if endpoint.address() == address => Some(Arc::clone(endpoint)),
            _ => None,
        })
    }

    /// Asks every endpoint what it holds, all at once.
    pub(crate) async fn refresh(&self) {
        let sources = self.sources();
        let endpoints = sources.iter().filter_map(|source| match source {
            Source::Remote(endpoint) => Some(endpoint.refresh()),
            Source::Local(_) => None,
        });
        futures::future::join_all(endpoints).await;
    }

    /// What the sources hold: local ones, and endpoints that have answered at least once.
    pub(crate) fn infos(&self) -> Vec<SourceInfo> {
        self.sources()
            .iter()
            .filter_map(|source| match source {
                Source::Local(local) => Some(local.info()),
                Source::Remote(endpoint) => endpoint.info(),
            })
            .collect()
    }
}

/// The sources that may hold series of `range` that satisfy `matchers`, and whose address satisfies one of the sets of
/// `store_matchers`, if there are any.
fn candidates<'a>(
    sources: &'a [Source],
    matchers: &[Matcher],
    range: TimeRange,
    store_matchers: &[Vec<Matcher>],
) -> Vec<&'a Source> {
    sources
        .iter()
        .filter(|source| {
            let (info, address) = match source {
                Source::Local(local) => (Some(local.info()), None),
                Source::Remote(endpoint) => (endpoint.info(), Some(endpoint.address())),
            };
            let may_hold = info.is_none_or(|info| {
                range.min <= info.range.max
                    && range.max >= info.range.min
                    && may_match(matchers, &info.label_sets)
            });
            may_hold && (store_matchers.is_empty() || store_matchers.iter().any(|set| accepts(set, address)))
        })
        .collect()
}

/// Whether one of the label sets contradicts no matcher; a source without label sets may hold anything.
fn may_match(matchers: &[Matcher], label_sets: &[Labels]) -> bool {
    label_sets.is_empty()
        || label_sets
            .iter()
            .any(|set| matchers.iter().all(|m| set.get(m.name()).is_none_or(|value| m.matches(value))))
}

/// Whether a set of matchers accepts an endpoint: only `__address__` counts, which is empty for a local source.
fn accepts(set: &[Matcher], address: Option<&str>) -> bool {
    let address = address.unwrap_or_default().as_bytes();
    set.iter().filter(|m| m.name() == b"__address__").all(|m| m.matches(address))
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
        // one set has to satisfy all of them
        let both = [matcher(MatchOp::Equal, "cluster", "us"), matcher(MatchOp::Equal, "replica", "a")];
        assert!(may_match(&both, &sets));
        let both = [matcher(MatchOp::Equal, "cluster", "eu"), matcher(MatchOp::Equal, "replica", "b")];
        assert!(!may_match(&both, &sets));
    }
}
