//! The YAML of `--objstore.config`: an envelope that names the provider, and the provider's own keys. thanos-io/objstore
//! `client/factory.go`.

mod error;
mod http;
mod keys;
mod size;
mod span;

use std::path::PathBuf;

use serde::de::IgnoredAny;

pub use self::error::ConfigError;
pub use self::http::{HttpConfig, TlsConfig};
use self::keys::Envelope;
pub(crate) use self::keys::{read, require};
pub use self::size::{Size, parse_size};
pub use self::span::Span;
use crate::hedge::HedgingConfig;
use crate::provider::{FilesystemConfig, Provider};
pub use tithon_runtime::Secret;

/// The configuration of a bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketConfig {
    /// The object store and its settings.
    pub provider: Provider,
    /// Prefix of all keys; empty, or without slashes at its ends.
    pub prefix: String,
    /// Hedging of slow range requests.
    pub hedging: HedgingConfig,
}

/// Cuts a text after its first YAML document; later documents are ignored, as in Go.
fn first_document(yaml: &str) -> &str {
    let (mut at, mut begun) = (0, false);
    for line in yaml.split_inclusive('\n') {
        let is_separator = matches!(line.trim_end(), "---" | "...");
        if is_separator && begun {
            return &yaml[..at];
        }
        begun |= !is_separator && !line.trim().is_empty() && !line.starts_with(['#', '%']);
        at += line.len();
    }
    yaml
}

impl BucketConfig {
    /// A bucket in a directory.
    pub fn filesystem(directory: impl Into<PathBuf>) -> BucketConfig {
        let provider = Provider::Filesystem(FilesystemConfig { directory: directory.into() });
        BucketConfig { provider, prefix: String::new(), hedging: HedgingConfig::default() }
    }

    /// Parses the YAML, in which environment variables are already replaced. Unknown top-level keys are errors; unknown
    /// keys below `config` are errors where they are in Thanos: with S3, GCS, AZURE, SWIFT and OBS.
    pub fn parse(yaml: &str) -> Result<BucketConfig, ConfigError> {
        let yaml = first_document(yaml);
        let envelope = Envelope::<IgnoredAny>::read(yaml)?;
        let name = envelope.provider.unwrap_or_default();
        let provider = Provider::read(&name, yaml)?;
        let prefix = envelope.prefix.unwrap_or_default().trim_matches('/').to_owned();
        let hedging = envelope.hedging_config.unwrap_or_default();
        hedging.check()?;
        Ok(BucketConfig { provider, prefix, hedging })
    }
}

#[cfg(test)]
mod tests;
