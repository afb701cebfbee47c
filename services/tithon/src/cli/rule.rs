//! Flags of `tithon rule` and `tithon tools rules-check`.

use clap::Args;
use tithon_index::Labels;

use crate::cli::ShipperFlags;
use crate::flags::{
    BucketFlags, Duration, Inline, LimitFlags, RequestLoggingFlags, ServerFlags, parse_duration, parse_label,
};

/// `tithon rule`.
#[derive(Args, Debug)]
pub struct RuleFlags {
    #[command(flatten)]
    pub server: ServerFlags,
    #[command(flatten)]
    pub request_logging: RequestLoggingFlags,
    #[command(flatten)]
    pub rules: EvaluationFlags,
    #[command(flatten)]
    pub query: RuleQueryFlags,
    #[command(flatten)]
    pub alert: AlertFlags,
    #[command(flatten)]
    pub storage: LocalStorageFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub shipper: ShipperFlags,
    #[command(flatten)]
    pub limits: LimitFlags,
    /// Where results are kept: all of them, or those that wait for the servers of --remote-write.config.
    #[arg(long = "data-dir", value_name = "DIR", default_value = "data/")]
    pub data_dir: String,
    /// Servers to write results to instead of keeping them locally, as `remote_write` in Prometheus's configuration; $(NAME) is replaced from the
    /// environment.
    #[arg(
        long = "remote-write.config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub remote_write_file: String,
    /// The same YAML given inline.
    #[arg(long = "remote-write.config", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub remote_write: Inline,
    /// Prefix of the paths of the API and the pages. Probes and metrics have none.
    #[arg(long = "web.route-prefix", value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub route_prefix: String,
    /// Do not let pages of other origins read the answers.
    #[arg(long = "web.disable-cors", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub disable_cors: bool,
}

/// Flags of `rule` about results that are kept in its own directory.
#[derive(Args, Debug)]
#[command(next_help_heading = "Local storage")]
pub struct LocalStorageFlags {
    /// The range of time of a block.
    #[arg(long = "tsdb.block-duration", value_name = "DURATION", default_value = "2h", value_parser = parse_duration)]
    pub block_duration: Duration,
    /// A block is deleted when it ends so long before the newest one, uploaded or not; 0 is never.
    #[arg(long = "tsdb.retention", value_name = "DURATION", default_value = "48h", value_parser = parse_duration)]
    pub retention: Duration,
    /// Do not keep other processes away from the directory by a lock on a file.
    #[arg(long = "tsdb.no-lockfile", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub no_lockfile: bool,
    /// Pack the records of the write-ahead log.
    #[arg(long = "tsdb.wal-compression", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub wal_compression: bool,
}

/// Flags of `rule` about rules and their evaluation.
#[derive(Args, Debug)]
pub struct EvaluationFlags {
    /// A label of all results and alerts, NAME="VALUE"; may be given several times.
    #[arg(long = "label", value_name = "NAME=\"VALUE\"", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Rule files, or patterns of their paths; may be given several times.
    #[arg(long = "rule-file", value_name = "PATTERN", default_value = "rules/")]
    pub rule_files: Vec<String>,
    /// Time between two evaluations of groups without an interval of their own.
    #[arg(long = "eval-interval", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub eval_interval: Duration,
    /// How far behind its slot a group is evaluated, unless it has an offset of its own.
    #[arg(long = "rule-query-offset", value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub query_offset: Duration,
    /// Time after which an alert that keeps firing is sent again.
    #[arg(long = "resend-delay", value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub resend_delay: Duration,
    /// Longest outage after which alerts of the previous process are restored.
    #[arg(long = "for-outage-tolerance", value_name = "DURATION", default_value = "1h", value_parser = parse_duration)]
    pub for_outage_tolerance: Duration,
    /// Least time that a restored alert stays pending; alerts of rules with a shorter hold time are not restored.
    #[arg(long = "for-grace-period", value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub for_grace_period: Duration,
    /// A label that queriers add to the alerts of the previous process; may be given several times.
    #[arg(long = "restore-ignored-label", value_name = "NAME")]
    pub restore_ignored_labels: Vec<String>,
    /// Number of rules of a group that are evaluated at the same time, if they do not depend on each other.
    #[arg(long = "rule-concurrent-evaluation", value_name = "N", default_value_t = 1)]
    pub concurrent_evaluations: usize,
    /// Features to enable: promql-experimental-functions, promql-extended-range-selectors. May be given several times.
    #[arg(long = "enable-feature", value_name = "NAME")]
    pub features: Vec<String>,
}

impl EvaluationFlags {
    /// The external labels.
    pub fn external_labels(&self) -> Labels {
        Labels::from_pairs(self.labels.iter().map(|(name, value)| (name, value)))
    }
}

/// Flags of `rule` about queriers.
#[derive(Args, Debug)]
pub struct RuleQueryFlags {
    /// A querier: HOST:PORT, or a URL with a path before its API; a host with dns+, dnssrv+ or dnssrvnoa+ in front is
    /// looked up. May be given several times.
    #[arg(long = "query", value_name = "URL")]
    pub queriers: Vec<String>,
    /// HOST:PORT of a querier that is asked over gRPC when no other answers, or a name with dns+, dnssrv+ or dnssrvnoa+ in front that
    /// is looked up. May be given several times.
    #[arg(long = "grpc-query-endpoint", value_name = "HOST:PORT")]
    pub grpc_queriers: Vec<String>,
    /// A file with queriers, or a pattern of paths; may be given several times.
    #[arg(long = "query.sd-files", value_name = "PATTERN")]
    pub files: Vec<String>,
    /// Queriers with passwords and TLS as YAML; $(NAME) is replaced from the environment.
    #[arg(long = "query.config-file", value_name = "FILE", default_value = "", hide_default_value = true)]
    pub query_config_file: String,
    /// The same YAML given inline.
    #[arg(long = "query.config", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub query_config: Inline,
    /// How often files with queriers are read.
    #[arg(long = "query.sd-interval", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub sd_interval: Duration,
    /// How often DNS names of queriers are looked up.
    #[arg(long = "query.sd-dns-interval", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub query_dns_interval: Duration,
    /// HTTP method of queries.
    #[arg(long = "query.http-method", value_name = "METHOD", default_value = "POST", value_parser = ["POST", "GET"])]
    pub http_method: String,
    /// Step of the queries that restore alerts of the previous process.
    #[arg(long = "query.default-step", value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub default_step: Duration,
    /// Leave out parameters that Prometheus does not know.
    #[arg(long = "query.only-prometheus-params", hide = true, default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub only_prometheus_params: bool,
}

/// Flags of `rule` about alerts.
#[derive(Args, Debug)]
pub struct AlertFlags {
    /// An Alertmanager, http://HOST:PORT/PATH; a URL with dns+, dnssrv+ or dnssrvnoa+ in front has its host looked up.
    /// May be given several times.
    #[arg(long = "alertmanagers.url", value_name = "URL")]
    pub urls: Vec<String>,
    /// Alertmanagers with passwords and TLS as YAML; $(NAME) is replaced from the environment.
    #[arg(
        long = "alertmanagers.config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub alertmanagers_file: String,
    /// The same YAML given inline.
    #[arg(long = "alertmanagers.config", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub alertmanagers: Inline,
    /// Timeout of sending to an Alertmanager of --alertmanagers.url.
    #[arg(long = "alertmanagers.send-timeout", value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub send_timeout: Duration,
    /// How often DNS names of Alertmanagers are looked up.
    #[arg(long = "alertmanagers.sd-dns-interval", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub alertmanagers_dns_interval: Duration,
    /// External URL of the querier, with which links in alerts begin.
    #[arg(long = "alert.query-url", value_name = "URL", default_value = "", hide_default_value = true)]
    pub query_url: String,
    /// Template of the rest of links in alerts; {{.Expr}} is the expression.
    #[arg(
        long = "alert.query-template",
        value_name = "TEMPLATE",
        default_value = "/graph?g0.expr={{.Expr}}&g0.tab=1"
    )]
    pub query_template: String,
    /// A label that is removed from alerts before they are sent; may be given several times.
    #[arg(long = "alert.label-drop", value_name = "NAME")]
    pub label_drop: Vec<String>,
    /// Relabelling of alerts before they are sent, as YAML; $(NAME) is replaced from the environment.
    #[arg(
        long = "alert.relabel-config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub relabel_file: String,
    /// The same YAML given inline.
    #[arg(long = "alert.relabel-config", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub relabel: Inline,
}

/// `tithon tools rules-check`.
#[derive(Args, Debug)]
pub struct RulesCheckFlags {
    /// Rule files, or patterns of their paths; may be given several times.
    #[arg(long = "rules", value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    /// Features that the ruler will have: promql-experimental-functions, promql-extended-range-selectors. May be given several times.
    #[arg(long = "enable-feature", value_name = "NAME")]
    pub features: Vec<String>,
}
