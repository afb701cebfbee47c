//! What an operator may set: the `query.*` flags of Thanos that shape answers, as data.

use std::collections::BTreeMap;
use std::time::Duration;

use tithon_engine::dedup::ReplicaRule;
use tithon_engine::plan::ShardRule;
use tithon_promql::ParseOptions;
use tithon_runtime::{ClientTls, GrpcEncoding};
use tithon_storeapi::EndpointOptions;

use crate::tenancy::Tenancy;

/// Whose HTTP API is spoken where the two differ: texts of errors, place of PromQL notes, extra fields and endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus 3: `invalid parameter "query": ..`, `infos` beside `warnings`, positions in notes, `limit` on queries.
    #[default]
    Prometheus,
    /// `thanos query`: parser texts as they are, every note in `warnings`, `analysis` in query data.
    Thanos,
}

/// Settings of a querier; every default is Thanos's.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// Whose HTTP API is spoken.
    pub dialect: Dialect,
    /// `--query.timeout`: the longest time a query may take, waiting included.
    pub timeout: Duration,
    /// `--query.max-concurrent`: queries evaluated at the same time; 0 is no limit.
    pub max_concurrent: usize,
    /// Samples one query may hold in memory.
    pub max_samples: u64,
    /// `--query.max-bytes`: bytes one query may hold in memory, from what it receives to its answer.
    pub max_bytes: u64,
    /// `--query.memory-limit`: bytes all queries may hold in memory together; 0 is no limit.
    pub memory_limit: u64,
    /// `--query.lookback-delta`; unset is 5 minutes.
    pub lookback_delta: Option<Duration>,
    /// `--query.dynamic-lookback-delta`: look back further when coarser data may answer.
    pub dynamic_lookback_delta: bool,
    /// `--query.replica-label`: labels that tell replicas apart.
    pub replica_labels: Vec<String>,
    /// `--deduplication.func`.
    pub dedup_function: ReplicaRule,
    /// `--query.default-evaluation-interval`: step of subqueries that name none.
    pub default_evaluation_interval: Duration,
    /// `--query.default-step`: least step of range queries that name none (Thanos dialect).
    pub default_step: Duration,
    /// `--query.auto-downsampling`: allow resolutions of up to a fifth of the step.
    pub auto_downsampling: bool,
    /// `--query.instant.default.max_source_resolution`, for instant queries under auto-downsampling.
    pub instant_max_source_resolution: Duration,
    /// `--query.partial-response`: a failing source costs a warning instead of the query.
    pub partial_response: bool,
    /// The same for rules, targets and so on.
    pub partial_responses: PartialResponses,
    /// `--query.metadata.default-time-range`: how far back label calls look by default; zero is for ever.
    pub metadata_default_time_range: Duration,
    /// `--store.response-timeout`: the longest silence of one endpoint; zero is no limit.
    pub store_response_timeout: Duration,
    /// `--endpoint.info-timeout`: also how often endpoints are asked what they hold.
    pub info_timeout: Duration,
    /// `--store.unhealthy-timeout`: an endpoint that is silent for so long is forgotten.
    pub unhealthy_timeout: Duration,
    /// How messages to and from endpoints are packed; `None` leaves them as they are.
    pub grpc_encoding: Option<GrpcEncoding>,
    /// `--enable-feature=promql-experimental-functions`.
    pub experimental_functions: bool,
    /// `--enable-feature=promql-extended-range-selectors`.
    pub extended_range_selectors: bool,
    /// `--enable-feature=promql-binop-fill-modifiers`.
    pub binop_fill_modifiers: bool,
    /// `--enable-feature=promql-delayed-name-removal`.
    pub delayed_name_removal: bool,
    /// `--web.disable-cors`.
    pub disable_cors: bool,
    /// For whom requests are answered.
    pub tenancy: Tenancy,
    /// External labels of this querier itself (`--selector-label`): it has only what they do not contradict.
    pub selector_labels: Vec<(String, String)>,
    /// `--selector.relabel-config`: only stores with external labels that these keep are asked.
    pub selector_rules: Vec<ShardRule>,
    /// `--store.limits.request-series`: series that one selection may read; 0 is no limit.
    pub request_series_max: u64,
    /// `--store.limits.request-samples`: samples that one selection may read, counted as 120 a chunk; 0 is no limit.
    pub request_samples_max: u64,
    /// `--query.conn-metric.label`: what the number of endpoints is told apart by.
    pub connection_labels: Vec<ConnectionLabel>,
    /// `--query.log-queries-longer-than`; zero logs none.
    pub log_longer_than: Duration,
    /// What `/api/v1/status/buildinfo` says.
    pub build: BuildInfo,
    /// What `/api/v1/status/flags` says.
    pub flags: BTreeMap<String, String>,
}

/// A label of `thanos_store_nodes_grpc_connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLabel {
    /// `external_labels`: the label sets of the endpoint.
    ExternalLabels,
    /// `store_type`: what it is.
    StoreType,
    /// `ip_port`: its address.
    IpPort,
}

/// Of which APIs besides queries a failing source costs a warning instead of the request; by default of all.
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

/// Identity of the program, as in `/api/v1/status/buildinfo`.
#[derive(Clone, Debug)]
pub struct BuildInfo {
    /// Version of Prometheus whose API is spoken; Grafana chooses features by it.
    pub version: String,
    /// Commit built from.
    pub revision: String,
    /// Branch built from.
    pub branch: String,
    /// Who built it.
    pub build_user: String,
    /// When it was built.
    pub build_date: String,
    /// Name of the program and its own version; in the place where others name their compiler.
    pub go_version: String,
}

impl Default for BuildInfo {
    fn default() -> BuildInfo {
        BuildInfo {
            version: "3.14.0".into(),
            revision: String::new(),
            branch: String::new(),
            build_user: String::new(),
            build_date: String::new(),
            go_version: concat!("tithon ", env!("CARGO_PKG_VERSION")).into(),
        }
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

/// The longest message that is accepted from an endpoint, in bytes: at least and at most, whatever a query may hold.
const MESSAGE_BYTES: (u64, u64) = (16 << 20, 512 << 20);

impl QueryOptions {
    /// How endpoints that are not strict are spoken to. A message counts as held only when it is there, so no single one may
    /// be a large part of what a query may hold.
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

    /// Which parts of PromQL are accepted.
    pub(crate) fn parse_options(&self) -> ParseOptions {
        ParseOptions {
            experimental_functions: self.experimental_functions,
            duration_expr: self.dialect == Dialect::Prometheus,
            extended_range_selectors: self.extended_range_selectors,
            binop_fill: self.binop_fill_modifiers,
        }
    }
}
