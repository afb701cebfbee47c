//! SWIFT: OpenStack Object Storage. thanos-io/objstore `providers/swift/swift.go`.

mod auth;
mod client;
mod large;
mod listing;
mod store;

use reqwest::Url;
use serde::Deserialize;

use self::client::Swift;
use super::Opened;
use crate::config::{HttpConfig, Secret, Span, require};
use crate::{BucketError, ConfigError};

const PROVIDER: &str = "SWIFT";
/// Largest segment in bytes. A server accepts 1,000 segments per object, so objects may have 32 GB; four segments are
/// held in memory.
const SEGMENT_BYTES_MAX: u64 = 32 << 20;

/// The keys of a SWIFT container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwiftConfig {
    /// Version of the authentication protocol: 1, 2 or 3; 0 for the one in `auth_url`.
    pub auth_version: u8,
    /// URL of the token service.
    pub auth_url: String,
    /// Name of the user.
    pub username: String,
    /// Name of the user's domain.
    pub user_domain_name: String,
    /// ID of the user's domain.
    pub user_domain_id: String,
    /// ID of the user, instead of name and domain.
    pub user_id: String,
    /// Password of the user.
    pub password: Secret,
    /// The same as `user_domain_id`.
    pub domain_id: String,
    /// The same as `user_domain_name`.
    pub domain_name: String,
    /// ID of an application credential, instead of a user.
    pub application_credential_id: String,
    /// Name of an application credential, with the user that owns it.
    pub application_credential_name: String,
    /// Secret of the application credential.
    pub application_credential_secret: Secret,
    /// ID of the project.
    pub project_id: String,
    /// Name of the project.
    pub project_name: String,
    /// ID of the project's domain; the user's domain if not given.
    pub project_domain_id: String,
    /// Name of the project's domain.
    pub project_domain_name: String,
    /// Region; empty for the first one.
    pub region_name: String,
    /// Name of the container, which must exist.
    pub container_name: String,
    /// Size in bytes from which objects are uploaded in segments; segments have at most 32 MiB.
    pub large_object_chunk_size: u64,
    /// Container of the segments; if empty, the same container below `segments/`.
    pub large_object_segments_container_name: String,
    /// Number of retries of a failed request.
    pub retries: u32,
    /// Timeout of connecting.
    pub connect_timeout: Span,
    /// Timeout of a request, including its body.
    pub timeout: Span,
    /// Whether large objects get a dynamic manifest, which names a prefix, instead of a list of segments.
    pub use_dynamic_large_objects: bool,
    /// Settings of the HTTP client.
    pub http_config: HttpConfig,
}

impl Default for SwiftConfig {
    fn default() -> SwiftConfig {
        let none = String::new;
        SwiftConfig {
            auth_version: 0,
            auth_url: none(),
            username: none(),
            user_domain_name: none(),
            user_domain_id: none(),
            user_id: none(),
            password: Secret::default(),
            domain_id: none(),
            domain_name: none(),
            application_credential_id: none(),
            application_credential_name: none(),
            application_credential_secret: Secret::default(),
            project_id: none(),
            project_name: none(),
            project_domain_id: none(),
            project_domain_name: none(),
            region_name: none(),
            container_name: none(),
            large_object_chunk_size: 1 << 30,
            large_object_segments_container_name: none(),
            retries: 3,
            connect_timeout: Span::secs(10),
            timeout: Span::secs(300),
            use_dynamic_large_objects: false,
            http_config: HttpConfig::default(),
        }
    }
}

impl SwiftConfig {
    pub(super) fn check(self) -> Result<SwiftConfig, ConfigError> {
        let required =
            [("auth_url", self.auth_url.is_empty()), ("container_name", self.container_name.is_empty())];
        require(PROVIDER, &required)?;
        let invalid = |key, reason: &str| {
            Err(ConfigError::Invalid { provider: PROVIDER, key, reason: reason.to_owned() })
        };
        if Url::parse(&self.auth_url).is_err() {
            return invalid("auth_url", "this is not a URL");
        }
        if self.version().is_none() {
            return invalid("auth_version", "expected 1, 2 or 3, here or as v1, v2 or v3 in auth_url");
        }
        if self.large_object_chunk_size == 0 {
            return invalid("large_object_chunk_size", "expected more than 0 bytes");
        }
        self.http_config.check(PROVIDER)?;
        Ok(self)
    }

    /// The version of the authentication protocol; `None` when it is unknown.
    fn version(&self) -> Option<u8> {
        match self.auth_version {
            0 => (1..=3).rev().find(|version| self.auth_url.contains(&format!("v{version}"))),
            version => (1..=3).contains(&version).then_some(version),
        }
    }

    pub(super) fn open(&self) -> Result<Opened, BucketError> {
        let store = Swift::new(self).map_err(|source| BucketError::Store { provider: PROVIDER, source })?;
        let part_bytes = self.large_object_chunk_size.min(SEGMENT_BYTES_MAX);
        let part_bytes = usize::try_from(part_bytes).unwrap_or(usize::MAX);
        Ok(Opened { part_bytes: Some(part_bytes), ..Opened::new(store, &self.container_name) })
    }
}
