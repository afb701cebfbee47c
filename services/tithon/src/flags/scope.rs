//! `--min-time`, `--max-time` and `--selector.*`: the blocks of a bucket that a process uses.

use std::time::Duration;

use clap::Args;
use tithon_bucket::{SelectorError, parse_selector};
use tithon_engine::plan::{Scope, TimeBound};
use tithon_engine::relabel::RelabelStep;

use super::{PathOrContentError, parse_time, path_or_content};

/// Flags of `store` and `compact` that choose blocks.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which blocks")]
pub struct ScopeFlags {
    /// Only blocks that end at or after it: RFC 3339, or a duration from now such as -2w.
    #[arg(long = "min-time", value_name = "TIME", default_value = "0000-01-01T00:00:00Z", value_parser = parse_time,
          allow_hyphen_values = true)]
    pub min_time: TimeBound,
    /// Only blocks that begin at or before it.
    #[arg(long = "max-time", value_name = "TIME", default_value = "9999-12-31T23:59:59Z", value_parser = parse_time,
          allow_hyphen_values = true)]
    pub max_time: TimeBound,
    #[command(flatten)]
    pub selector: SelectorFlags,
}

/// `--selector.*`: relabelling steps that choose blocks, or stores, by their external labels.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which blocks")]
pub struct SelectorFlags {
    /// Path of a YAML file with relabelling steps (keep, drop, hashmod) that choose blocks by their external labels.
    #[arg(
        long = "selector.relabel-config-file",
        value_name = "FILE",
        default_value = "",
        hide_default_value = true
    )]
    relabel_config_file: String,
    /// The same YAML given inline.
    #[arg(
        long = "selector.relabel-config",
        value_name = "YAML",
        default_value = "",
        hide_default_value = true
    )]
    relabel_config: String,
}

impl SelectorFlags {
    /// The relabelling steps.
    pub fn read(&self) -> Result<Vec<RelabelStep>, ScopeError> {
        let name = "selector.relabel-config";
        let rules = path_or_content(name, &self.relabel_config_file, &self.relabel_config, true)?;
        Ok(parse_selector(&rules.unwrap_or_default())?)
    }
}

/// Why the flags cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScopeError {
    /// The time range is empty.
    #[error("--min-time must not be after --max-time")]
    Range,
    /// The YAML was given twice, or its file cannot be read.
    #[error(transparent)]
    Content(#[from] PathOrContentError),
    /// The YAML is invalid.
    #[error("--selector.{0}")]
    Selector(#[from] SelectorError),
}

impl ScopeFlags {
    /// The scope that the flags describe. `replica_labels` are removed before labels are matched; blocks younger than
    /// the delay are left alone.
    pub fn read(&self, replica_labels: &[String], consistency_delay: Duration) -> Result<Scope, ScopeError> {
        let now_ms = tithon_runtime::now_ms();
        let (min, max) = (self.min_time, self.max_time);
        if min.at_ms(now_ms) > max.at_ms(now_ms) {
            return Err(ScopeError::Range);
        }
        Ok(Scope {
            min_time: min,
            max_time: max,
            replica_labels: replica_labels.to_vec(),
            rules: self.selector.read()?,
            consistency_delay_ms: i64::try_from(consistency_delay.as_millis()).unwrap_or(i64::MAX),
        })
    }
}
