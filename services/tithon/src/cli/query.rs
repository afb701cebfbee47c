//! Flags of `tithon query`.

use clap::Args;
use tithon_engine::dedup::ReplicaRule;
use tithon_query::ConnectionLabel;

use crate::flags::{
    Duration, GrpcClientTlsFlags, LimitFlags, Mode, Packed, QueryWebFlags, RequestLoggingFlags,
    SelectorFlags, ServerFlags, TenancyFlags, connection_label, grpc_compression, parse_duration,
    parse_label, parse_size, query_mode, replica_rule,
};

/// `tithon query`.
#[derive(Args, Debug)]
pub struct QueryFlags {
    #[command(flatten)]
    pub server: ServerFlags,
    #[command(flatten)]
    pub answers: AnswerFlags,
    #[command(flatten)]
    pub endpoints: EndpointFlags,
    /// How long a server may send nothing before its call is given up; 0 is for ever.
    #[arg(long = "store.response-timeout", value_name = "DURATION", default_value = "0ms", value_parser = parse_duration)]
    pub response_timeout: Duration,
    #[command(flatten)]
    pub tls: GrpcClientTlsFlags,
    /// How long a server may take to answer Info.
    #[arg(long = "endpoint.info-timeout", value_name = "DURATION", default_value = "5s", value_parser = parse_duration, hide = true)]
    pub info_timeout: Duration,
    /// A server that has not answered for this long is forgotten until it answers again, unless it is strict.
    #[arg(long = "store.unhealthy-timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub unhealthy_timeout: Duration,
    /// Compression of calls to servers and of their answers: none, snappy, gzip or zstd. Useful where the network is
    /// slow.
    #[arg(long = "grpc-compression", value_name = "ENCODING", default_value = "none", value_parser = grpc_compression())]
    pub grpc_compression: Packed,
    /// Where queries are evaluated: local is in this process, distributed hands parts of them to the endpoints that are
    /// queriers themselves. A querier below needs no flag for that, but the external labels of its stores must tell its data
    /// apart from that of other queriers.
    #[arg(long = "query.mode", value_name = "MODE", default_value = "local", value_parser = query_mode())]
    pub mode: Mode,
    /// An external label by whose values the data of queriers below are told apart in distributed mode; all external labels
    /// but replica labels unless given; may be given several times or with commas.
    #[arg(long = "query.partition-label", value_name = "LABEL", value_delimiter = ',')]
    pub partition_label: Vec<String>,
    /// In distributed mode, trust a querier below from the earliest of its stores' minimum times on. By default it is asked
    /// from the latest on, if another one has older data of the same external labels.
    #[arg(long = "query.distributed-with-overlapping-interval", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL", hide = true)]
    pub overlapping_interval: bool,
    /// Let a store of Tithon evaluate what it alone has the data for, if its flag --store.pushdown is set: answers stay the
    /// same to the bit. Queries that a store cannot evaluate are evaluated here. Thanos has no such flag.
    #[arg(long = "query.pushdown", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub pushdown: bool,
    #[command(flatten)]
    pub tenancy: TenancyFlags,
    #[command(flatten)]
    pub web: QueryWebFlags,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub selector: SelectorFlags,
    #[command(flatten)]
    pub request_logging: RequestLoggingFlags,
    /// An external label of this querier, NAME="VALUE": queriers above see it, and ask only for what it does not
    /// contradict; may be given several times.
    #[arg(long = "selector-label", value_name = "NAME=\"VALUE\"", value_parser = parse_label)]
    pub selector_label: Vec<(String, String)>,
    /// A label of the metric thanos_store_nodes_grpc_connections; may be given several times.
    #[arg(long = "query.conn-metric.label", value_name = "LABEL", default_values = ["external_labels", "store_type"],
          value_parser = connection_label())]
    pub connection_label: Vec<ConnectionLabel>,
    /// Folder of the file queries.active, which lists the queries being evaluated; those of a crashed process are
    /// logged at the next start.
    #[arg(
        long = "query.active-query-path",
        value_name = "DIR",
        default_value = "",
        hide_default_value = true
    )]
    pub active_query_path: String,
    /// Log queries that take longer than this; 0 logs none. Thanos has such a flag in its query frontend.
    #[arg(long = "query.log-queries-longer-than", value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub log_queries_longer_than: Duration,
    /// Look back further for samples when downsampled data may answer.
    #[arg(long = "query.dynamic-lookback-delta", hide = true, default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub dynamic_lookback_delta: bool,
    /// Coarsest resolution that may answer instant queries under --query.auto-downsampling.
    #[arg(long = "query.instant.default.max_source_resolution", value_name = "DURATION", default_value = "0s",
          value_parser = parse_duration, hide = true)]
    pub instant_max_source_resolution: Duration,
    /// Answer with a warning instead of an error when a server fails to return its rules and alerts.
    #[arg(long = "rule.partial-response", default_value_t = true, action = clap::ArgAction::Set, hide = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub rule_partial_response: bool,
    /// Answer with a warning instead of an error when a server fails to return its targets.
    #[arg(long = "target.partial-response", default_value_t = true, action = clap::ArgAction::Set, hide = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub target_partial_response: bool,
    /// Answer with a warning instead of an error when a server fails to return its metadata.
    #[arg(long = "metric-metadata.partial-response", default_value_t = true, action = clap::ArgAction::Set, hide = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub metadata_partial_response: bool,
    /// Answer with a warning instead of an error when a server fails to return its exemplars.
    #[arg(long = "exemplar.partial-response", default_value_t = true, action = clap::ArgAction::Set, hide = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub exemplar_partial_response: bool,
    /// Answer with a warning instead of an error when a server fails to return its TSDB statistics.
    #[arg(long = "status.partial-response", default_value_t = true, action = clap::ArgAction::Set, hide = true,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub status_partial_response: bool,
}

/// Flags of `query` that name the servers to ask.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Endpoints")]
pub struct EndpointFlags {
    /// Address of a StoreAPI server, host:port, or a name to look up: dns+NAME:PORT (A and AAAA records), dnssrv+NAME
    /// (SRV records and the addresses of their targets), dnssrvnoa+NAME (SRV records only); may be given several times.
    #[arg(long = "endpoint", value_name = "ADDR")]
    pub endpoint: Vec<String>,
    /// Like --endpoint, but a server that does not answer is not skipped: it costs a warning, or fails the query
    /// without partial responses.
    #[arg(long = "endpoint-strict", value_name = "ADDR")]
    pub endpoint_strict: Vec<String>,
    /// Like --endpoint for servers with the same data: the addresses of a name are one endpoint, and answer in turn.
    #[arg(long = "endpoint-group", value_name = "ADDR")]
    pub endpoint_group: Vec<String>,
    /// Like --endpoint-group, and strict like --endpoint-strict.
    #[arg(long = "endpoint-group-strict", value_name = "ADDR")]
    pub endpoint_group_strict: Vec<String>,
    /// YAML file with endpoints and the TLS of each.
    #[arg(
        long = "endpoint.sd-config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub sd_config_file: String,
    /// The same YAML given inline.
    #[arg(long = "endpoint.sd-config", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub sd_config: String,
    /// How often the YAML file is read again.
    #[arg(long = "endpoint.sd-config-reload-interval", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub sd_reload_interval: Duration,
    /// Files with lists of addresses in the format of Prometheus's file discovery, JSON or YAML; a path or a pattern
    /// with *, ? and [...]; may be given several times. Changes are seen within seconds.
    #[arg(long = "store.sd-files", value_name = "PATH")]
    pub sd_files: Vec<String>,
    /// How often these files are read at least.
    #[arg(long = "store.sd-interval", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub sd_interval: Duration,
    /// How often DNS names are looked up.
    #[arg(long = "store.sd-dns-interval", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub dns_interval: Duration,
}

/// Flags of `query` that shape answers; `standalone` also has them.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Answers")]
pub struct AnswerFlags {
    /// A label that tells replicas of a Prometheus apart, and is dropped by deduplication; may be given several times
    /// or with commas.
    #[arg(long = "query.replica-label", value_name = "LABEL", value_delimiter = ',')]
    pub replica_label: Vec<String>,
    /// How replicas are merged: penalty stays with one replica until it falls silent, chain takes the samples of all,
    /// exact takes the most complete replica and fills its gaps from the others (docs/deduplication.md).
    #[arg(long = "deduplication.func", value_name = "FUNC", default_value = "penalty", value_parser = replica_rule())]
    pub deduplication: ReplicaRule,
    /// PromQL features to enable, with Prometheus's names, such as promql-experimental-functions; may be given several
    /// times or with commas.
    #[arg(long = "enable-feature", value_name = "FEATURE", value_delimiter = ',')]
    pub enable_feature: Vec<String>,
    /// How far back an instant selector looks for a sample; 5m unless given.
    #[arg(long = "query.lookback-delta", value_name = "DURATION", value_parser = parse_duration)]
    pub lookback_delta: Option<Duration>,
    /// Longest time a query may take.
    #[arg(long = "query.timeout", value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Queries evaluated at the same time; others wait.
    #[arg(long = "query.max-concurrent", value_name = "N", default_value_t = 20)]
    pub max_concurrent: usize,
    /// Most samples one query may hold in memory.
    #[arg(long = "query.max-samples", value_name = "N", default_value_t = 50_000_000)]
    pub max_samples: u64,
    /// Most bytes one query may hold in memory, from what it receives to its answer.
    #[arg(long = "query.max-bytes", value_name = "BYTES", default_value = "4GiB", value_parser = parse_size)]
    pub max_bytes: u64,
    /// Most bytes all queries and calls together may hold in memory; one that would exceed it fails. 0 is half of the
    /// memory that the process may use: of its cgroup, or of the machine.
    #[arg(long = "query.memory-limit", value_name = "BYTES", default_value = "0", value_parser = parse_size)]
    pub memory_limit: u64,
    /// Answer with a warning instead of an error when a server fails.
    #[arg(long = "query.partial-response", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub partial_response: bool,
    /// Step of subqueries that give none.
    #[arg(long = "query.default-evaluation-interval", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub default_evaluation_interval: Duration,
    /// Step of range queries that give none.
    #[arg(long = "query.default-step", value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub default_step: Duration,
    /// Choose downsampled data by the step when a request does not set a resolution.
    #[arg(long = "query.auto-downsampling", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub auto_downsampling: bool,
    /// Range of label and series requests that give none; 0 is all of time.
    #[arg(long = "query.metadata.default-time-range", value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub metadata_default_time_range: Duration,
}
