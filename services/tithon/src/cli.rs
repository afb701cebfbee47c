//! The command line: subcommands and flags, named as Thanos names them.

mod block;
mod bucket;
mod examples;
mod rule;
mod sidecar;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tithon_engine::dedup::ReplicaRule;
use tithon_engine::plan::TimeBound;
use tithon_query::ConnectionLabel;

pub use self::block::*;
pub use self::bucket::*;
pub use self::rule::*;
pub use self::sidecar::*;
use crate::compact::CompactorFlags;
use crate::flags::{
    BlocksWebFlags, BucketFlags, CacheFlags, Duration, GrpcClientTlsFlags, LimitFlags, LogFlags, Packed,
    QueryWebFlags, RequestLoggingFlags, ScopeFlags, SelectorFlags, ServerFlags, TenancyFlags, TracingFlags,
    connection_label, grpc_compression, parse_duration, parse_label, parse_mode, parse_size, parse_time,
    replica_rule,
};

/// Long-term storage for Prometheus: a drop-in for Thanos, one process at a time.
///
/// New here? `tithon standalone --demo` fills a bucket with two days of data and serves it on
/// http://127.0.0.1:10902.
#[derive(Parser, Debug)]
#[command(name = "tithon", version = crate::version::LONG.as_str(), propagate_version = true, max_term_width = 110,
          after_help = examples::EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub log: LogFlags,
    #[command(flatten)]
    pub tracing: TracingFlags,
    #[command(subcommand)]
    pub command: Command,
}

/// The processes and tools.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Store and query in one process on one data directory: the quickest way to see blocks answered.
    #[command(after_help = examples::STANDALONE)]
    Standalone(Box<StandaloneFlags>),
    /// Store gateway: serves the blocks of a bucket over the StoreAPI (gRPC).
    #[command(after_help = examples::STORE)]
    Store(Box<StoreFlags>),
    /// Querier: PromQL over any number of StoreAPI servers, ours or Thanos's, over HTTP.
    #[command(after_help = examples::QUERY)]
    Query(Box<QueryFlags>),
    /// Sidecar of a Prometheus: serves its data over the StoreAPI, uploads its blocks to a bucket, reloads its
    /// configuration.
    #[command(after_help = examples::SIDECAR)]
    Sidecar(Box<SidecarFlags>),
    /// Ruler: evaluates recording and alerting rules over queriers, writes results to other servers and sends alerts to
    /// Alertmanagers.
    #[command(after_help = examples::RULE)]
    Rule(Box<RuleFlags>),
    /// Compactor: merges, downsamples, expires and deletes the blocks of a bucket. One for each bucket or shard.
    #[command(after_help = examples::COMPACT)]
    Compact(Box<CompactorFlags>),
    /// Tools: blocks offline, and measurements side by side.
    #[command(after_help = examples::TOOLS)]
    Tools(Box<ToolsFlags>),
}

impl Command {
    /// The subcommand's name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Command::Standalone(_) => "standalone",
            Command::Store(_) => "store",
            Command::Query(_) => "query",
            Command::Sidecar(_) => "sidecar",
            Command::Rule(_) => "rule",
            Command::Compact(_) => "compact",
            Command::Tools(_) => "tools",
        }
    }

    /// Whether the demo was asked for.
    pub fn is_demo(&self) -> bool {
        matches!(self, Command::Standalone(flags) if flags.demo)
    }
}

/// `tithon standalone`.
#[derive(Args, Debug)]
#[command(mut_arg("http_address", |a| a.default_value("127.0.0.1:10902")))]
#[command(mut_arg("grpc_address", |a| a.default_value("127.0.0.1:10901")))]
pub struct StandaloneFlags {
    #[command(flatten)]
    pub server: ServerFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub answers: AnswerFlags,
    /// Data directory of the process; the bucket is the folder `bucket` inside.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./tithon-data")]
    pub data_dir: PathBuf,
    /// Any folder of blocks to serve instead of the bucket, a Prometheus data directory included; never written to.
    #[arg(long = "bucket-dir", value_name = "DIR", conflicts_with = "demo")]
    pub bucket_dir: Option<PathBuf>,
    /// Fill the bucket, if it is empty, with two days of generated data of some 10,000 series that end now.
    #[arg(long = "demo")]
    pub demo: bool,
    /// Hours of demo data.
    #[arg(long = "demo.hours", value_name = "HOURS", default_value_t = 48,
          value_parser = clap::value_parser!(u32).range(1..=336))]
    pub demo_hours: u32,
    /// End of the demo data; equal ends give equal data.
    #[arg(long = "demo.end", value_name = "TIME", default_value = "0s", value_parser = parse_time,
          allow_hyphen_values = true)]
    pub demo_end: TimeBound,
    /// How often the bucket is checked for new and deleted blocks.
    #[arg(long = "sync-block-duration", value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    pub sync_block_duration: Duration,
    /// Also compact, downsample and clean the bucket. By default on for the embedded bucket, off for one configured by
    /// --objstore.config, and never for --bucket-dir.
    #[arg(long = "compact", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_name = "BOOL")]
    pub compact: Option<bool>,
    /// Time from the start of one compaction of the bucket to the start of the next.
    #[arg(long = "wait-interval", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub wait_interval: Duration,
    /// With --demo, blocks are merged and downsampled at this fraction of the usual lengths, so that two days are
    /// enough to see blocks of 5 minutes and of an hour.
    #[arg(long = "demo.range-divisor", value_name = "N", default_value_t = 12,
          value_parser = clap::value_parser!(u32).range(1..=60))]
    pub demo_range_divisor: u32,
}

/// `tithon store`.
#[derive(Args, Debug)]
pub struct StoreFlags {
    #[command(flatten)]
    pub server: ServerFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    /// Folder in which index headers and label filters are kept between starts.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "./data")]
    pub data_dir: PathBuf,
    /// Keep index headers on disk; without them every start reads the indexes of all blocks.
    #[arg(long = "cache-index-header", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub cache_index_header: bool,
    /// How often the bucket is checked for new and deleted blocks.
    #[arg(long = "sync-block-duration", value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    pub sync_block_duration: Duration,
    /// Metas and marks of blocks read at the same time.
    #[arg(long = "block-meta-fetch-concurrency", value_name = "N", default_value_t = 32)]
    pub meta_concurrency: usize,
    /// Blocks opened at the same time.
    #[arg(long = "block-sync-concurrency", value_name = "N", default_value_t = 20)]
    pub block_concurrency: usize,
    #[command(flatten)]
    pub scope: ScopeFlags,
    #[command(flatten)]
    pub web: BlocksWebFlags,
    #[command(flatten)]
    pub request_logging: RequestLoggingFlags,
    /// Leave blocks alone for this long after their upload, except those of compactors.
    #[arg(long = "consistency-delay", value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub consistency_delay: Duration,
    /// Drop blocks this long after they were marked for deletion.
    #[arg(long = "ignore-deletion-marks-delay", value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub ignore_deletion_marks_delay: Duration,
    /// Close a block that no call has needed for this long until the next call needs it; 0 is never.
    #[arg(long = "store.index-header-lazy-reader-idle-timeout", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub idle_timeout: Duration,
    #[command(flatten)]
    pub caches: CacheFlags,
    /// Series calls answered at the same time; others wait.
    #[arg(long = "store.grpc.series-max-concurrency", value_name = "N", default_value_t = 20)]
    pub series_max_concurrency: usize,
    /// Most series one call may touch; 0 is no limit.
    #[arg(
        long = "store.limits.request-series",
        value_name = "N",
        default_value_t = 0,
        alias = "store.grpc.touched-series-limit"
    )]
    pub request_series: u64,
    /// Most samples one call may touch, counted as 120 a chunk; 0 is no limit.
    #[arg(
        long = "store.limits.request-samples",
        value_name = "N",
        default_value_t = 0,
        alias = "store.grpc.series-sample-limit"
    )]
    pub request_samples: u64,
    /// Most bytes of indexes and chunks one call may read; 0 is no limit.
    #[arg(long = "store.grpc.downloaded-bytes-limit", value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub downloaded_bytes: u64,
    /// Memory for the postings and series that matchers selected, so that the next request with the same matchers need
    /// not read the index; and as much again for parts of indexes, where blocks are read over the network.
    #[arg(long = "index-cache-size", value_name = "SIZE", default_value = "250MB", value_parser = parse_size)]
    pub index_cache_size: u64,
    /// Most memory that all calls together may hold for blocks and answers; 0 is no limit. A call that needs more waits
    /// up to ten seconds for others to end, and then fails with ResourceExhausted. Memory of caches and mapped files is
    /// not counted. Thanos has no such flag.
    #[arg(long = "store.memory-limit", value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub memory_limit: u64,
    /// How long the reader of a Series call may read nothing before the call is ended. Thanos has no such flag.
    #[arg(long = "store.stalled-reader-timeout", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub stalled_reader_timeout: Duration,
}

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
    /// Where queries are evaluated: local is in this process. Thanos's distributed mode is not implemented yet; to be a
    /// leaf of a distributed querier, nothing needs to be set.
    #[arg(long = "query.mode", value_name = "MODE", default_value = "local", value_parser = parse_mode)]
    pub mode: String,
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

/// `tithon tools`.
#[derive(Args, Debug)]
pub struct ToolsFlags {
    #[command(subcommand)]
    pub command: ToolsCommand,
}

/// The tools.
#[derive(Subcommand, Debug)]
pub enum ToolsCommand {
    /// Work on local block directories: inspect, dump, compact, downsample, verify, compare.
    Block(BlockFlags),
    /// Inspect and maintain a bucket.
    Bucket(BucketToolFlags),
    /// Send about 400 requests to a StoreAPI server and print which rules of the protocol its answers keep.
    ///
    /// Works with any server: Tithon's, Thanos's, or another provider of metrics. The exit status is 1 when a rule is
    /// broken.
    StoreapiCheck(StoreapiCheckFlags),
    /// Check rule files: YAML, names, expressions, templates. The exit status is 1 when a file has a mistake.
    RulesCheck(RulesCheckFlags),
    /// Print how each flag of Thanos is supported, as Markdown: docs/flags.md.
    Flags,
    /// Print the completions of a shell, to be sourced or put where the shell looks for them.
    Completions {
        /// bash, zsh, fish, elvish or powershell.
        shell: clap_complete::Shell,
    },
    /// Measure whole processes side by side: this program, an older one, Thanos, Prometheus; and generate blocks for
    /// that.
    Bench(tithon_bench::BenchFlags),
}

/// `tithon tools storeapi-check`.
#[derive(Args, Debug)]
pub struct StoreapiCheckFlags {
    /// Address of the server, host:port.
    #[arg(long = "address", value_name = "HOST:PORT")]
    pub address: String,
    #[command(flatten)]
    pub tls: GrpcClientTlsFlags,
    /// Longest time of a call.
    #[arg(long = "timeout", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Metrics to use in requests; may be given several times. By default some are chosen from the server's data.
    #[arg(long = "metric", value_name = "NAME")]
    pub metrics: Vec<String>,
    /// Format of the report.
    #[arg(long = "output", value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::flags::expand_negations;

    fn parse(line: &str) -> Cli {
        let args = expand_negations(&Cli::command(), line.split(' ').map(str::to_string));
        Cli::try_parse_from(args).unwrap()
    }

    #[test]
    fn command_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn booleans_take_no_forms() {
        let on = |line: &str| match parse(line).command {
            Command::Query(flags) => flags.answers.partial_response,
            other => panic!("{other:?}"),
        };
        assert!(on("tithon query"));
        assert!(!on("tithon query --no-query.partial-response"));
        assert!(!on("tithon query --query.partial-response=false"));
        assert!(on("tithon query --query.partial-response --endpoint=127.0.0.1:10901"));
    }

    #[test]
    fn lists_of_labels_split_at_commas() {
        match parse("tithon query --query.replica-label=a,b, --query.replica-label=c --query.replica-label=a")
            .command
        {
            Command::Query(flags) => {
                let options = crate::query::answer_options(&flags.answers);
                assert_eq!(options.replica_labels, ["a", "b", "c"]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn standalone_listens_on_the_loopback_interface_only() {
        match parse("tithon standalone").command {
            Command::Standalone(flags) => {
                assert_eq!(flags.server.http.http_address.to_string(), "127.0.0.1:10902");
                assert_eq!(flags.server.grpc_address.to_string(), "127.0.0.1:10901");
            }
            other => panic!("{other:?}"),
        }
        match parse("tithon store").command {
            Command::Store(flags) => assert_eq!(flags.server.http.http_address.to_string(), "0.0.0.0:10902"),
            other => panic!("{other:?}"),
        }
    }
}
