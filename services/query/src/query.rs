//! A query with its settings, and what follows from them: options of the engine, requests to stores.

use std::sync::Arc;

use tithon_chunks::TimeRange;
use tithon_engine::dedup::ReplicaRule;
use tithon_engine::{SeriesRequest, SeriesShard};
use tithon_index::Matcher;
use tithon_promql::{Options, Prepared, QueryError, SelectSpec, TimeParams, Watch};
use tithon_storeapi::Endpoint;
use tracing::instrument;

use crate::error::ApiError;
use crate::fanout::{Purpose, Scope};
use crate::lookback::lookback_ms;
use crate::options::QueryOptions;
use crate::remote::Distribution;

/// A query and its settings.
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) times: TimeParams,
    /// `lookback_delta` of the request; `None` for the default.
    pub(crate) lookback_ms: Option<i64>,
    /// Labels that tell replicas apart; without any there is no deduplication.
    pub(crate) replica_labels: Vec<String>,
    /// How replicas are deduplicated.
    pub(crate) replica_rule: ReplicaRule,
    /// The coarsest resolution that may be read, in milliseconds.
    pub(crate) max_resolution_ms: i64,
    pub(crate) scope: Scope,
    /// The share of all series to read, when a query frontend split the query.
    pub(crate) shard: Option<SeriesShard>,
    /// The tenant's matcher that every selector gets; `None` when tenancy is not enforced.
    pub(crate) enforced: Option<Matcher>,
    /// Whether to measure what each operator costs.
    pub(crate) analyze: bool,
    /// The queriers over which the query is distributed; `None` if all of it is evaluated here.
    pub(crate) distribution: Option<Distribution>,
    /// The stores that evaluate parts of the query, in the order of the plan's indexes.
    pub(crate) part_stores: Vec<Endpoint>,
}

/// Parses and plans a query.
#[instrument(name = "promql_plan", skip_all)]
pub(crate) fn prepare(options: &QueryOptions, query: &Query, watch: Watch<'_>) -> Result<Prepared, ApiError> {
    Prepared::within(&query.text, query.times, &engine_options(options, query), watch).map_err(|error| {
        match error {
            QueryError::Parse(_) | QueryError::BadData(_) => {
                ApiError::invalid_parameter(options.dialect, "query", error)
            }
            error => ApiError::of_query(&error),
        }
    })
}

/// The engine's options of a query.
pub(crate) fn engine_options(options: &QueryOptions, query: &Query) -> Options {
    Options {
        lookback_delta_ms: query.lookback_ms.unwrap_or_else(|| lookback_ms(options, query.max_resolution_ms)),
        default_subquery_step_ms: i64::try_from(options.default_evaluation_interval.as_millis())
            .unwrap_or(i64::MAX),
        max_samples: options.max_samples,
        max_bytes: options.max_bytes,
        parse: options.parse_options(),
        delayed_name_removal: options.delayed_name_removal,
        enforced: query.enforced.clone(),
        remotes: query.distribution.as_ref().map(|distribution| Arc::clone(&distribution.remotes)),
        dropped_labels: query.replica_labels.iter().map(|label| label.as_bytes().into()).collect(),
        ..Options::default()
    }
}

/// What the series of a selection are read for.
pub(crate) fn purpose(spec: &SelectSpec, range: TimeRange, query: &Query, options: &QueryOptions) -> Purpose {
    Purpose {
        function: spec.hints.func.clone(),
        range,
        dedup: (!query.replica_labels.is_empty()).then_some(query.replica_rule),
        dialect: options.dialect,
    }
}

/// The request for the series of a selection.
pub(crate) fn series_request(spec: &SelectSpec, query: &Query, purpose: &Purpose) -> SeriesRequest {
    SeriesRequest {
        max_resolution_ms: resolution_for(spec, query.max_resolution_ms),
        aggregates: purpose.aggregates(),
        without_labels: query.replica_labels.clone(),
        shard: query.shard.clone(),
        ..SeriesRequest::new(spec.matchers.clone(), spec.range)
    }
}

/// The coarsest resolution for a selector. Functions that compare neighbouring samples need at least two samples in
/// their window. Thanos `pkg/query/querier.go`.
fn resolution_for(spec: &SelectSpec, allowed: i64) -> i64 {
    const TWO_SAMPLES: [&str; 9] = [
        "rate",
        "irate",
        "increase",
        "delta",
        "idelta",
        "deriv",
        "predict_linear",
        "holt_winters",
        "double_exponential_smoothing",
    ];
    if spec.hints.range_ms > 0 && TWO_SAMPLES.contains(&spec.hints.func.as_str()) {
        allowed.min(spec.hints.range_ms / 2)
    } else {
        allowed
    }
}
