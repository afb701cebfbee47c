//! The keys of the YAML: those of the envelope, and those of one provider.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tithon_runtime::YamlFault;

use super::error::ConfigError;
use crate::hedge::HedgingConfig;

/// The top-level keys; any others are errors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Envelope<C> {
    #[serde(rename = "type")]
    pub(super) provider: Option<String>,
    config: Option<C>,
    pub(super) prefix: Option<String>,
    pub(super) hedging_config: Option<HedgingConfig>,
}

impl<C: DeserializeOwned> Envelope<C> {
    pub(super) fn read(yaml: &str) -> Result<Envelope<C>, ConfigError> {
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
