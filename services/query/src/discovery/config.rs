//! `--endpoint.sd-config`: endpoints and their TLS as YAML. Thanos `cmd/thanos/endpointset.go`.

use serde::Deserialize;
use tithon_runtime::{ClientTlsOptions, Pem, TlsVersion, YamlFault};

use super::{EndpointAddress, Member};

/// Why an endpoint configuration is invalid.
#[derive(Debug, thiserror::Error)]
pub enum EndpointConfigError {
    /// The text is not valid YAML of the expected form.
    #[error("endpoint config: {0}")]
    Yaml(YamlFault),
    /// A strict endpoint has a DNS name; only static addresses can be strict.
    #[error("endpoint config: {0} is looked up and cannot be strict")]
    StrictName(String),
    /// `service_config` is set for an endpoint that is not a group.
    #[error("endpoint config: {0}: service_config is only valid for endpoint groups")]
    ServiceConfig(String),
    /// An unknown compression.
    #[error("endpoint config: {address}: invalid compression: {value}, must be 'none' or 'snappy'")]
    Compression {
        /// Address of the endpoint.
        address: String,
        /// The compression in the configuration.
        value: String,
    },
    /// The TLS settings of an endpoint cannot be used.
    #[error("endpoint config: {address}: {reason}")]
    Tls {
        /// Address of the endpoint.
        address: String,
        /// What is wrong with the settings.
        reason: String,
    },
    /// An address cannot be parsed.
    #[error("endpoint config: {0}")]
    Address(#[from] super::DiscoveryError),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    default_client_config: ClientConfig,
    endpoints: Option<Vec<Settings>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Settings {
    strict: bool,
    group: bool,
    address: String,
    service_config: String,
    client_config: ClientConfig,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct ClientConfig {
    tls_config: TlsConfig,
    server_name: String,
    compression: String,
}

#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct TlsConfig {
    enabled: Option<bool>,
    insecure_skip_verify: Option<bool>,
    cert_file: Option<String>,
    key_file: Option<String>,
    ca_file: Option<String>,
    min_version: Option<String>,
}

/// Parses an endpoint configuration. `global` is the TLS of endpoints without settings of their own.
///
/// Fails with the first mistake, named by its place in the YAML or by the endpoint's address.
pub fn parse_endpoints(
    text: &str,
    global: Option<&ClientTlsOptions>,
) -> Result<Vec<Member>, EndpointConfigError> {
    let config: Option<Config> = serde_saphyr::from_str(text)
        .map_err(|error| EndpointConfigError::Yaml(YamlFault::new(text, &error)))?;
    let config = config.unwrap_or_default();
    let global = config.default_client_config.tls("default_client_config", global, false)?;
    config.endpoints.unwrap_or_default().into_iter().map(|one| one.member(global.as_ref())).collect()
}

impl Settings {
    fn member(self, global: Option<&ClientTlsOptions>) -> Result<Member, EndpointConfigError> {
        let Settings { strict, group, address, service_config, client_config } = self;
        let parsed = EndpointAddress::parse(&address)?;
        if strict && matches!(parsed, EndpointAddress::Dns(_)) {
            return Err(EndpointConfigError::StrictName(address));
        }
        if !group && !service_config.is_empty() {
            return Err(EndpointConfigError::ServiceConfig(address));
        }
        let compression = client_config.compression.as_str();
        if !matches!(compression, "" | "none" | "snappy") {
            return Err(EndpointConfigError::Compression { address, value: compression.to_owned() });
        }
        let tls = client_config.tls(&address, global, true)?;
        Ok(Member { address: parsed, strict, group, tls, named_by: "--endpoint.sd-config" })
    }
}

impl ClientConfig {
    /// The TLS options of these settings. When nothing is set they are those of `fallback`. Missing keys are taken from
    /// `fallback` if `inherits` is set and `enabled` is missing.
    fn tls(
        &self,
        address: &str,
        fallback: Option<&ClientTlsOptions>,
        inherits: bool,
    ) -> Result<Option<ClientTlsOptions>, EndpointConfigError> {
        let own = &self.tls_config;
        if *own == TlsConfig::default() && self.server_name.is_empty() {
            return Ok(fallback.cloned());
        }
        let fallback = fallback.filter(|_| inherits && own.enabled.is_none());
        let says_how = own.cert_file.is_some()
            || own.key_file.is_some()
            || own.ca_file.is_some()
            || own.insecure_skip_verify.is_some();
        if !own.enabled.unwrap_or(says_how || fallback.is_some()) {
            return Ok(None);
        }
        let wrong = |reason: String| EndpointConfigError::Tls { address: address.to_owned(), reason };
        let pem = |own: &Option<String>, inherited: Option<&Pem>| match own {
            Some(path) => (!path.is_empty()).then(|| Pem::File(path.into())),
            None => inherited.cloned(),
        };
        let identity = fallback.and_then(|tls| tls.identity.as_ref());
        let cert = pem(&own.cert_file, identity.map(|(cert, _)| cert));
        let key = pem(&own.key_file, identity.map(|(_, key)| key));
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err(wrong("cert_file and key_file belong together".to_owned())),
        };
        let min_version = match &own.min_version {
            Some(text) => TlsVersion::parse(text).map_err(|e| wrong(e.to_string()))?,
            None => fallback.map_or(TlsVersion::V13, |tls| tls.min_version),
        };
        Ok(Some(ClientTlsOptions {
            ca: pem(&own.ca_file, fallback.and_then(|tls| tls.ca.as_ref())),
            identity,
            server_name: (!self.server_name.is_empty()).then(|| self.server_name.clone()),
            skip_verify: own
                .insecure_skip_verify
                .unwrap_or_else(|| fallback.is_some_and(|tls| tls.skip_verify)),
            min_version,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global() -> ClientTlsOptions {
        ClientTlsOptions {
            ca: Some(Pem::File("global-ca".into())),
            identity: None,
            server_name: Some("global".to_owned()),
            skip_verify: false,
            min_version: TlsVersion::V12,
        }
    }

    #[test]
    fn endpoints_have_the_tls_that_they_name() {
        let text = "
endpoints:
- {address: 'a:1', strict: true}
- {address: 'b:1', client_config: {tls_config: {enabled: false}}}
- {address: 'c:1', client_config: {tls_config: {insecure_skip_verify: true}}}
- {address: 'd:1', client_config: {tls_config: {enabled: true, ca_file: own-ca}, server_name: d}}
- {address: 'dns+e:1', group: true, service_config: '{}'}
";
        let global = global();
        let members = parse_endpoints(text, Some(&global)).expect("endpoints");
        let tls: Vec<Option<ClientTlsOptions>> = members.iter().map(|member| member.tls.clone()).collect();
        let inherits = ClientTlsOptions { skip_verify: true, server_name: None, ..global.clone() };
        let own = ClientTlsOptions {
            ca: Some(Pem::File("own-ca".into())),
            identity: None,
            server_name: Some("d".to_owned()),
            skip_verify: false,
            min_version: TlsVersion::V13,
        };
        assert_eq!(tls, [Some(global.clone()), None, Some(inherits), Some(own), Some(global.clone())]);
        assert!(members[0].strict && members[4].group);

        let text = "
default_client_config: {tls_config: {enabled: true, ca_file: default-ca}}
endpoints: [{address: 'a:1'}]
";
        let members = parse_endpoints(text, Some(&global)).expect("endpoints");
        let ca = members[0].tls.as_ref().and_then(|tls| tls.ca.clone());
        assert_eq!(ca, Some(Pem::File("default-ca".into())));
        assert_eq!(parse_endpoints("", None).expect("none"), []);
    }

    #[test]
    fn mistakes_are_told() {
        for (text, expected) in [
            ("endpoints: 5", "line 1"),
            ("endpoints: [{address: 'dns+a:1', strict: true}]", "dns+a:1 is looked up and cannot be strict"),
            ("endpoints: [{address: 'a:1', service_config: x}]", "a:1: service_config is only valid"),
            ("endpoints: [{address: 'a:1', client_config: {compression: zip}}]", "invalid compression: zip"),
            ("endpoints: [{address: 'a'}]", "expected HOST:PORT"),
            ("endpoints: [{address: 'a:1', client_config: {tls_config: {cert_file: x}}}]", "belong together"),
            (
                "endpoints: [{address: 'a:1', client_config: {tls_config: {enabled: true, min_version: '9'}}}]",
                "9",
            ),
        ] {
            let error = parse_endpoints(text, None).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
