//! Logging of requests, configured by `--request.logging-config`. Thanos `pkg/logging`, `docs/logging.md`.

mod grpc;
mod http;

use std::sync::Arc;

use serde::Deserialize;

pub(crate) use self::grpc::LoggedCall;
pub(crate) use self::http::log_request;
use crate::YamlFault;

/// Decides which requests are logged. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct RequestLog(Arc<Choice>);

#[derive(Debug, Default)]
struct Choice {
    http: Decision,
    /// Paths and ports whose requests are logged; an empty list means all.
    paths: Vec<(String, u16)>,
    grpc: Decision,
    /// Methods whose calls are logged, as `/service/method`; an empty list means all.
    methods: Vec<String>,
}

/// When a request is logged, and at which level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Decision {
    at_start: bool,
    at_end: bool,
    /// Whether lines of level debug are written, which are those of successful requests.
    with_debug: bool,
}

/// Why a logging configuration is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestLogError {
    /// The text is not YAML of the expected form.
    #[error("{0}")]
    Yaml(YamlFault),
    /// A level does not exist.
    #[error("{place}: level {level:?}: expected INFO, DEBUG, WARNING or ERROR")]
    Level {
        /// The part of the configuration: `options`, `http.options` or `grpc.options`.
        place: &'static str,
        /// The level in the configuration.
        level: String,
    },
    /// A decision has no level.
    #[error("{place}: a decision needs a level: INFO, DEBUG, WARNING or ERROR")]
    NoLevel {
        /// The part of the configuration.
        place: &'static str,
    },
    /// Starts are logged, but not ends.
    #[error("{place}: log_start without log_end is not possible")]
    StartOnly {
        /// The part of the configuration.
        place: &'static str,
    },
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    options: Options,
    http: Protocol<HttpEntry>,
    grpc: Protocol<GrpcEntry>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    level: String,
    decision: Logged,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Logged {
    log_start: bool,
    log_end: bool,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Protocol<T> {
    options: Options,
    config: Option<Vec<T>>,
}

impl<T> Default for Protocol<T> {
    fn default() -> Protocol<T> {
        Protocol { options: Options::default(), config: None }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpEntry {
    path: String,
    port: u16,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct GrpcEntry {
    service: String,
    method: String,
}

impl RequestLog {
    /// Parses the YAML; an empty text logs nothing. The options of a protocol replace the common ones entirely.
    pub fn parse(yaml: &str) -> Result<RequestLog, RequestLogError> {
        if yaml.trim().is_empty() {
            return Ok(RequestLog::default());
        }
        let config: Option<Config> =
            serde_saphyr::from_str(yaml).map_err(|e| RequestLogError::Yaml(YamlFault::new(yaml, &e)))?;
        let Config { options, http, grpc } = config.unwrap_or_default();
        let common = options.decision("options")?.unwrap_or_default();
        let entries = http.config.unwrap_or_default().into_iter();
        let methods = grpc.config.unwrap_or_default().into_iter();
        Ok(RequestLog(Arc::new(Choice {
            http: http.options.decision("http.options")?.unwrap_or(common),
            paths: entries.map(|entry| (entry.path, entry.port)).collect(),
            grpc: grpc.options.decision("grpc.options")?.unwrap_or(common),
            methods: methods.map(|entry| format!("/{}/{}", entry.service, entry.method)).collect(),
        })))
    }

    /// Whether HTTP requests may be logged.
    pub(crate) fn is_for_http(&self) -> bool {
        self.0.http.at_end
    }
}

impl Options {
    /// `None` if the options are empty.
    fn decision(self, place: &'static str) -> Result<Option<Decision>, RequestLogError> {
        let Options { level, decision } = self;
        let Logged { log_start, log_end } = decision;
        let with_debug = match level.as_str() {
            "" if !log_start && !log_end => return Ok(None),
            "" => return Err(RequestLogError::NoLevel { place }),
            // Thanos's log filter does not know the level WARNING, and writes everything.
            "DEBUG" | "WARNING" => true,
            "INFO" | "ERROR" => false,
            _ => return Err(RequestLogError::Level { place, level }),
        };
        if log_start && !log_end {
            return Err(RequestLogError::StartOnly { place });
        }
        Ok(Some(Decision { at_start: log_start, at_end: log_end, with_debug }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_protocol_take_the_place_of_the_common_ones() {
        let log = RequestLog::parse(
            "options: {level: DEBUG, decision: {log_start: true, log_end: true}}\n\
             http: {config: [{path: /api/v1/query, port: 10902}]}\n\
             grpc: {options: {level: ERROR, decision: {log_end: true}}, config: [{service: thanos.Store, method: Series}]}\n",
        )
        .unwrap();
        assert_eq!(log.0.http, Decision { at_start: true, at_end: true, with_debug: true });
        assert_eq!(log.0.grpc, Decision { at_start: false, at_end: true, with_debug: false });
        assert_eq!(log.0.paths, [("/api/v1/query".to_owned(), 10902)]);
        assert_eq!(log.0.methods, ["/thanos.Store/Series"]);
        let none = axum::http::HeaderMap::new();
        assert!(!RequestLog::parse("").unwrap().is_for_http());
        assert!(
            RequestLog::parse("options: {level: DEBUG}")
                .unwrap()
                .begin("/thanos.Store/Series", &none)
                .is_none()
        );
        assert!(
            log.begin("/thanos.Store/Series", &none).is_some()
                && log.begin("/thanos.Store/LabelNames", &none).is_none()
        );
    }

    #[test]
    fn mistakes_are_told_by_their_place() {
        for (yaml, expected) in [
            (
                "options: {level: LOUD, decision: {log_end: true}}",
                "options: level \"LOUD\": expected INFO, DEBUG, WARNING or ERROR",
            ),
            (
                "http: {options: {decision: {log_end: true}}}",
                "http.options: a decision needs a level: INFO, DEBUG, WARNING or ERROR",
            ),
            (
                "grpc: {options: {level: INFO, decision: {log_start: true}}}",
                "grpc.options: log_start without log_end is not possible",
            ),
        ] {
            assert_eq!(RequestLog::parse(yaml).unwrap_err().to_string(), expected);
        }
        let error = RequestLog::parse("options:\n  levels: x\n").unwrap_err().to_string();
        assert!(error.starts_with("line 2, column 3, key \"levels\": unknown field"), "{error}");
    }
}
