//! Flags of `tithon sidecar`.

use std::path::PathBuf;

use clap::Args;
use tithon_engine::plan::TimeBound;
use tithon_sidecar::Url;

use crate::flags::{
    BucketFlags, Duration, LimitFlags, RequestLoggingFlags, ServerFlags, parse_duration, parse_time,
};

/// `tithon sidecar`.
#[derive(Args, Debug)]
pub struct SidecarFlags {
    #[command(flatten)]
    pub server: ServerFlags,
    #[command(flatten)]
    pub bucket: BucketFlags,
    #[command(flatten)]
    pub prometheus: PrometheusFlags,
    #[command(flatten)]
    pub reloader: ReloaderFlags,
    #[command(flatten)]
    pub shipper: ShipperFlags,
    #[command(flatten)]
    pub limits: LimitFlags,
    #[command(flatten)]
    pub request_logging: RequestLoggingFlags,
    /// Samples before this are not served: 2024-05-01T00:00:00Z, or relative to now such as -2w.
    #[arg(long = "min-time", value_name = "TIME", default_value = "0000-01-01T00:00:00Z", value_parser = parse_time,
          allow_hyphen_values = true)]
    pub min_time: TimeBound,
}

/// Flags of `sidecar` for its Prometheus.
#[derive(Args, Debug)]
#[command(next_help_heading = "Prometheus")]
pub struct PrometheusFlags {
    /// URL of Prometheus, with the path before its API if it has one.
    #[arg(long = "prometheus.url", value_name = "URL", default_value = "http://localhost:9090", value_parser = parse_url)]
    pub url: Url,
    /// How long to wait for Prometheus before giving up on uploads.
    #[arg(long = "prometheus.ready_timeout", value_name = "DURATION", default_value = "10m", value_parser = parse_duration)]
    pub ready_timeout: Duration,
    /// How often Prometheus is asked for its external labels and its oldest sample.
    #[arg(long = "prometheus.get_config_interval", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub get_config_interval: Duration,
    /// Timeout of these calls.
    #[arg(long = "prometheus.get_config_timeout", value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub get_config_timeout: Duration,
    /// YAML file with passwords, tokens and TLS for Prometheus, as Thanos reads it.
    #[arg(
        long = "prometheus.http-client-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub http_client_file: String,
    /// The same YAML given inline.
    #[arg(
        long = "prometheus.http-client",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    pub http_client: String,
    /// Data directory of Prometheus, whose blocks are uploaded.
    #[arg(long = "tsdb.path", value_name = "DIR", default_value = "./data")]
    pub tsdb_path: PathBuf,
}

/// Flags of `sidecar` for files that Prometheus reads again when they change.
#[derive(Args, Debug)]
#[command(next_help_heading = "Reloader")]
pub struct ReloaderFlags {
    /// Configuration file to watch.
    #[arg(long = "reloader.config-file", value_name = "FILE", default_value = "", hide_default_value = true)]
    pub watched_config_file: String,
    /// File to which the configuration is written with $(NAME) replaced from the environment.
    #[arg(
        long = "reloader.config-envsubst-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub expanded_file: String,
    /// Folder of rule files to watch, with its subfolders; may be given several times.
    #[arg(long = "reloader.rule-dir", value_name = "DIR")]
    pub rule_dirs: Vec<PathBuf>,
    /// How often the contents of the files are read; changes of their times are seen within a second. 0 reads them
    /// once.
    #[arg(long = "reloader.watch-interval", value_name = "DURATION", default_value = "3m", value_parser = parse_duration)]
    pub watch_interval: Duration,
    /// Time between two attempts when Prometheus does not accept the files.
    #[arg(long = "reloader.retry-interval", value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub retry_interval: Duration,
    /// How Prometheus is told to reload: http (it must run with --web.enable-lifecycle) or signal.
    #[arg(long = "reloader.method", value_name = "METHOD", default_value = "http", value_parser = ["http", "signal"])]
    pub method: String,
    /// Name of the program that receives the signal.
    #[arg(long = "reloader.process-name", value_name = "NAME", default_value = "prometheus")]
    pub process_name: String,
}

/// Flags of `sidecar` and `rule` about uploads.
#[derive(Args, Debug)]
#[command(next_help_heading = "Uploads")]
pub struct ShipperFlags {
    /// Also upload blocks that Prometheus compacted; for migrating to a bucket once.
    #[arg(long = "shipper.upload-compacted", default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub upload_compacted: bool,
    /// Accept a Prometheus that compacts its blocks, although uploads may then come too late.
    #[arg(long = "shipper.ignore-unequal-block-size", hide = true, default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub ignore_unequal_block_size: bool,
    /// Upload newer blocks even if an older one cannot be uploaded.
    #[arg(long = "shipper.allow-out-of-order-uploads", hide = true, default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub allow_out_of_order: bool,
    /// Skip blocks that cannot be read.
    #[arg(long = "shipper.skip-corrupted-blocks", hide = true, default_value_t = false, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub skip_corrupted: bool,
    /// Name of the file in the data directory that lists the uploaded blocks.
    #[arg(long = "shipper.meta-file-name", value_name = "NAME", default_value = "thanos.shipper.json")]
    pub state_file: String,
    /// Number of files of a block uploaded at the same time; 0 is one.
    #[arg(long = "shipper.upload-concurrency", value_name = "N", default_value_t = 0)]
    pub upload_concurrency: usize,
    /// SHA256 adds a hash of each file to meta.json.
    #[arg(long = "hash-func", value_name = "NAME", default_value = "", hide_default_value = true, value_parser = ["", "SHA256"])]
    pub hash_func: String,
}

fn parse_url(text: &str) -> Result<Url, String> {
    let bad = || format!("expected a URL such as http://localhost:9090, found {text:?}");
    let url = Url::parse(text).map_err(|_| bad())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(bad()) }
}
