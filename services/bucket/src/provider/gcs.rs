//! GCS: Google Cloud Storage. thanos-io/objstore `providers/gcs/gcs.go`.

use std::env;

use object_store::RetryConfig;
use object_store::gcp::GoogleCloudStorageBuilder;
use serde::Deserialize;

use super::{Opened, without_effect};
use crate::config::{HttpConfig, Secret, require};
use crate::connector::Connector;
use crate::{BucketError, ConfigError};

const PROVIDER: &str = "GCS";

/// The keys of a GCS bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GcsConfig {
    /// The bucket's name.
    pub bucket: String,
    /// JSON key of a service account; empty for the application's default credentials.
    pub service_account: Secret,
    /// Without effect: requests go over HTTP.
    pub use_grpc: bool,
    /// Without effect.
    pub grpc_conn_pool_size: i64,
    /// Settings of the HTTP client.
    pub http_config: HttpConfig,
    /// Without effect: uploads use parts of 5 or 8 MiB.
    pub chunk_size_bytes: i64,
    /// Attempts for a request in all; 0 means ten.
    pub max_retries: u32,
}

/// The field that tells kinds of credentials apart. The other fields are parsed so that no other parser reports and
/// quotes them.
#[derive(Deserialize)]
struct Kind {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default, rename = "private_key")]
    _key: String,
    #[serde(default, rename = "private_key_id")]
    _id: String,
    #[serde(default, rename = "client_email")]
    _email: String,
}

impl GcsConfig {
    pub(super) fn check(self) -> Result<GcsConfig, ConfigError> {
        require(PROVIDER, &[("bucket", self.bucket.is_empty())])?;
        self.http_config.check(PROVIDER)?;
        if !self.service_account.is_empty() {
            let (provider, key) = (PROVIDER, "service_account");
            match serde_json::from_str::<Kind>(self.service_account.expose()) {
                Err(_) => {
                    let reason = "this is not the JSON of a key".to_owned();
                    return Err(ConfigError::Invalid { provider, key, reason });
                }
                Ok(Kind { kind, .. }) if kind != "service_account" => {
                    let reason = "only keys of type service_account can stand here";
                    return Err(ConfigError::Unsupported { provider, key, reason });
                }
                Ok(_) => {}
            }
        }
        let ignored = [
            ("use_grpc", self.use_grpc),
            ("grpc_conn_pool_size", self.grpc_conn_pool_size != 0),
            ("chunk_size_bytes", self.chunk_size_bytes != 0),
        ];
        without_effect(PROVIDER, &ignored);
        Ok(self)
    }

    pub(super) fn open(&self) -> Result<Opened, BucketError> {
        let max_retries = if self.max_retries == 0 { 9 } else { self.max_retries as usize - 1 };
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.bucket)
            .with_client_options(Connector::options(&self.http_config).with_allow_http(true))
            .with_http_connector(Connector::new(&self.http_config))
            .with_retry(RetryConfig { max_retries, ..RetryConfig::default() });
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(emulator) = variable("STORAGE_EMULATOR_HOST") {
            let url = if emulator.contains("://") { emulator } else { format!("http://{emulator}") };
            builder = builder.with_base_url(url.trim_end_matches('/')).with_skip_signature(true);
        } else if !self.service_account.is_empty() {
            builder = builder.with_service_account_key(self.service_account.expose());
        } else if let Some(path) = variable("GOOGLE_APPLICATION_CREDENTIALS") {
            builder = builder.with_application_credentials(path);
        }
        let failed = |source| BucketError::Store { provider: PROVIDER, source };
        Ok(Opened::new(builder.build().map_err(failed)?, &self.bucket))
    }
}
