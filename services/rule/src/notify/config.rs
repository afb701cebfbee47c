//! Which Alertmanagers there are, and how alerts are relabelled. Thanos `pkg/alert/config.go`.

use std::time::Duration;

use serde::Deserialize;
use tithon_engine::relabel::{RelabelConfig, RelabelStep};
use tithon_runtime::{HttpClientConfig, Secret, YamlFault};

use crate::peers::{FileSd, PeersConfig, PeersError};
use crate::query::refresh_interval;
use crate::yaml::Span;

/// Alertmanagers, with the settings of the client.
#[derive(Clone, Debug)]
pub struct AlertmanagerConfig {
    /// The addresses.
    pub peers: PeersConfig,
    /// Timeout of a call.
    pub timeout: Duration,
    /// The API that they have.
    pub version: ApiVersion,
}

/// The API of an Alertmanager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ApiVersion {
    /// Version 1, in Alertmanagers before 0.27.
    V1,
    /// Version 2, in Alertmanagers from 0.16 on.
    #[default]
    V2,
}

impl ApiVersion {
    pub(super) fn segment(self) -> &'static str {
        match self {
            ApiVersion::V1 => "v1",
            ApiVersion::V2 => "v2",
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    alertmanagers: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    http_config: HttpClientConfig,
    #[serde(default)]
    static_configs: Vec<String>,
    #[serde(default)]
    file_sd_configs: Vec<FileSd>,
    scheme: Option<String>,
    #[serde(default)]
    path_prefix: String,
    timeout: Option<Span>,
    #[serde(default)]
    api_version: ApiVersion,
}

/// Default timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads `--alertmanagers.config`. Errors tell line, column and key.
pub fn parse_alertmanagers(yaml: &str) -> Result<Vec<AlertmanagerConfig>, PeersError> {
    let file: Option<File> =
        serde_saphyr::from_str(yaml).map_err(|error| PeersError::Yaml(YamlFault::new(yaml, &error)))?;
    let entries = file.unwrap_or_default().alertmanagers.unwrap_or_default();
    let config = |entry: Entry| AlertmanagerConfig {
        peers: PeersConfig {
            client: entry.http_config,
            scheme: entry.scheme.unwrap_or_else(|| "http".to_owned()),
            path_prefix: entry.path_prefix,
            addresses: entry.static_configs,
            refresh_interval: refresh_interval(&entry.file_sd_configs),
            files: entry.file_sd_configs.into_iter().flat_map(|sd| sd.files).collect(),
        },
        timeout: entry.timeout.map_or(TIMEOUT, |span| span.0),
        version: entry.api_version,
    };
    Ok(entries.into_iter().map(config).collect())
}

/// The Alertmanagers of an `--alertmanagers.url`, where the way of looking up stands in front of the scheme.
pub fn alertmanager_of(given: &str, timeout: Duration) -> Result<AlertmanagerConfig, PeersError> {
    // The user's name and password are not to be shown.
    let shown = given.rsplit_once('@').map_or(given, |(_, host)| host).to_owned();
    let wrong = |reason: &str| PeersError::Setting { what: shown.clone(), reason: reason.to_owned() };
    let (scheme, rest) =
        given.split_once("://").ok_or_else(|| wrong("alertmanagers.url contains empty scheme"))?;
    let (lookup, scheme) = match scheme.rsplit_once('+') {
        Some((lookup, scheme)) => (Some(lookup.to_ascii_lowercase()), scheme),
        None => (None, scheme),
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    if host.is_empty() {
        return Err(wrong("alertmanagers.url contains empty host"));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let address = match lookup.as_deref() {
        None => host.to_owned(),
        Some("dns") if !has_port => format!("dns+{host}:9093"),
        Some(lookup) => format!("{lookup}+{host}"),
    };
    let client = match user {
        None => HttpClientConfig::default(),
        Some(user) => {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let plain =
                |text: &str| percent_decoded(text).ok_or_else(|| wrong("user or password is no text"));
            HttpClientConfig::with_password(plain(name)?, Secret::from(plain(password)?))
        }
    };
    Ok(AlertmanagerConfig {
        peers: PeersConfig {
            client,
            scheme: scheme.to_owned(),
            path_prefix: path.to_owned(),
            addresses: vec![address],
            files: Vec::new(),
            refresh_interval: crate::query::REFRESH_INTERVAL,
        },
        timeout,
        version: ApiVersion::V2,
    })
}

fn percent_decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// Reads a list of relabelling steps. Errors tell line, column and key, or the number of the step.
pub fn parse_relabelling(yaml: &str) -> Result<Vec<RelabelStep>, PeersError> {
    let steps: Option<Vec<RelabelConfig>> =
        serde_saphyr::from_str(yaml).map_err(|error| PeersError::Yaml(YamlFault::new(yaml, &error)))?;
    relabel_steps(steps.unwrap_or_default())
}

/// Checks steps.
pub(crate) fn relabel_steps(steps: Vec<RelabelConfig>) -> Result<Vec<RelabelStep>, PeersError> {
    let step = |(i, step): (usize, RelabelConfig)| {
        RelabelStep::new(&step.record()).map_err(|error| PeersError::Setting {
            what: format!("relabelling step {}", i + 1),
            reason: error.to_string(),
        })
    };
    steps.into_iter().enumerate().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_alertmanagers() {
        let of = |url: &str| alertmanager_of(url, TIMEOUT);
        let seen = |url: &str| {
            let peers = of(url).unwrap().peers;
            (peers.scheme, peers.addresses[0].clone(), peers.path_prefix)
        };
        let expected = |scheme: &str, host: &str, path: &str| (scheme.into(), host.into(), path.into());
        assert_eq!(seen("http://am:9093"), expected("http", "am:9093", ""));
        assert_eq!(seen("dns+https://am/x"), expected("https", "dns+am:9093", "/x"));
        assert_eq!(seen("dnssrv+http://_web._tcp.am"), expected("http", "dnssrv+_web._tcp.am", ""));
        let with_user = of("http://u:p%40ss@am:9093").unwrap().peers;
        assert_eq!(with_user.addresses, ["am:9093"]);
        let header = with_user.client.authorization().unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic dTpwQHNz");
        assert!(of("am:9093").unwrap_err().to_string().contains("empty scheme"));
        assert!(of("http:///x").unwrap_err().to_string().contains("empty host"));
    }

    #[test]
    fn configurations_of_alertmanagers() {
        let yaml = "alertmanagers:\n- static_configs: [a:1]\n  timeout: 5s\n  api_version: v1\n- scheme: https\n  static_configs: [b:1]\n";
        let all = parse_alertmanagers(yaml).unwrap();
        assert_eq!((all[0].timeout, all[0].version), (Duration::from_secs(5), ApiVersion::V1));
        assert_eq!((all[1].timeout, all[1].version), (TIMEOUT, ApiVersion::V2));
        assert!(parse_alertmanagers("alertmanagers: [{api_version: v3}]").is_err());
        assert!(parse_alertmanagers("alertmanager: []").is_err());
        assert!(parse_relabelling("- {action: nope}").unwrap_err().to_string().contains("step 1"));
    }
}
