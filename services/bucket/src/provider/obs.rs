//! OBS: Huawei Cloud's store, through its S3 protocol. thanos-io/objstore `providers/obs/obs.go`.

use serde::Deserialize;

use super::s3::{Target, place_at};
use super::{Opened, retries};
use crate::config::{HttpConfig, Secret, require};
use crate::{BucketError, ConfigError};

const PROVIDER: &str = "OBS";

/// The keys of an OBS bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObsConfig {
    /// The bucket's name.
    pub bucket: String,
    /// Host of the region, such as `obs.cn-north-4.myhuaweicloud.com`; HTTPS unless it begins with `http://`.
    pub endpoint: String,
    /// Access key ID.
    pub access_key: String,
    /// Secret key, which signs requests.
    pub secret_key: Secret,
    /// Attempts for a request in all; 0 means ten.
    pub max_retries: u32,
    /// Settings of the HTTP client.
    pub http_config: HttpConfig,
}

impl ObsConfig {
    pub(super) fn check(self) -> Result<ObsConfig, ConfigError> {
        let required = [
            ("bucket", self.bucket.is_empty()),
            ("endpoint", self.endpoint.is_empty()),
            ("access_key", self.access_key.is_empty()),
            ("secret_key", self.secret_key.is_empty()),
        ];
        require(PROVIDER, &required)?;
        self.http_config.check(PROVIDER)?;
        Ok(self)
    }

    pub(super) fn open(&self) -> Result<Opened, BucketError> {
        let (scheme, host) = self.endpoint.split_once("://").unwrap_or(("https", &self.endpoint));
        let host = host.trim_end_matches('/');
        let region = host.strip_prefix("obs.").and_then(|rest| rest.split('.').next()).unwrap_or("us-east-1");
        let place = place_at(host, ".myhuaweicloud.com");
        let target = Target { provider: PROVIDER, scheme, host, bucket: &self.bucket, region, place };
        let retry = retries(self.max_retries);
        target.open(target.keyed(&self.http_config, retry, &self.access_key, &self.secret_key))
    }
}
