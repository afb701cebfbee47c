//! Queriers for the tests.

use std::sync::Arc;

use tithon_chunks::Timestamp;
use tithon_index::Labels;
use tithon_promql::{
    Options, ParseOptions, Partitioning, Prepared, RemoteEngine, RemoteSource, Remotes, TimeParams,
};

/// All of time.
pub(crate) const ALWAYS: (i64, i64) = (i64::MIN, i64::MAX);

/// Labels as `region=east,zone=a`.
pub(crate) fn labels(text: &str) -> Labels {
    Labels::from_pairs(text.split(',').map(|pair| pair.split_once('=').expect("NAME=VALUE")))
}

/// A querier with sources, each with its labels and the times of its data in milliseconds.
pub(crate) fn engine(sources: &[(&str, (i64, i64))]) -> RemoteEngine {
    let source = |(set, (min_time, max_time)): &(&str, (i64, i64))| RemoteSource {
        labels: labels(set),
        min_time: *min_time,
        max_time: *max_time,
    };
    RemoteEngine { name: sources[0].0.to_owned(), sources: sources.iter().map(source).collect() }
}

/// Queriers that are told apart by all their labels.
pub(crate) fn remotes(engines: Vec<RemoteEngine>) -> Remotes {
    Remotes::new(engines, Vec::new(), &Partitioning::default())
}

/// The plan of a query that is distributed.
pub(crate) fn plan(query: &str, times: TimeParams, remotes: &Remotes) -> Prepared {
    let remotes = Some(Arc::new(remotes.clone()));
    let options = Options { parse: ParseOptions::ALL, remotes, ..Options::default() };
    Prepared::new(query, times, &options).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// An instant query at a time of 1,000 seconds.
pub(crate) fn instant() -> TimeParams {
    TimeParams::instant(Timestamp(1_000_000))
}

/// The parts of a plan as texts: querier, first and last second, expression.
pub(crate) fn parts(prepared: &Prepared) -> Vec<(usize, i64, i64, String)> {
    let part = |part: &tithon_promql::RemotePart| {
        let TimeParams { start, end, .. } = part.times;
        (part.engine, start.0 / 1000, end.0 / 1000, part.query.to_string())
    };
    prepared.remote_parts().iter().map(part).collect()
}
