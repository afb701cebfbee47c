//! Errors of configurations of buckets.

use tithon_chunks::ErrorKind;
use tithon_runtime::YamlFault;

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
