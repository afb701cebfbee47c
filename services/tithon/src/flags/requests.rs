//! `--store.limits.*` and `--request.logging-config`: what requests may take, and which are logged.

use clap::Args;
use tithon_runtime::{RequestLog, RequestLogError};

use super::{PathOrContentError, path_or_content};

/// What one call may read.
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

/// Which requests are logged.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs and traces")]
pub struct RequestLoggingFlags {
    /// Path of a YAML file that says which requests over HTTP and gRPC are logged, at their start and their end.
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

/// Why requests cannot be logged.
#[derive(Debug, thiserror::Error)]
pub enum RequestLoggingError {
    /// The YAML was given twice, or its file cannot be read.
    #[error(transparent)]
    Content(#[from] PathOrContentError),
    /// The YAML cannot be used.
    #[error("--request.logging-config: {0}")]
    Config(#[from] RequestLogError),
}

impl RequestLoggingFlags {
    /// What they say; none without them.
    pub fn read(&self) -> Result<RequestLog, RequestLoggingError> {
        let yaml =
            path_or_content("request.logging-config", &self.request_log_file, &self.request_log, true)?;
        Ok(RequestLog::parse(&yaml.unwrap_or_default())?)
    }
}
