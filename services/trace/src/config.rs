//! The YAML of `--tracing.config`. Thanos `pkg/tracing/client/factory.go`.

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tithon_runtime::YamlFault;

use crate::error::TraceError;
use crate::jaeger::Jaeger;
use crate::otlp::{Lightstep, Otlp};
use crate::plan::Plan;
use crate::sampler::Sampling;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outer {
    r#type: String,
    #[serde(default, rename = "config")]
    _config: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Inner<T> {
    #[serde(default = "Option::default")]
    config: Option<T>,
}

/// The settings of a type that is accepted but sends no spans.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    service_name: String,
}

impl Plan {
    /// Parses the YAML. The type is case-insensitive. Unknown keys in the type's settings are ignored, as in Thanos.
    pub fn parse(yaml: &str) -> Result<Plan, TraceError> {
        let outer: Outer = read(yaml)?;
        match outer.r#type.to_ascii_uppercase().as_str() {
            "OTLP" => settings::<Otlp>(yaml)?.plan(),
            "JAEGER" => settings::<Jaeger>(yaml)?.plan(),
            "LIGHTSTEP" => settings::<Lightstep>(yaml)?.plan(),
            "GOOGLE_CLOUD" | "STACKDRIVER" => Ok(settings::<Named>(yaml)?.silent(
                "Google Cloud is not supported: use a collector that forwards spans, with type OTLP",
            )),
            "ELASTIC_APM" => Ok(settings::<Named>(yaml)?.silent(
                "the agent's protocol is not supported: the APM server takes OTLP too, use type OTLP",
            )),
            _ => Err(TraceError::Type(outer.r#type)),
        }
    }

    /// Sets the service's name, unless the configuration has one.
    pub fn or_named(mut self, name: &str) -> Plan {
        if self.service_name.is_empty() {
            self.service_name = name.to_owned();
        }
        self
    }
}

impl Named {
    fn silent(self, why: &str) -> Plan {
        Plan {
            service_name: self.service_name,
            attributes: Vec::new(),
            sampling: Sampling::Never,
            target: None,
            queue_spans: None,
            flush_interval: None,
            notes: vec![format!("no spans are sent: {why}")],
        }
    }
}

fn read<T: DeserializeOwned>(yaml: &str) -> Result<T, TraceError> {
    serde_saphyr::from_str(yaml).map_err(|e| TraceError::Yaml(YamlFault::new(yaml, &e)))
}

fn settings<T: DeserializeOwned + Default>(yaml: &str) -> Result<T, TraceError> {
    Ok(read::<Inner<T>>(yaml)?.config.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_in_any_case_and_wrong_ones_told() {
        assert!(Plan::parse("type: otlp\nconfig: {client_type: grpc, endpoint: 'h:4317'}").is_ok());
        for (yaml, expected) in [
            ("type: ZIPKIN", "type \"ZIPKIN\": expected OTLP"),
            ("type: OTLP\nkonfig: {}", "line 2, column 1, key \"konfig\": unknown field"),
            ("type: OTLP", "config.client_type: \"\": expected grpc or http"),
            ("config: {}", "missing field `type`"),
        ] {
            let error = Plan::parse(yaml).unwrap_err().to_string();
            assert!(error.contains(expected), "{yaml}: {error}");
        }
    }

    #[test]
    fn what_is_not_spoken_is_said_and_starts() {
        for kind in ["GOOGLE_CLOUD", "stackdriver", "ELASTIC_APM"] {
            let plan =
                Plan::parse(&format!("type: {kind}\nconfig: {{service_name: x, sample_factor: 3}}")).unwrap();
            assert!(plan.target.is_none() && plan.notes[0].starts_with("no spans are sent"), "{kind}");
        }
    }
}
