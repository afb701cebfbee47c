//! The YAML of `--objstore.config`. thanos-io/objstore `client/factory.go`.

use std::path::PathBuf;

use serde::Deserialize;
use tithon_chunks::ErrorKind;
use tithon_runtime::YamlFault;

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
    Yaml(YamlFault),
    /// A key whose value is a list or a structure.
    #[error("objstore config: {0} is not a string")]
    NotText(&'static str),
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

    /// Reads the YAML, in which environment variables have been replaced. Unknown keys beside `type`, `config` and
    /// `prefix` are errors; those of FILESYSTEM's `config` are ignored, as in Thanos.
    pub fn parse(yaml: &str) -> Result<BucketConfig, ConfigError> {
        let envelope: Envelope =
            serde_saphyr::from_str(yaml).map_err(|e| ConfigError::Yaml(YamlFault::new(yaml, &e)))?;
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
            Some(None) => Err(ConfigError::NotText("config.directory")),
            Some(Some(directory)) => {
                let prefix = envelope.prefix.unwrap_or_default().trim_matches('/').to_owned();
                Ok(BucketConfig { directory: directory.into(), prefix })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<BucketConfig, String> {
        BucketConfig::parse(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn a_filesystem_bucket() {
        let plain = BucketConfig { directory: "/d".into(), prefix: String::new() };
        assert_eq!(parse("type: FILESYSTEM\nconfig:\n  directory: /d\n"), Ok(plain.clone()));
        assert_eq!(parse("type: filesystem\nconfig: {directory: /d, other: 1}\nprefix: '/'"), Ok(plain));
        let prefixed = parse("{type: FILESYSTEM, config: {directory: /d/x}, prefix: /a/b/}").unwrap();
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
    }

    /// A mistake is told by its place and key; neither the secret beside it nor the text is.
    #[test]
    fn mistakes_do_not_tell_secrets() {
        for (yaml, parts) in [
            ("type: S3\nconfig:\n  secret_key: hunter2\n bucket: x\n", &["line "][..]),
            ("type: S3\nconfig:\n  secret_key: 'hunter2\n", &["line "]),
            ("type: S3\nconfig: {secret_key: hunter2\n", &["line "]),
            ("type: [hunter2]\n", &["line 1, column ", "key \"type\""]),
            ("type: FILESYSTEM\nprefix: {secret: hunter2}\n", &["line 2, column ", "key \"prefix\""]),
            ("type: S3\nsecret_kee: hunter2\n", &["line 2, column ", "unknown field", "secret_kee"]),
            ("type: S3\ntype: hunter2\n", &["line 2, column "]),
            ("{type: S3, secret_key hunter2}", &["line 1, column "]),
            ("hunter2", &["objstore config: "]),
            ("- hunter2\n- hunter2", &["objstore config: "]),
            ("type: S3\nconfig: &a\n  x: *hunter2\n", &["objstore config: "]),
            ("%hunter2\n---\ntype: S3", &["objstore config: "]),
        ] {
            let error = BucketConfig::parse(yaml).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(!told.contains("hunter"), "{yaml:?}: {told}");
            assert!(parts.iter().all(|part| told.contains(part)), "{yaml:?}: {told}");
        }
    }
}
