//! `--tracing.config`: which spans are sent, and where to.

use clap::Args;
use tithon_trace::{Plan, TraceError};

use super::{PathOrContentError, path_or_content};

/// Flags of tracing.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs and traces")]
pub struct TracingFlags {
    /// Path of a YAML file that configures where spans of requests are sent (OTLP), and how they are sampled.
    #[arg(
        long = "tracing.config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true,
        global = true
    )]
    tracing_file: String,
    /// The same YAML given inline.
    #[arg(
        long = "tracing.config",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true,
        global = true
    )]
    tracing: String,
}

/// Why tracing cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TracingFlagsError {
    /// The YAML was given twice, or its file cannot be read.
    #[error(transparent)]
    Content(#[from] PathOrContentError),
    /// The YAML is invalid.
    #[error("--tracing.config: {0}")]
    Config(#[from] TraceError),
}

impl TracingFlags {
    /// The configuration; `None` without flags. If it has no service name, that is `tithon-` and `component`.
    pub fn read(&self, component: &str) -> Result<Option<Plan>, TracingFlagsError> {
        let yaml = path_or_content("tracing.config", &self.tracing_file, &self.tracing, true)?;
        let plan = yaml.filter(|yaml| !yaml.trim().is_empty()).map(|yaml| Plan::parse(&yaml)).transpose()?;
        Ok(plan.map(|plan| plan.or_named(&format!("tithon-{component}"))))
    }
}
