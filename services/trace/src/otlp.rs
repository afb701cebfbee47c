//! Settings of type OTLP, and of LIGHTSTEP, whose collectors accept OTLP. Thanos `pkg/tracing/otlp`,
//! `pkg/tracing/lightstep`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use tithon_runtime::{ClientTlsOptions, Pem, TlsVersion};

use crate::duration::GoDuration;
use crate::error::TraceError;
use crate::export::{Retry, Target, Transport};
use crate::plan::Plan;
use crate::sampler::Sampling;

/// Default endpoints of OpenTelemetry's clients.
const GRPC_ENDPOINT: &str = "localhost:4317";
const HTTP_ENDPOINT: &str = "localhost:4318";
const URL_PATH: &str = "/v1/traces";

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Otlp {
    client_type: String,
    service_name: String,
    resource_attributes: BTreeMap<String, String>,
    compression: String,
    insecure: bool,
    endpoint: String,
    url_path: String,
    timeout: GoDuration,
    retry_config: RetryConfig,
    headers: BTreeMap<String, String>,
    tls_config: TlsConfig,
    sampler_type: String,
    sampler_param: String,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct RetryConfig {
    retry_enabled: bool,
    retry_initial_interval: GoDuration,
    retry_max_interval: GoDuration,
    retry_max_elapsed_time: GoDuration,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TlsConfig {
    ca_file: PathBuf,
    cert_file: PathBuf,
    key_file: PathBuf,
    server_name: String,
    insecure_skip_verify: bool,
}

impl Otlp {
    pub(crate) fn plan(self) -> Result<Plan, TraceError> {
        let mut notes = Vec::new();
        let transport = match self.client_type.as_str() {
            "grpc" => Transport::Grpc,
            "http" if self.url_path.is_empty() => Transport::Http { path: URL_PATH.to_owned() },
            "http" => Transport::Http { path: format!("/{}", self.url_path.trim_start_matches('/')) },
            other => {
                let reason = format!("{other:?}: expected grpc or http");
                return Err(TraceError::Setting { key: "client_type", reason });
            }
        };
        let sampling = self.sampling(&mut notes);
        let default = if transport == Transport::Grpc { GRPC_ENDPOINT } else { HTTP_ENDPOINT };
        let target = Target {
            transport,
            endpoint: if self.endpoint.is_empty() { default.to_owned() } else { self.endpoint },
            tls: if self.insecure { None } else { Some(self.tls_config.options()?) },
            headers: self.headers.into_iter().collect(),
            gzip: self.compression == "gzip",
            timeout: self.timeout.given(),
            retry: self.retry_config.retry(),
        };
        Ok(Plan {
            service_name: self.service_name,
            attributes: self.resource_attributes.into_iter().collect(),
            sampling,
            target: Some(target),
            queue_spans: None,
            flush_interval: None,
            notes,
        })
    }

    fn sampling(&self, notes: &mut Vec<String>) -> Sampling {
        let mut ratio = || {
            Sampling::Ratio(self.sampler_param.parse().unwrap_or_else(|_| {
                notes.push("sampler_param is no number: every trace is sampled".to_owned());
                1.0
            }))
        };
        match self.sampler_type.to_ascii_lowercase().as_str() {
            "alwayssample" => Sampling::Always,
            "neversample" => Sampling::Never,
            "traceidratiobased" => ratio(),
            "parentbasedalwayssample" => Sampling::Parent(Box::new(Sampling::Always)),
            "parentbasedneversample" => Sampling::Parent(Box::new(Sampling::Never)),
            "parentbasedtraceidratiobased" => Sampling::Parent(Box::new(ratio())),
            _ => Sampling::Parent(Box::new(Sampling::Ratio(1.0))),
        }
    }
}

impl RetryConfig {
    /// The retries; without `retry_enabled` the defaults of OpenTelemetry's clients.
    fn retry(self) -> Retry {
        let mut retry = Retry::default();
        if !self.retry_enabled {
            return retry;
        }
        for (ours, given) in [
            (&mut retry.first, self.retry_initial_interval),
            (&mut retry.longest, self.retry_max_interval),
            (&mut retry.total, self.retry_max_elapsed_time),
        ] {
            *ours = given.given().unwrap_or(*ours);
        }
        retry
    }
}

impl TlsConfig {
    fn options(self) -> Result<ClientTlsOptions, TraceError> {
        let file = |path: PathBuf| (!path.as_os_str().is_empty()).then_some(path);
        let identity = match (file(self.cert_file), file(self.key_file)) {
            (Some(cert), Some(key)) => Some((Pem::File(cert), Pem::File(key))),
            (None, None) => None,
            (cert, _) => {
                let (key, other) =
                    if cert.is_some() { ("key_file", "cert_file") } else { ("cert_file", "key_file") };
                let reason = format!("must be given with tls_config.{other}");
                return Err(TraceError::Setting { key, reason });
            }
        };
        Ok(ClientTlsOptions {
            ca: file(self.ca_file).map(Pem::File),
            identity,
            server_name: Some(self.server_name).filter(|name| !name.is_empty()),
            skip_verify: self.insecure_skip_verify,
            min_version: TlsVersion::V12,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Lightstep {
    access_token: String,
    collector: Collector,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Collector {
    host: String,
    port: u16,
    plaintext: bool,
    custom_ca_cert_file: PathBuf,
}

impl Lightstep {
    pub(crate) fn plan(self) -> Result<Plan, TraceError> {
        if self.access_token.is_empty() {
            return Err(TraceError::Setting { key: "access_token", reason: "must be given".to_owned() });
        }
        let Collector { host, port, plaintext, custom_ca_cert_file } = self.collector;
        let host = if host.is_empty() { "ingest.lightstep.com" } else { &host };
        let port = match port {
            0 if plaintext => 80,
            0 => 443,
            port => port,
        };
        let mut tags = self.tags;
        let target = Target {
            transport: Transport::Grpc,
            endpoint: format!("{host}:{port}"),
            tls: match plaintext {
                true => None,
                false => Some(TlsConfig { ca_file: custom_ca_cert_file, ..TlsConfig::default() }.options()?),
            },
            headers: vec![("lightstep-access-token".to_owned(), self.access_token)],
            gzip: false,
            timeout: None,
            retry: Retry::default(),
        };
        Ok(Plan {
            service_name: tags.remove("lightstep.component_name").unwrap_or_default(),
            attributes: tags.into_iter().collect(),
            sampling: Sampling::Parent(Box::new(Sampling::Always)),
            target: Some(target),
            queue_spans: None,
            flush_interval: None,
            notes: vec!["spans are sent as OTLP over gRPC, which collectors of Lightstep take".to_owned()],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(settings: &str) -> Plan {
        Plan::parse(&format!("type: OTLP\nconfig: {{client_type: http, {settings}}}")).unwrap()
    }

    #[test]
    fn samplers_are_those_of_thanos() {
        let sampling = |settings: &str| plan(settings).sampling;
        let parent = |inner| Sampling::Parent(Box::new(inner));
        assert_eq!(sampling("sampler_type: AlwaysSample"), Sampling::Always);
        assert_eq!(sampling("sampler_type: traceidratiobased, sampler_param: '0.25'"), Sampling::Ratio(0.25));
        assert_eq!(sampling("sampler_type: parentbasedneversample"), parent(Sampling::Never));
        assert_eq!(sampling(""), parent(Sampling::Ratio(1.0)));
        let odd = plan("sampler_type: parentbasedtraceidratiobased, sampler_param: often");
        assert_eq!((odd.sampling, odd.notes.len()), (parent(Sampling::Ratio(1.0)), 1));
    }

    #[test]
    fn targets_have_the_defaults_of_the_protocol() {
        let target = plan("insecure: true").target.unwrap();
        assert_eq!((target.endpoint.as_str(), target.tls.is_none()), ("localhost:4318", true));
        assert_eq!(target.transport, Transport::Http { path: "/v1/traces".to_owned() });
        let target = plan("url_path: x/y, tls_config: {server_name: n}").target.unwrap();
        assert_eq!(target.transport, Transport::Http { path: "/x/y".to_owned() });
        assert_eq!(target.tls.unwrap().server_name.as_deref(), Some("n"));
        let error = Plan::parse("type: OTLP\nconfig: {client_type: grpc, tls_config: {cert_file: c}}");
        assert_eq!(
            error.unwrap_err().to_string(),
            "config.key_file: must be given with tls_config.cert_file"
        );
    }

    #[test]
    fn lightstep_is_spoken_to_by_otlp() {
        let yaml = "type: LIGHTSTEP\nconfig: {access_token: secret, collector: {host: h, plaintext: true}, \
                    tags: {lightstep.component_name: thanos-query, zone: a}}";
        let plan = Plan::parse(yaml).unwrap();
        assert_eq!(plan.service_name, "thanos-query");
        assert_eq!(plan.attributes, [("zone".to_owned(), "a".to_owned())]);
        assert_eq!(plan.target.unwrap().endpoint, "h:80");
        assert!(Plan::parse("type: LIGHTSTEP").unwrap_err().to_string().contains("access_token"));
    }
}
