//! The YAML of `--tracing.config`. Thanos `pkg/tracing/client/factory.go`.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tithon_runtime::{TlsError, YamlFault};

use crate::export::Target;
use crate::jaeger::Jaeger;
use crate::otlp::{Lightstep, Otlp};
use crate::sampler::Sampling;

/// The selection of spans to send, and their destination.
#[derive(Debug)]
pub struct Plan {
    pub(crate) service_name: String,
    /// Attributes of all spans.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) sampling: Sampling,
    /// The collector; `None` sends no spans.
    pub(crate) target: Option<Target>,
    /// Largest number of waiting spans; further ones are dropped.
    pub(crate) queue_spans: Option<usize>,
    /// Time between two batches.
    pub(crate) flush_interval: Option<Duration>,
    /// Differences from what the configuration asks for, to be logged.
    pub notes: Vec<String>,
}

/// Why tracing cannot start, or spans were lost.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The text is not YAML of the expected form.
    #[error("{0}")]
    Yaml(YamlFault),
    /// The type is none of Thanos's.
    #[error("type {0:?}: expected OTLP, JAEGER, GOOGLE_CLOUD, STACKDRIVER, ELASTIC_APM or LIGHTSTEP")]
    Type(String),
    /// A setting has an invalid value.
    #[error("config.{key}: {reason}")]
    Setting {
        /// The key.
        key: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// The TLS files cannot be used.
    #[error("config.tls_config: {0}")]
    Tls(#[from] TlsError),
    /// The collector's client cannot be made.
    #[error("client of the collector: {0}")]
    Client(String),
    /// The thread that sends spans cannot be started.
    #[error("thread that sends spans: {0}")]
    Runtime(std::io::Error),
    /// The last spans could not be sent.
    #[error("the last spans were not sent: {0}")]
    Unsent(String),
}

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

/// A duration in Go's YAML: a number of nanoseconds, or a text such as `5s`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct GoDuration(Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Nanos(u64),
    Text(String),
}

impl TryFrom<Written> for GoDuration {
    type Error = String;

    fn try_from(written: Written) -> Result<GoDuration, String> {
        match written {
            Written::Nanos(nanos) => Ok(GoDuration(Duration::from_nanos(nanos))),
            Written::Text(text) => humantime::parse_duration(&text)
                .map(GoDuration)
                .map_err(|_| "expected a duration such as 5s".to_owned()),
        }
    }
}

impl GoDuration {
    /// The duration; `None` for zero, which means the default.
    pub(crate) fn given(self) -> Option<Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
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

    #[test]
    fn durations_are_texts_or_nanoseconds() {
        let read = |yaml: &str| serde_saphyr::from_str::<GoDuration>(yaml).unwrap().given();
        assert_eq!(read("5s"), Some(Duration::from_secs(5)));
        assert_eq!(read("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(read("1000000000"), Some(Duration::from_secs(1)));
        assert_eq!(read("0"), None);
        assert!(serde_saphyr::from_str::<GoDuration>("soon").is_err());
    }
}
