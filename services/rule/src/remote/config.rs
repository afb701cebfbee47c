//! `--remote-write.config`: `remote_write` as Prometheus's configuration has it. Prometheus `config/config.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tithon_engine::relabel::{RelabelConfig, RelabelStep};
use tithon_proto::WriteVersion;
use tithon_runtime::{HttpBasicAuth, HttpClientConfig, HttpTls, Secret, YamlFault};

use crate::notify::relabel_steps;
use crate::peers::PeersError;
use crate::yaml::Span;

/// A server that results are written to.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// URL that requests are sent to.
    pub url: Url,
    /// Its name in metrics.
    pub name: String,
    /// Passwords, tokens and TLS.
    pub client: HttpClientConfig,
    /// Headers of every request.
    pub headers: HeaderMap,
    /// Timeout of a request.
    pub timeout: Duration,
    /// Pause before a failed batch is sent again for the first time.
    pub min_backoff: Duration,
    /// Longest pause before a failed batch is sent again.
    pub max_backoff: Duration,
    /// Whether `429 Too Many Requests` is a reason to send again.
    pub retries_on_429: bool,
    /// The version of the protocol.
    pub version: WriteVersion,
    /// Relabelling steps, which are applied to series after the external labels were added.
    pub relabelling: Vec<RelabelStep>,
}

impl RemoteConfig {
    /// A name for files, which differs between servers.
    pub(super) fn file_name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name: String = self.name.chars().map(plain).take(40).collect();
        format!("{name}-{:08x}", crc32c::crc32c(format!("{}\n{}", self.name, self.shown_url()).as_bytes()))
    }

    /// The URL without a password.
    pub(super) fn shown_url(&self) -> String {
        let mut url = self.url.clone();
        // URLs of HTTP can have users.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.to_string()
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    remote_write: Option<Vec<Entry>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Entry {
    url: String,
    remote_timeout: Option<Span>,
    protobuf_message: Option<String>,
    headers: BTreeMap<String, Secret>,
    write_relabel_configs: Option<Vec<RelabelConfig>>,
    name: String,
    #[serde(rename = "send_exemplars")]
    _exemplars: Option<bool>,
    #[serde(rename = "send_native_histograms")]
    _histograms: Option<bool>,
    #[serde(rename = "round_robin_dns")]
    _round_robin: Option<bool>,
    #[serde(rename = "metadata_config")]
    _metadata: Option<IgnoredAny>,
    #[serde(rename = "follow_redirects")]
    _redirects: Option<bool>,
    #[serde(rename = "enable_http2")]
    _http2: Option<bool>,
    queue_config: QueueConfig,
    basic_auth: HttpBasicAuth,
    authorization: Authorization,
    bearer_token: Secret,
    bearer_token_file: PathBuf,
    tls_config: HttpTls,
    proxy_url: String,
    oauth2: Option<IgnoredAny>,
    sigv4: Option<IgnoredAny>,
    azuread: Option<IgnoredAny>,
    google_iam: Option<IgnoredAny>,
}

/// There is one queue per server, on disk and in order: what only tunes shards has no effect.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct QueueConfig {
    #[serde(rename = "capacity")]
    _capacity: Option<u64>,
    #[serde(rename = "max_shards")]
    _max_shards: Option<u64>,
    #[serde(rename = "min_shards")]
    _min_shards: Option<u64>,
    #[serde(rename = "max_samples_per_send")]
    _max_samples: Option<u64>,
    #[serde(rename = "batch_send_deadline")]
    _deadline: Option<Span>,
    min_backoff: Option<Span>,
    max_backoff: Option<Span>,
    retry_on_http_429: bool,
    #[serde(rename = "sample_age_limit")]
    _age: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Authorization {
    r#type: Option<String>,
    credentials: Secret,
    credentials_file: PathBuf,
}

/// Reads the configuration. Errors tell line, column and key.
pub fn parse_remote_write(yaml: &str) -> Result<Vec<RemoteConfig>, PeersError> {
    let file: Option<File> =
        serde_saphyr::from_str(yaml).map_err(|error| PeersError::Yaml(YamlFault::new(yaml, &error)))?;
    let entries = file.unwrap_or_default().remote_write.unwrap_or_default();
    let configs = entries.into_iter().map(Entry::config).collect::<Result<Vec<_>, _>>()?;
    let mut names = BTreeSet::new();
    for config in &configs {
        if !names.insert(config.name.clone()) {
            let reason = "this name is given twice".to_owned();
            return Err(PeersError::Setting { what: config.name.clone(), reason });
        }
    }
    Ok(configs)
}

impl Entry {
    fn config(self) -> Result<RemoteConfig, PeersError> {
        let wrong = |reason: String| PeersError::Setting { what: "remote_write".to_owned(), reason };
        let url = Url::parse(&self.url).map_err(|error| wrong(format!("url: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("url: expected http://HOST/PATH or https://HOST/PATH".to_owned()));
        }
        let refused = [
            ("oauth2", self.oauth2.is_some()),
            ("sigv4", self.sigv4.is_some()),
            ("azuread", self.azuread.is_some()),
            ("google_iam", self.google_iam.is_some()),
        ];
        if let Some((key, _)) = refused.into_iter().find(|(_, is_given)| *is_given) {
            return Err(wrong(format!(
                "{key} is not supported; use basic_auth, authorization or tls_config"
            )));
        }
        let version = match self.protobuf_message.as_deref() {
            None | Some("prometheus.WriteRequest") => WriteVersion::V1,
            Some("io.prometheus.write.v2.Request") => WriteVersion::V2,
            Some(other) => {
                return Err(wrong(format!(
                    "protobuf_message: unknown type {other:?}, expected prometheus.WriteRequest or \
                     io.prometheus.write.v2.Request"
                )));
            }
        };
        let Authorization { r#type, credentials, credentials_file } = self.authorization;
        if r#type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(wrong("authorization: type: only Bearer is supported".to_owned()));
        }
        let bearer = if credentials.is_empty() { self.bearer_token } else { credentials };
        let no_file = credentials_file.as_os_str().is_empty();
        let bearer_file = if no_file { self.bearer_token_file } else { credentials_file };
        let client =
            HttpClientConfig::of_parts(self.basic_auth, bearer, bearer_file, self.tls_config, self.proxy_url);
        client.check()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let bad = |_| wrong(format!("headers: {name:?} is no header with a value that can be sent"));
            let header = HeaderName::try_from(name.as_str()).map_err(|_| bad(()))?;
            headers.insert(header, HeaderValue::try_from(value.expose()).map_err(|_| bad(()))?);
        }
        let span = |span: Option<Span>, default: Duration| span.map_or(default, |span| span.0);
        let relabelling = relabel_steps(self.write_relabel_configs.unwrap_or_default())?;
        let digest = format!("{:06x}", crc32c::crc32c(self.url.as_bytes()) & 0xff_ffff);
        Ok(RemoteConfig {
            url,
            name: if self.name.is_empty() { digest } else { self.name },
            client,
            headers,
            timeout: span(self.remote_timeout, Duration::from_secs(30)),
            min_backoff: span(self.queue_config.min_backoff, Duration::from_millis(30)),
            max_backoff: span(self.queue_config.max_backoff, Duration::from_secs(5)),
            retries_on_429: self.queue_config.retry_on_http_429,
            version,
            relabelling,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let yaml = "
remote_write:
- url: http://u:p@receive:19291/api/v1/receive
  name: one
  remote_timeout: 5s
  headers: {THANOS-TENANT: a}
  queue_config: {capacity: 100, max_backoff: 1s, retry_on_http_429: true}
  metadata_config: {send: false}
  authorization: {credentials: hunter2}
  write_relabel_configs: [{regex: x, action: labeldrop}]
- url: https://two/write
  protobuf_message: io.prometheus.write.v2.Request
";
        let all = parse_remote_write(yaml).unwrap();
        assert_eq!((all[0].name.as_str(), all[0].timeout), ("one", Duration::from_secs(5)));
        assert_eq!(
            (all[0].min_backoff, all[0].max_backoff),
            (Duration::from_millis(30), Duration::from_secs(1))
        );
        assert!(all[0].retries_on_429 && all[0].headers.contains_key("thanos-tenant"));
        assert_eq!(all[0].shown_url(), "http://receive:19291/api/v1/receive");
        assert!(!format!("{:?}", all[0].client).contains("hunter2"));
        assert_ne!(all[0].file_name(), all[1].file_name());
        assert_eq!((all[0].version, all[1].version), (WriteVersion::V1, WriteVersion::V2));
        for (yaml, reason) in [
            ("remote_write: [{url: ''}]", "url: "),
            ("remote_write: [{urls: x}]", "unknown field `urls`"),
            ("remote_write: [{url: 'http://a', sigv4: {}}]", "sigv4 is not supported"),
            ("remote_write: [{url: 'http://a', name: x}, {url: 'http://b', name: x}]", "given twice"),
            (
                "remote_write: [{url: 'http://a', protobuf_message: io.prometheus.write.v3.Request}]",
                "unknown type \"io.prometheus.write.v3.Request\"",
            ),
        ] {
            let error = parse_remote_write(yaml).unwrap_err().to_string();
            assert!(error.contains(reason), "{yaml}: {error}");
        }
        assert!(parse_remote_write("").unwrap().is_empty());
    }
}
