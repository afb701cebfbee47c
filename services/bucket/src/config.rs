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

/// Where the blocks are.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketConfig {
    /// The object store, and how it is reached.
    pub provider: Provider,
    /// Objects lie below it; empty, or without slashes at its ends.
    pub prefix: String,
    /// Requests for ranges that take long are made again.
    pub hedging: HedgingConfig,
}

/// Why a configuration cannot be used. No variant holds a value of a key that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not YAML, an unknown key, or a value of the wrong type.
    #[error("objstore config: {0}")]
    Yaml(YamlFault),
    /// A key that the provider needs.
    #[error("objstore config: {provider}: {key} is missing")]
    Missing {
        /// The provider, in upper case.
        provider: &'static str,
        /// The key's path.
        key: &'static str,
    },
    /// A value that is none of those that the key may have, or keys that do not go together.
    #[error("objstore config: {provider}: {key}: {reason}")]
    Invalid {
        /// The provider, in upper case.
        provider: &'static str,
        /// The key's path.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// What Thanos can and this build cannot.
    #[error("objstore config: {provider}: {key} is not supported: {reason}")]
    Unsupported {
        /// The provider, in upper case.
        provider: &'static str,
        /// The key's path.
        key: &'static str,
        /// Why, and what to do instead.
        reason: &'static str,
    },
    /// No provider of Thanos.
    #[error("objstore config: type {0:?} is not a provider")]
    UnknownProvider(String),
}

impl ConfigError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ConfigError::Unsupported { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Invalid,
        }
    }
}

/// The keys beside `config`; others are errors.
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

/// The keys of one provider: the YAML is read a second time, now that their names are known, so that mistakes in them
/// have a place.
pub(crate) fn read<C: DeserializeOwned + Default>(yaml: &str) -> Result<C, ConfigError> {
    let fault = match Envelope::<C>::read(yaml) {
        Ok(envelope) => return Ok(envelope.config.unwrap_or_default()),
        Err(fault) => fault,
    };
    // In Go a key without a value, such as a template leaves behind, keeps its default.
    let mut config = Envelope::<Value>::read(yaml)?.config.unwrap_or_default();
    remove_nulls(&mut config);
    serde_json::from_value(config).map_err(|_| fault)
}

/// A text up to the line that ends its first document; what is behind it does not count, as in Go.
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

    /// Reads the YAML, in which environment variables have been replaced. Unknown keys beside `type`, `config`, `prefix` and
    /// `hedging_config` are errors; those below `config` are where they are in Thanos: with S3, GCS, AZURE, SWIFT and OBS.
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
