//! Flags that several subcommands share, with Thanos's names, defaults and units.

mod arguments;
mod caches;
mod choice;
mod duration;
mod label;
mod listen;
mod matchers;
mod negation;
mod path_or_content;
mod policy;
mod requests;
mod scope;
mod tenancy;
mod thanos;
mod time;
mod tls;
mod tracing;
mod usage;
mod web;

use clap::Args;
pub use tithon_bucket::parse_size;

pub use self::arguments::{Asked, read_arguments};
pub use self::caches::CacheFlags;
pub use self::choice::{
    Mode, Packed, compact_algorithm, connection_label, grpc_compression, parse_log_format, query_mode,
    replica_rule, verify,
};
pub use self::duration::{Duration, parse_duration};
pub use self::label::parse_label;
pub use self::listen::{ListenAddress, parse_address};
pub use self::matchers::parse_matchers;
pub use self::negation::expand_negations;
pub use self::path_or_content::{PathOrContentError, path_or_content};
pub use self::policy::{PolicyError, read_policy};
pub use self::requests::{LimitFlags, RequestLoggingFlags};
pub use self::scope::{ScopeError, ScopeFlags, SelectorFlags};
pub use self::tenancy::TenancyFlags;
pub use self::thanos::{components_with, page};
pub use self::time::parse_time;
pub use self::tls::{GrpcClientTlsFlags, GrpcServerTlsFlags};
pub use self::tracing::TracingFlags;
pub use self::usage::UsageError;
pub use self::web::{BlocksWebFlags, QueryWebFlags};

/// `--log.*`: log lines on standard error.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs and traces")]
pub struct LogFlags {
    /// Least severe level that is logged: error, warn, info or debug.
    #[arg(long = "log.level", default_value = "info", global = true, value_name = "LEVEL",
          value_parser = ["error", "warn", "info", "debug"])]
    pub level: String,
    /// Format of log lines: logfmt (readable text) or json.
    #[arg(long = "log.format", default_value = "logfmt", global = true, value_name = "FORMAT",
          value_parser = parse_log_format)]
    pub format: String,
    /// A name at the start of each line, after time and place.
    #[arg(long = "debug.name", default_value = "", global = true, value_name = "NAME", hide = true)]
    pub debug_name: String,
}

/// `--http-*` and `--grpc-*`: the addresses of a server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Servers")]
pub struct ServerFlags {
    #[command(flatten)]
    pub http: HttpFlags,
    /// Listen address of gRPC: StoreAPI, Info, health, reflection.
    #[arg(long = "grpc-address", value_name = "ADDR", default_value = "0.0.0.0:10901", value_parser = parse_address)]
    pub grpc_address: ListenAddress,
    /// How long calls in progress may continue after a signal; 0 ends them at once.
    #[arg(long = "grpc-grace-period", value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub grpc_grace_period: Duration,
    /// Time after which clients are asked to reconnect, so that load spreads over replicas; 0 is never.
    #[arg(long = "grpc-server-max-connection-age", value_name = "DURATION", default_value = "60m",
          value_parser = parse_duration)]
    pub grpc_max_connection_age: Duration,
    #[command(flatten)]
    pub grpc_tls: GrpcServerTlsFlags,
}

/// `--http-*`: address and access control of HTTP.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Servers")]
pub struct HttpFlags {
    /// Listen address of HTTP: API, probes, metrics. Without a host (":10902"), all interfaces.
    #[arg(long = "http-address", value_name = "ADDR", default_value = "0.0.0.0:10902", value_parser = parse_address)]
    pub http_address: ListenAddress,
    /// How long requests in progress may continue after a signal; 0 ends them at once.
    #[arg(long = "http-grace-period", value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub http_grace_period: Duration,
    /// File with TLS, passwords, headers and rate limit of HTTP, in the format of Prometheus's web configuration;
    /// changes apply at once.
    #[arg(long = "http.config", value_name = "FILE", default_value = "", hide_default_value = true)]
    pub http_config: String,
}

/// YAML given inline. It may contain secrets, so `Debug` shows only its length.
#[derive(Clone, Default)]
pub struct Inline(pub String);

impl From<String> for Inline {
    fn from(yaml: String) -> Inline {
        Inline(yaml)
    }
}

impl std::fmt::Debug for Inline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// `--objstore.config` and `--objstore.config-file`: the configuration of the bucket.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Bucket")]
pub struct BucketFlags {
    /// Path of a YAML file with the configuration of the bucket, in Thanos's format; $(NAME) is replaced from the
    /// environment.
    #[arg(long = "objstore.config-file", value_name = "FILE", default_value = "", hide_default_value = true)]
    pub config_file: String,
    /// The same YAML given inline, such as 'type: FILESYSTEM' with 'config: {directory: /var/blocks}'.
    #[arg(long = "objstore.config", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub config: Inline,
}

impl BucketFlags {
    /// Whether one of the flags was given.
    pub fn is_given(&self) -> bool {
        !self.config.0.is_empty() || !self.config_file.is_empty()
    }

    /// The pair of flags.
    pub fn given(&self) -> GivenBucket<'_> {
        GivenBucket { flag: "objstore", config_file: &self.config_file, config: &self.config.0 }
    }
}

/// `--objstore-to.config` and `--objstore-to.config-file`: the bucket to copy blocks to.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Bucket")]
pub struct ToBucketFlags {
    /// Path of a YAML file with the configuration of the bucket to copy blocks to.
    #[arg(
        long = "objstore-to.config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub to_config_file: String,
    /// The same YAML given inline.
    #[arg(long = "objstore-to.config", value_name = "YAML", default_value = "", hide_default_value = true)]
    pub to_config: Inline,
}

impl ToBucketFlags {
    /// The pair of flags.
    pub fn given(&self) -> GivenBucket<'_> {
        let (config_file, config) = (&self.to_config_file, &self.to_config.0);
        GivenBucket { flag: "objstore-to", config_file, config }
    }
}

/// `--objstore-backup.config` and `--objstore-backup.config-file`: the bucket to copy blocks to before they are
/// deleted.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Bucket")]
pub struct BackupBucketFlags {
    /// Path of a YAML file with the configuration of the bucket to copy blocks to before they are deleted.
    #[arg(
        long = "objstore-backup.config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    pub backup_config_file: String,
    /// The same YAML given inline.
    #[arg(
        long = "objstore-backup.config",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    pub backup_config: Inline,
}

impl BackupBucketFlags {
    /// The pair of flags.
    pub fn given(&self) -> GivenBucket<'_> {
        let (config_file, config) = (&self.backup_config_file, &self.backup_config.0);
        GivenBucket { flag: "objstore-backup", config_file, config }
    }
}

/// A pair of flags that configures a bucket.
#[derive(Clone, Copy)]
pub struct GivenBucket<'f> {
    /// Name of the pair without `.config`.
    pub flag: &'static str,
    config_file: &'f str,
    config: &'f str,
}

impl GivenBucket<'_> {
    /// The flag that was given, with the file's path.
    pub fn origin(&self) -> String {
        match self.config_file {
            "" => format!("--{}.config", self.flag),
            path => format!("--{}.config-file={path}", self.flag),
        }
    }

    /// The YAML from the flag that was given; `None` when neither was. Fails when both were, or the file cannot be
    /// read.
    pub fn content(&self) -> Result<Option<String>, PathOrContentError> {
        path_or_content(&format!("{}.config", self.flag), self.config_file, self.config, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_configuration_is_not_shown_and_expanded_once() {
        let flags = BucketFlags {
            config: "key: hunter2 $(CARGO_PKG_NAME)".to_owned().into(),
            ..BucketFlags::default()
        };
        assert!(!format!("{flags:?}").contains("hunter2"), "{flags:?}");
        assert_eq!(flags.given().content().unwrap().unwrap(), "key: hunter2 tithon");
    }
}
