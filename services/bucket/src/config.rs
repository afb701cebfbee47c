//! The YAML of `--objstore.config`: an envelope that names the provider, and the provider's own keys. thanos-io/objstore
//! `client/factory.go`.

mod http;

mod size;
mod span;

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use tithon_chunks::ErrorKind;
use tithon_runtime::YamlFault;

pub use self::http::{HttpConfig, TlsConfig};
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

/// Why a configuration is invalid. No variant holds a value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not YAML, an unknown key, or a value of the wrong type.
    #[error("objstore config: {0}")]
    Yaml(YamlFault),
    /// A required key is missing.
    #[error("objstore config: {provider}: {key} is missing")]
    Missing {
        /// The provider, in upper case.
        provider: &'static str,
        /// The key's path.
        key: &'static str,
    },
    /// A key has an invalid value, or keys exclude each other.
    #[error("objstore config: {provider}: {key}: {reason}")]
    Invalid {
        /// The provider, in upper case.
        provider: &'static str,
        /// The key's path.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Thanos supports the setting, but this build does not.
    #[error("objstore config: {provider}: {key} is not supported: {reason}")]
    Unsupported {
        /// The provider, in upper case.
        provider: &'static str,
        /// The key's path.
        key: &'static str,
        /// Why, and what to use instead.
        reason: &'static str,
    },
    /// The type is none of Thanos's providers.
    #[error("objstore config: type {0:?} is not a provider")]
    UnknownProvider(String),
}

impl ConfigError {
    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ConfigError::Unsupported { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Invalid,
        }
    }
}

/// The top-level keys; any others are errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<C> {
    #[serde(rename = "type")]
    provider: Option<String>,
    config: Option<C>,
    prefix: Option<String>,
    hedging_config: Option<HedgingConfig>,
}

impl<C: DeserializeOwned> Envelope<C> {
    fn read(yaml: &str) -> Result<Envelope<C>, ConfigError> {
        serde_saphyr::from_str(yaml).map_err(|error| ConfigError::Yaml(YamlFault::new(yaml, &error)))
    }
}

/// Parses the keys of one provider. The YAML is parsed a second time, with the provider's keys known, so that errors
/// have a position.
pub(crate) fn read<C: DeserializeOwned + Default>(yaml: &str) -> Result<C, ConfigError> {
    let fault = match Envelope::<C>::read(yaml) {
        Ok(envelope) => return Ok(envelope.config.unwrap_or_default()),
        Err(fault) => fault,
    };
    // In Go a key without a value keeps its default; templates often leave such keys.
    let mut config = Envelope::<Value>::read(yaml)?.config.unwrap_or_default();
    remove_nulls(&mut config);
    serde_json::from_value(config).map_err(|_| fault)
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

fn remove_nulls(value: &mut Value) {
    if let Value::Object(keys) = value {
        keys.retain(|_, value| !value.is_null());
        keys.values_mut().for_each(remove_nulls);
    }
}

/// Fails with the first key of `keys` whose value is empty.
pub(crate) fn require(provider: &'static str, keys: &[(&'static str, bool)]) -> Result<(), ConfigError> {
    match keys.iter().find(|(_, is_empty)| *is_empty) {
        Some((key, _)) => Err(ConfigError::Missing { provider, key }),
        None => Ok(()),
    }
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
