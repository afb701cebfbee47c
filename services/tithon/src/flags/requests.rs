//! `--store.limits.*` and `--request.logging-config`: limits of requests, and which of them are logged.

use clap::Args;
use tithon_runtime::{RequestLog, RequestLogError};

use super::{PathOrContentError, path_or_content};

/// Limits of one call.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub struct LimitFlags {
    /// Most series that one selection may read; 0 is no limit.
    #[arg(long = "store.limits.request-series", value_name = "N", default_value_t = 0)]
    pub request_series: u64,
    /// Most samples that one selection may read, counted as 120 a chunk; 0 is no limit.
    #[arg(long = "store.limits.request-samples", value_name = "N", default_value_t = 0)]
    pub request_samples: u64,
}

/// Flags of request logging.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs and traces")]
pub struct RequestLoggingFlags {
    /// Path of a YAML file that configures which HTTP and gRPC requests are logged, at their start and end.
    #[arg(
        long = "request.logging-config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    request_log_file: String,
    /// The same YAML given inline.
    #[arg(
        long = "request.logging-config",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    request_log: String,
}

/// Why the logging configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RequestLoggingError {
    /// The YAML was given twice, or its file cannot be read.
    #[error(transparent)]
    Content(#[from] PathOrContentError),
    /// The YAML is invalid.
    #[error("--request.logging-config: {0}")]
    Config(#[from] RequestLogError),
}

impl RequestLoggingFlags {
    /// The configuration; without flags nothing is logged.
    pub fn read(&self) -> Result<RequestLog, RequestLoggingError> {
        let yaml =
            path_or_content("request.logging-config", &self.request_log_file, &self.request_log, true)?;
        Ok(RequestLog::parse(&yaml.unwrap_or_default())?)
    }
}
