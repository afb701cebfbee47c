//! Settings of a querier: the flags of `thanos query` that shape answers, as data.

use std::collections::BTreeMap;
use std::time::Duration;

use tithon_engine::dedup::ReplicaRule;
use tithon_engine::relabel::RelabelStep;
use tithon_promql::{ParseOptions, Partitioning};
use tithon_runtime::{BuildInfo, ClientTls, GrpcEncoding};
use tithon_storeapi::EndpointOptions;

use crate::tenancy::Tenancy;

/// The program whose HTTP API is served. The programs differ in error texts, the place of PromQL notes, extra fields
/// and endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus 3: `invalid parameter "query": ..`, `infos` beside `warnings`, positions in notes, `limit` for
    /// queries.
    #[default]
    Prometheus,
    /// `thanos query`: parser errors without a prefix, all notes in `warnings`, `analysis` in query data.
    Thanos,
}

/// Settings of a querier; every default is Thanos's.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// The program whose HTTP API is served.
    pub dialect: Dialect,
    /// `--query.timeout`: longest time of a query, including the wait at the gate.
    pub timeout: Duration,
    /// `--query.max-concurrent`: queries evaluated at the same time; 0 means no limit.
    pub max_concurrent: usize,
    /// Samples one query may hold in memory.
    pub max_samples: u64,
    /// `--query.max-bytes`: bytes one query may hold in memory, from what it receives to its answer.
    pub max_bytes: u64,
    /// `--query.memory-limit`: bytes all queries together may hold in memory; 0 means no limit.
    pub memory_limit: u64,
    /// `--query.lookback-delta`; unset is 5 minutes.
    pub lookback_delta: Option<Duration>,
    /// `--query.dynamic-lookback-delta`: look back further when coarser data may answer.
    pub dynamic_lookback_delta: bool,
    /// `--query.replica-label`: labels that tell replicas apart and are dropped by deduplication.
    pub replica_labels: Vec<String>,
    /// `--deduplication.func`: how replicas are deduplicated.
    pub dedup_function: ReplicaRule,
    /// `--query.default-evaluation-interval`: step of subqueries that give none.
    pub default_evaluation_interval: Duration,
    /// `--query.default-step`: least step of range queries that give none (Thanos dialect).
    pub default_step: Duration,
    /// `--query.auto-downsampling`: allow resolutions of up to a fifth of the step.
    pub auto_downsampling: bool,
    /// `--query.instant.default.max_source_resolution`: coarsest resolution of instant queries under auto-downsampling.
    pub instant_max_source_resolution: Duration,
    /// `--query.partial-response`: whether a failing store costs a warning instead of the query, by default.
    pub partial_response: bool,
    /// Whether rules, targets and the other calls to companions accept partial answers.
    pub partial_responses: PartialResponses,
    /// `--query.metadata.default-time-range`: default time range of label calls, back from now; zero means all time.
    pub metadata_default_time_range: Duration,
    /// `--store.response-timeout`: longest time without data from an endpoint; zero means no limit.
    pub store_response_timeout: Duration,
    /// `--endpoint.info-timeout`: timeout of `Info` calls, and the interval between them.
    pub info_timeout: Duration,
    /// `--store.unhealthy-timeout`: time after which a silent endpoint is no longer shown.
    pub unhealthy_timeout: Duration,
    /// Compression of messages to and from endpoints; `None` for none.
    pub grpc_encoding: Option<GrpcEncoding>,
    /// `--query.mode=distributed`: how the data of the queriers below, which evaluate parts of queries, are told apart; `None`
    /// evaluates all queries here.
    pub distributed: Option<Partitioning>,
    /// `--query.pushdown`: whether stores that evaluate parts of queries are asked to, in Thanos's dialect.
    pub pushdown: bool,
    /// `--enable-feature=promql-experimental-functions`: whether experimental functions are accepted.
    pub experimental_functions: bool,
    /// `--enable-feature=promql-extended-range-selectors`: whether `anchored` and `smoothed` are accepted.
    pub extended_range_selectors: bool,
    /// `--enable-feature=promql-binop-fill-modifiers`: whether `fill` modifiers of binary operators are accepted.
    pub binop_fill_modifiers: bool,
    /// `--enable-feature=promql-delayed-name-removal`: whether metric names are dropped only at the end of evaluation.
    pub delayed_name_removal: bool,
    /// `--web.disable-cors`: whether pages of other origins may not read answers.
    pub disable_cors: bool,
    /// How tenants are recognised and kept apart.
    pub tenancy: Tenancy,
    /// `--selector-label`: external labels of the querier itself; it answers only selectors that do not contradict
    /// them.
    pub selector_labels: Vec<(String, String)>,
    /// `--selector.relabel-config`: only stores whose external labels these rules keep are asked.
    pub selector_rules: Vec<RelabelStep>,
    /// `--store.limits.request-series`: series that one selection may read; 0 means no limit.
    pub request_series_max: u64,
    /// `--store.limits.request-samples`: samples that one selection may read, counted as 120 per chunk; 0 means no
    /// limit.
    pub request_samples_max: u64,
    /// `--query.conn-metric.label`: labels of the metric of connected endpoints.
    pub connection_labels: Vec<ConnectionLabel>,
    /// `--query.log-queries-longer-than`: duration from which on queries are logged; zero logs none.
    pub log_longer_than: Duration,
    /// The answer of `/api/v1/status/buildinfo`.
    pub build: BuildInfo,
    /// The answer of `/api/v1/status/flags`: names of flags with their values.
    pub flags: BTreeMap<String, String>,
}

/// A label of `thanos_store_nodes_grpc_connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLabel {
    /// `external_labels`: the label sets of the endpoint.
    ExternalLabels,
    /// `store_type`: the endpoint's component.
    StoreType,
    /// `ip_port`: the endpoint's address.
    IpPort,
}

/// For which calls a failing server costs a warning instead of the request; by default for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialResponses {
    /// `--rule.partial-response`.
    pub rules: bool,
    /// `--target.partial-response`.
    pub targets: bool,
    /// `--metric-metadata.partial-response`.
    pub metadata: bool,
    /// `--exemplar.partial-response`.
    pub exemplars: bool,
    /// `--status.partial-response`.
    pub status: bool,
}

impl Default for PartialResponses {
    fn default() -> PartialResponses {
        PartialResponses { rules: true, targets: true, metadata: true, exemplars: true, status: true }
    }
}

impl Default for QueryOptions {
    fn default() -> QueryOptions {
        QueryOptions {
            dialect: Dialect::default(),
            timeout: Duration::from_secs(120),
            max_concurrent: 20,
            max_samples: 50_000_000,
            max_bytes: 4 << 30,
            memory_limit: 0,
            lookback_delta: None,
            dynamic_lookback_delta: true,
            replica_labels: Vec::new(),
            dedup_function: ReplicaRule::Penalty,
            default_evaluation_interval: Duration::from_secs(60),
            default_step: Duration::from_secs(1),
            auto_downsampling: false,
            instant_max_source_resolution: Duration::ZERO,
            partial_response: true,
            partial_responses: PartialResponses::default(),
            metadata_default_time_range: Duration::ZERO,
            store_response_timeout: Duration::ZERO,
            info_timeout: Duration::from_secs(5),
            unhealthy_timeout: Duration::from_secs(300),
            grpc_encoding: None,
            distributed: None,
            pushdown: true,
            experimental_functions: false,
            extended_range_selectors: false,
            binop_fill_modifiers: false,
            delayed_name_removal: false,
            disable_cors: false,
            tenancy: Tenancy::default(),
            selector_labels: Vec::new(),
            selector_rules: Vec::new(),
            request_series_max: 0,
            request_samples_max: 0,
            connection_labels: vec![ConnectionLabel::ExternalLabels, ConnectionLabel::StoreType],
            log_longer_than: Duration::ZERO,
            build: BuildInfo::default(),
            flags: BTreeMap::new(),
        }
    }
}

/// Bounds, in bytes, of the longest message that is accepted from an endpoint.
const MESSAGE_BYTES: (u64, u64) = (16 << 20, 512 << 20);

impl QueryOptions {
    /// Options of endpoints that are not strict. A message is charged only when all of it has arrived, so the longest
    /// one is limited to an eighth of what a query may hold.
    pub fn endpoint_options(&self, tls: Option<ClientTls>) -> EndpointOptions {
        let limit = if self.memory_limit == 0 { u64::MAX } else { self.memory_limit };
        let bytes = (self.max_bytes.min(limit) / 8).clamp(MESSAGE_BYTES.0, MESSAGE_BYTES.1);
        EndpointOptions {
            info_timeout: self.info_timeout,
            response_timeout: self.store_response_timeout,
            message_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX),
            tls,
            strict: false,
            unhealthy_timeout: self.unhealthy_timeout,
            calls: None,
            encoding: self.grpc_encoding,
            named_by: "--endpoint",
        }
    }

    /// The parts of PromQL that are accepted.
    pub(crate) fn parse_options(&self) -> ParseOptions {
        ParseOptions {
            experimental_functions: self.experimental_functions,
            duration_expr: self.dialect == Dialect::Prometheus,
            extended_range_selectors: self.extended_range_selectors,
            binop_fill: self.binop_fill_modifiers,
        }
    }
}
