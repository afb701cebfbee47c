//! `--query` and `--query.config`: which queriers there are. Thanos `pkg/clientconfig/config.go`.

use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use tithon_runtime::{HttpClientConfig, YamlFault};

use crate::peers::{FileSd, PeersConfig, PeersError};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    http_config: HttpClientConfig,
    #[serde(default)]
    static_configs: Vec<String>,
    #[serde(default)]
    file_sd_configs: Vec<FileSd>,
    #[serde(default)]
    scheme: Option<String>,
    #[serde(default)]
    path_prefix: String,
    #[serde(default)]
    grpc_config: Grpc,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Grpc {
    #[serde(default)]
    endpoint_addresses: Vec<String>,
}

/// The queriers of a configuration.
#[derive(Debug, Default)]
pub struct QueryConfig {
    /// Asked over HTTP.
    pub http: Vec<PeersConfig>,
    /// Addresses of those asked over gRPC, `host:port` or a name with the way it is looked up.
    pub grpc: Vec<String>,
}

/// Reads `--query.config`. Errors tell line, column and key.
pub fn parse_query_config(yaml: &str) -> Result<QueryConfig, PeersError> {
    let entries: Option<Vec<Entry>> =
        serde_saphyr::from_str(yaml).map_err(|error| PeersError::Yaml(YamlFault::new(yaml, &error)))?;
    let mut config = QueryConfig::default();
    for entry in entries.unwrap_or_default() {
        config.grpc.extend(entry.grpc_config.endpoint_addresses);
        if entry.static_configs.is_empty() && entry.file_sd_configs.is_empty() {
            continue;
        }
        config.http.push(PeersConfig {
            client: entry.http_config,
            scheme: entry.scheme.unwrap_or_else(|| "http".to_owned()),
            path_prefix: entry.path_prefix,
            addresses: entry.static_configs,
            refresh_interval: refresh_interval(&entry.file_sd_configs),
            files: entry.file_sd_configs.into_iter().flat_map(|sd| sd.files).collect(),
        });
    }
    Ok(config)
}

/// How often files are read that say nothing about it.
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(300);

/// The shortest interval of some lists of files.
pub(crate) fn refresh_interval(lists: &[FileSd]) -> Duration {
    let given = lists.iter().filter_map(|list| list.refresh_interval).map(|span| span.0);
    given.min().unwrap_or(REFRESH_INTERVAL)
}

/// The queriers of `--query` and `--query.sd-files`.
pub fn queriers_of(
    addresses: &[String],
    files: &[String],
    refresh_interval: Duration,
) -> Result<Vec<PeersConfig>, PeersError> {
    let mut configs = Vec::new();
    let base = |scheme: String, path_prefix: String| PeersConfig {
        client: HttpClientConfig::default(),
        scheme,
        path_prefix,
        addresses: Vec::new(),
        files: Vec::new(),
        refresh_interval,
    };
    for given in addresses {
        let wrong = |reason: String| PeersError::Setting { what: given.clone(), reason };
        if given.is_empty() {
            return Err(wrong("the address is empty".to_owned()));
        }
        // The prefix of a look-up belongs to the host, which no parser of URLs takes.
        let (scheme, rest) = given.split_once("://").unwrap_or(("http", given));
        let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let plain = host.rsplit_once('+').map_or(host, |(_, host)| host);
        Url::parse(&format!("http://{plain}")).map_err(|error| wrong(error.to_string()))?;
        if !matches!(scheme, "http" | "https") {
            return Err(wrong(format!("{scheme:?} is not supported scheme for address")));
        }
        let config = base(scheme.to_owned(), path.to_owned());
        configs.push(PeersConfig { addresses: vec![host.to_owned()], ..config });
    }
    if !files.is_empty() {
        let config = base("http".to_owned(), String::new());
        configs.push(PeersConfig { files: files.to_vec(), ..config });
    }
    Ok(configs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_configurations() {
        let of = |address: &str| queriers_of(&[address.to_owned()], &[], REFRESH_INTERVAL);
        let seen = |address: &str| {
            let one = of(address).unwrap().remove(0);
            (one.scheme, one.addresses[0].clone(), one.path_prefix)
        };
        let expected = |scheme: &str, host: &str, path: &str| (scheme.into(), host.into(), path.into());
        assert_eq!(seen("query:9090"), expected("http", "query:9090", ""));
        assert_eq!(seen("https://query/prefix"), expected("https", "query", "/prefix"));
        assert_eq!(seen("dns+query:9090"), expected("http", "dns+query:9090", ""));
        assert_eq!(
            seen("http://dnssrv+_http._tcp.query/x"),
            expected("http", "dnssrv+_http._tcp.query", "/x")
        );
        assert!(of("ftp://query").unwrap_err().to_string().contains("not supported scheme"));
        assert!(of("").is_err());
        let yaml = "- static_configs: [a:1, b:2]\n  scheme: https\n  path_prefix: /x\n- file_sd_configs: [{files: [q.yml], refresh_interval: 10s}]\n- grpc_config: {endpoint_addresses: [c:3]}\n";
        let config = parse_query_config(yaml).unwrap();
        assert_eq!(config.http.len(), 2);
        assert_eq!(config.http[1].refresh_interval, Duration::from_secs(10));
        assert_eq!(config.grpc, ["c:3"]);
        let error = parse_query_config("- static_config: [a]").unwrap_err().to_string();
        assert!(error.contains("unknown field `static_config`"), "{error}");
    }
}
