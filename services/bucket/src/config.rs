//! The YAML of `--objstore.config`. thanos-io/objstore `client/factory.go`.

use std::path::PathBuf;

use serde::Deserialize;
use tithon_chunks::ErrorKind;

/// Where the blocks are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketConfig {
    /// The root of the bucket on local disk.
    pub directory: PathBuf,
    /// Objects lie below it; empty, or without slashes at its ends.
    pub prefix: String,
}

/// Why a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not YAML, an unknown key, or a value of the wrong type.
    #[error("objstore config: {0}")]
    Yaml(String),
    /// A key that the provider needs.
    #[error("objstore config: {provider}: {key} is missing")]
    Missing {
        /// The provider, in upper case.
        provider: &'static str,
        /// The key's path.
        key: &'static str,
    },
    /// A provider that Thanos has and this build lacks.
    #[error("objstore config: provider {0} is not supported yet, use FILESYSTEM")]
    Unsupported(String),
    /// No provider of Thanos.
    #[error("objstore config: type {0:?} is not a provider")]
    UnknownProvider(String),
    /// A variable that the text refers to and the environment lacks.
    #[error("objstore config: environment variable {0} is not set")]
    Variable(String),
}

impl ConfigError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ConfigError::Unsupported(_) => ErrorKind::Unsupported,
            _ => ErrorKind::Invalid,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(default, rename = "type")]
    provider: String,
    #[serde(default)]
    config: Option<serde_json::Value>,
    #[serde(default)]
    prefix: Option<String>,
}

const OTHER_PROVIDERS: [&str; 9] = ["S3", "GCS", "AZURE", "SWIFT", "COS", "ALIYUNOSS", "BOS", "OCI", "OBS"];

impl BucketConfig {
    /// A bucket in a directory.
    pub fn filesystem(directory: impl Into<PathBuf>) -> BucketConfig {
        BucketConfig { directory: directory.into(), prefix: String::new() }
    }

    /// Reads the YAML. `$(NAME)` is replaced by `variable("NAME")` before. Unknown keys beside `type`, `config` and
    /// `prefix` are errors; those of FILESYSTEM's `config` are ignored, as in Thanos.
    pub fn parse(yaml: &str, variable: impl Fn(&str) -> Option<String>) -> Result<BucketConfig, ConfigError> {
        let text = substitute(yaml, variable)?;
        let envelope: Envelope =
            serde_saphyr::from_str(&text).map_err(|e| ConfigError::Yaml(e.to_string()))?;
        let provider = envelope.provider.to_uppercase();
        match provider.as_str() {
            "FILESYSTEM" => {}
            "" => return Err(ConfigError::Missing { provider: "bucket", key: "type" }),
            other if OTHER_PROVIDERS.contains(&other) => return Err(ConfigError::Unsupported(provider)),
            _ => return Err(ConfigError::UnknownProvider(envelope.provider)),
        }
        let directory = envelope.config.as_ref().and_then(|config| config.get("directory"));
        let missing = ConfigError::Missing { provider: "FILESYSTEM", key: "config.directory" };
        match directory.map(|value| value.as_str()) {
            Some(Some("")) | None => Err(missing),
            Some(None) => Err(ConfigError::Yaml("config.directory is not a string".to_owned())),
            Some(Some(directory)) => {
                let prefix = envelope.prefix.unwrap_or_default().trim_matches('/').to_owned();
                Ok(BucketConfig { directory: directory.into(), prefix })
            }
        }
    }
}

/// Replaces `$(NAME)`; anything else with a dollar stays as it is.
fn substitute(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("$(") {
        out.push_str(before);
        let name_len = behind.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (name, tail) = behind.split_at(name_len);
        match tail.strip_prefix(')') {
            Some(tail) if !name.is_empty() => {
                out.push_str(&variable(name).ok_or_else(|| ConfigError::Variable(name.to_owned()))?);
                rest = tail;
            }
            _ => {
                out.push_str("$(");
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<BucketConfig, String> {
        BucketConfig::parse(yaml, |name| (name == "DIR").then(|| "/d".to_owned())).map_err(|e| e.to_string())
    }

    #[test]
    fn a_filesystem_bucket() {
        let plain = BucketConfig { directory: "/d".into(), prefix: String::new() };
        assert_eq!(parse("type: FILESYSTEM\nconfig:\n  directory: /d\n"), Ok(plain.clone()));
        assert_eq!(parse("type: filesystem\nconfig: {directory: $(DIR), other: 1}\nprefix: '/'"), Ok(plain));
        let prefixed = parse("{type: FILESYSTEM, config: {directory: '$(DIR)/x'}, prefix: /a/b/}").unwrap();
        assert_eq!((prefixed.directory.to_str(), prefixed.prefix.as_str()), (Some("/d/x"), "a/b"));
    }

    #[test]
    fn what_is_refused() {
        let check = |yaml: &str, want: &str| {
            let error = parse(yaml).unwrap_err();
            assert!(error.contains(want), "{yaml:?}: {error}");
        };
        check("type: FILESYSTEM", "config.directory is missing");
        check("type: FILESYSTEM\nconfig: {directory: ''}", "config.directory is missing");
        check("type: FILESYSTEM\nconfig: {directory: [1]}", "config.directory is not a string");
        check("config: {}", "type is missing");
        check("type: S3\nconfig: {bucket: x}", "provider S3 is not supported yet");
        check("type: FLOPPY", "\"FLOPPY\" is not a provider");
        check("type: FILESYSTEM\nprefx: x", "prefx");
        check("type: [", "objstore config: ");
        check("type: $(NOPE)", "NOPE is not set");
    }
}
