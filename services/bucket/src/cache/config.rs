//! The YAML of `--index-cache.config` and `--store.caching-bucket.config`. Thanos `pkg/store/cache/factory.go`,
//! `pkg/store/cache/caching_bucket_factory.go`, `pkg/cacheutil`.

use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tithon_chunks::ErrorKind;
use tithon_runtime::{DiscoveryError, EndpointAddress, YamlFault};

use super::memcached::Memcached;
use super::memory::Memory;
use super::redis::{Login, Redis};
use super::remote::{Bounds, Kind, Remote};
use super::servers::Servers;
use super::{Place, TTL};
use crate::config::{Secret, Size, Span};

/// A cache's configuration: its backend and the size of pieces.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    place: PlaceConfig,
    ttl: Duration,
    pub(super) piece_bytes: u64,
    pub(super) requests_max: usize,
}

#[derive(Clone, Debug)]
enum PlaceConfig {
    Memory(MemoryConfig),
    Memcached(Box<MemcachedConfig>),
    Redis(Box<RedisConfig>),
}

/// Why a cache configuration is invalid. No variant holds a value that may be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheConfigError {
    /// Not YAML, an unknown key, or a value of the wrong type.
    #[error("cache config: {0}")]
    Yaml(YamlFault),
    /// The type is none of Thanos's.
    #[error("cache config: type {0:?} is none of IN-MEMORY, MEMCACHED, REDIS")]
    UnknownType(String),
    /// A key is missing or has an invalid value.
    #[error("cache config: {key}: {reason}")]
    Invalid {
        /// The key's path.
        key: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Thanos supports the setting, but this build does not.
    #[error("cache config: {key} is not supported: {reason}")]
    Unsupported {
        /// The key's path.
        key: &'static str,
        /// Why, and what to use instead.
        reason: &'static str,
    },
}

impl CacheConfigError {
    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            CacheConfigError::Unsupported { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Invalid,
        }
    }
}

/// Size of a piece of an index in bytes; small, since a selection reads postings and series in many places.
const INDEX_PIECE: u64 = 4 << 10;
/// The kinds of items in Thanos's index cache.
const INDEX_ITEMS: [&str; 3] = ["Postings", "Series", "ExpandedPostings"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexYaml<C> {
    #[serde(rename = "type", default)]
    kind: String,
    config: Option<C>,
    #[serde(default)]
    enabled_items: Vec<String>,
    ttl: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "keys of Thanos; listings and metas are kept on local disk here")]
struct BucketYaml<C> {
    #[serde(rename = "type", default)]
    kind: String,
    config: Option<C>,
    #[serde(default = "subrange")]
    chunk_subrange_size: u64,
    #[serde(default = "three")]
    max_chunks_get_range_requests: i64,
    chunk_object_attrs_ttl: Option<Span>,
    chunk_subrange_ttl: Option<Span>,
    blocks_iter_ttl: Option<Span>,
    metafile_exists_ttl: Option<Span>,
    metafile_doesnt_exist_ttl: Option<Span>,
    metafile_content_ttl: Option<Span>,
    metafile_max_size: Option<Size>,
}

fn subrange() -> u64 {
    16_000
}

fn three() -> i64 {
    3
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MemoryConfig {
    max_size: Size,
    max_item_size: Size,
}

impl Default for MemoryConfig {
    fn default() -> MemoryConfig {
        MemoryConfig { max_size: Size(250 << 20), max_item_size: Size(125 << 20) }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct MemcachedConfig {
    addresses: Vec<String>,
    timeout: Span,
    max_idle_connections: usize,
    max_async_concurrency: usize,
    max_async_buffer_size: usize,
    max_item_size: Size,
    max_get_multi_concurrency: usize,
    max_get_multi_batch_size: usize,
    dns_provider_update_interval: Span,
    auto_discovery: bool,
    set_async_circuit_breaker_config: IgnoredAny,
}

impl Default for MemcachedConfig {
    fn default() -> MemcachedConfig {
        MemcachedConfig {
            addresses: Vec::new(),
            timeout: Span(Duration::from_millis(500)),
            max_idle_connections: 100,
            max_async_concurrency: 20,
            max_async_buffer_size: 10_000,
            max_item_size: Size(1 << 20),
            max_get_multi_concurrency: 100,
            max_get_multi_batch_size: 0,
            dns_provider_update_interval: Span::secs(10),
            auto_discovery: false,
            set_async_circuit_breaker_config: IgnoredAny,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RedisConfig {
    addr: String,
    prefix: String,
    username: String,
    password: Secret,
    db: i64,
    dial_timeout: Span,
    read_timeout: Span,
    write_timeout: Span,
    max_get_multi_concurrency: usize,
    get_multi_batch_size: usize,
    max_set_multi_concurrency: usize,
    set_multi_batch_size: usize,
    tls_enabled: bool,
    tls_config: IgnoredAny,
    cache_size: Size,
    master_name: String,
    max_async_buffer_size: usize,
    max_async_concurrency: usize,
    set_async_circuit_breaker_config: IgnoredAny,
}

impl Default for RedisConfig {
    fn default() -> RedisConfig {
        RedisConfig {
            addr: String::new(),
            prefix: String::new(),
            username: String::new(),
            password: Secret::default(),
            db: 0,
            dial_timeout: Span::secs(5),
            read_timeout: Span::secs(3),
            write_timeout: Span::secs(3),
            max_get_multi_concurrency: 100,
            get_multi_batch_size: 100,
            max_set_multi_concurrency: 100,
            set_multi_batch_size: 100,
            tls_enabled: false,
            tls_config: IgnoredAny,
            cache_size: Size(0),
            master_name: String::new(),
            max_async_buffer_size: 10_000,
            max_async_concurrency: 20,
            set_async_circuit_breaker_config: IgnoredAny,
        }
    }
}

fn yaml<T: DeserializeOwned>(text: &str) -> Result<T, CacheConfigError> {
    serde_saphyr::from_str(text).map_err(|error| CacheConfigError::Yaml(YamlFault::new(text, &error)))
}

fn invalid(key: &'static str, reason: &str) -> CacheConfigError {
    CacheConfigError::Invalid { key, reason: reason.to_owned() }
}

impl CacheConfig {
    /// A cache of indexes in memory, of at most this many bytes.
    pub fn index_in_memory(bytes: u64) -> CacheConfig {
        let config = MemoryConfig { max_size: Size(bytes), ..MemoryConfig::default() };
        let place = PlaceConfig::Memory(config);
        CacheConfig { place, ttl: TTL, piece_bytes: INDEX_PIECE, requests_max: 0 }
    }

    /// Parses the YAML of `--index-cache.config`, in which environment variables are already replaced.
    pub fn parse_index(text: &str) -> Result<CacheConfig, CacheConfigError> {
        let any: IndexYaml<IgnoredAny> = yaml(text)?;
        if let Some(item) = any.enabled_items.iter().find(|item| !INDEX_ITEMS.contains(&item.as_str())) {
            let reason = format!("found {item:?}, expected some of {}", INDEX_ITEMS.join(", "));
            return Err(CacheConfigError::Invalid { key: "enabled_items", reason });
        }
        fn config<C: DeserializeOwned + Default>(text: &str) -> Result<C, CacheConfigError> {
            Ok(yaml::<IndexYaml<C>>(text)?.config.unwrap_or_default())
        }
        let place = match any.kind.to_uppercase().as_str() {
            "IN-MEMORY" => PlaceConfig::Memory(config(text)?),
            "MEMCACHED" => PlaceConfig::Memcached(Box::new(config(text)?)),
            "REDIS" => PlaceConfig::Redis(Box::new(config(text)?)),
            _ => return Err(CacheConfigError::UnknownType(any.kind)),
        };
        let ttl = any.ttl.and_then(Span::limit).unwrap_or(TTL);
        CacheConfig { place, ttl, piece_bytes: INDEX_PIECE, requests_max: 0 }.check()
    }

    /// Parses the YAML of `--store.caching-bucket.config`, in which environment variables are already replaced.
    pub fn parse_caching_bucket(text: &str) -> Result<CacheConfig, CacheConfigError> {
        let any: BucketYaml<IgnoredAny> = yaml(text)?;
        fn config<C: DeserializeOwned + Default>(text: &str) -> Result<C, CacheConfigError> {
            Ok(yaml::<BucketYaml<C>>(text)?.config.unwrap_or_default())
        }
        let place = match any.kind.to_uppercase().as_str() {
            "IN-MEMORY" => PlaceConfig::Memory(config(text)?),
            "MEMCACHED" => PlaceConfig::Memcached(Box::new(config(text)?)),
            "REDIS" => PlaceConfig::Redis(Box::new(config(text)?)),
            "GROUPCACHE" => {
                let reason = "it makes stores depend on each other; use MEMCACHED or REDIS";
                return Err(CacheConfigError::Unsupported { key: "type: GROUPCACHE", reason });
            }
            _ => return Err(CacheConfigError::UnknownType(any.kind)),
        };
        if any.chunk_subrange_size == 0 {
            return Err(invalid("chunk_subrange_size", "expected more than 0"));
        }
        let config = CacheConfig {
            place,
            ttl: any.chunk_subrange_ttl.and_then(Span::limit).unwrap_or(TTL),
            piece_bytes: any.chunk_subrange_size,
            requests_max: usize::try_from(any.max_chunks_get_range_requests).unwrap_or(0),
        };
        config.check()
    }

    fn check(self) -> Result<CacheConfig, CacheConfigError> {
        match &self.place {
            PlaceConfig::Memory(_) => {}
            PlaceConfig::Memcached(config) => config.check()?,
            PlaceConfig::Redis(config) => config.check()?,
        }
        Ok(self)
    }

    pub(super) fn open(&self) -> Result<Place, CacheConfigError> {
        let (kind, mut bounds) = match &self.place {
            PlaceConfig::Memory(config) => {
                return Ok(Place::Memory(Memory::new(config.max_size.0, config.max_item_size.0)));
            }
            PlaceConfig::Memcached(config) => config.open()?,
            PlaceConfig::Redis(config) => config.open()?,
        };
        bounds.ttl = self.ttl;
        Ok(Place::Remote(Remote::new(kind, bounds)))
    }
}

/// Longest item accepted from a server when the configuration sets no limit.
const ITEM_MAX: u64 = 64 << 20;

impl MemcachedConfig {
    fn check(&self) -> Result<(), CacheConfigError> {
        if self.addresses.is_empty() {
            return Err(invalid("config.addresses", "is missing"));
        }
        if self.auto_discovery {
            let reason = "give the addresses of the servers";
            return Err(CacheConfigError::Unsupported { key: "config.auto_discovery", reason });
        }
        if self.max_async_concurrency == 0 {
            return Err(invalid("config.max_async_concurrency", "expected more than 0"));
        }
        for address in &self.addresses {
            EndpointAddress::parse(address)
                .map_err(|error| invalid("config.addresses", &error.to_string()))?;
        }
        Ok(())
    }

    fn open(&self) -> Result<(Kind, Bounds), CacheConfigError> {
        let wrong = |error: DiscoveryError| invalid("config.addresses", &error.to_string());
        let parsed = self.addresses.iter().map(|address| EndpointAddress::parse(address));
        let addresses = parsed.collect::<Result<_, _>>().map_err(wrong)?;
        let interval = self.dns_provider_update_interval.0;
        let servers = Servers::new(addresses, interval, self.max_idle_connections).map_err(wrong)?;
        let item_max = match self.max_item_size.0 {
            0 => ITEM_MAX,
            bytes => bytes,
        };
        let servers = Memcached::new(servers, self.max_get_multi_batch_size, item_max);
        let bounds = Bounds {
            timeout: self.timeout.0,
            ttl: TTL,
            item_bytes_max: self.max_item_size.0,
            waiting_max: self.max_async_buffer_size,
            writes_max: self.max_async_concurrency,
        };
        Ok((Kind::Memcached(servers), bounds))
    }
}

impl RedisConfig {
    fn check(&self) -> Result<(), CacheConfigError> {
        let unsupported = |key, reason| Err(CacheConfigError::Unsupported { key, reason });
        if self.addr.is_empty() {
            return Err(invalid("config.addr", "is missing"));
        }
        if self.addr.contains(',') {
            return unsupported(
                "config.addr: several addresses",
                "clusters are not supported; give one server",
            );
        }
        if split_port(&self.addr).is_none() {
            return Err(invalid("config.addr", "expected host:port"));
        }
        if !self.master_name.is_empty() {
            return unsupported(
                "config.master_name",
                "sentinels are not supported; give the server's address",
            );
        }
        if self.tls_enabled {
            return unsupported("config.tls_enabled", "connections to redis are not encrypted");
        }
        Ok(())
    }

    fn open(&self) -> Result<(Kind, Bounds), CacheConfigError> {
        let (host, port) = split_port(&self.addr).unwrap_or_default();
        let login = Login {
            host,
            port,
            username: &self.username,
            password: self.password.expose(),
            db: self.db,
            dial_timeout: self.dial_timeout.0,
            timeout: self.read_timeout.0,
        };
        let server = Redis::new(&login, &self.prefix, self.get_multi_batch_size)
            .map_err(|error| invalid("config.addr", &error.to_string()))?;
        let bounds = Bounds {
            timeout: self.dial_timeout.0.min(self.read_timeout.0),
            ttl: TTL,
            item_bytes_max: 0,
            waiting_max: self.max_async_buffer_size,
            writes_max: self.max_async_concurrency,
        };
        Ok((Kind::Redis(Box::new(server)), bounds))
    }
}

fn split_port(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_thanos_takes_is_taken() {
        for text in [
            "type: IN-MEMORY",
            "type: in-memory\nconfig: {max_size: 1GB, max_item_size: 1MiB}\nenabled_items: [Postings]\nttl: 1h",
            "type: MEMCACHED\nconfig: {addresses: ['localhost:11211'], timeout: 300ms, max_item_size: 5MiB,\n  set_async_circuit_breaker_config: {enabled: true}}",
            "type: REDIS\nconfig: {addr: 'redis:6379', db: 2, password: x, read_timeout: 1s}",
        ] {
            CacheConfig::parse_index(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        let text = "type: MEMCACHED\nconfig: {addresses: ['a:1', 'b:2']}\nchunk_subrange_size: 32000\nblocks_iter_ttl: 10m\nmetafile_max_size: 1MiB\nmax_chunks_get_range_requests: 0";
        let config = CacheConfig::parse_caching_bucket(text).unwrap();
        assert_eq!((config.piece_bytes, config.requests_max), (32_000, 0));
        let defaults = CacheConfig::parse_caching_bucket("type: IN-MEMORY").unwrap();
        assert_eq!((defaults.piece_bytes, defaults.requests_max, defaults.ttl), (16_000, 3, TTL));
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let check = |text: &str, want: &str| {
            let error = CacheConfig::parse_index(text).map(drop).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{text}: {error}");
        };
        check("type: FLOPPY", "\"FLOPPY\" is none of");
        check("type: MEMCACHED", "config.addresses: is missing");
        check("type: MEMCACHED\nconfig: {addresses: [nowhere]}", "HOST:PORT");
        check("type: MEMCACHED\nconfig: {addresses: ['dns+a']}", "a port behind the name");
        check("type: MEMCACHED\nconfig: {adresses: [a]}", "line 2, column ");
        check("type: REDIS\nconfig: {addr: 'a:1', password: hunter2, tls_enabled: true}", "tls_enabled");
        check("type: REDIS\nconfig: {addr: 'a:1', pasword: hunter2}", "pasword");
        check("type: REDIS\nconfig: {addr: 'a:1,b:2'}", "cluster");
        check("type: IN-MEMORY\nenabled_items: [Chunks]", "\"Chunks\"");
        let error = CacheConfig::parse_caching_bucket("type: GROUPCACHE").map(drop).unwrap_err();
        assert!(error.to_string().contains("MEMCACHED or REDIS"), "{error}");
        let config =
            CacheConfig::parse_index("type: REDIS\nconfig: {addr: 'a:1', password: hunter2}").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
