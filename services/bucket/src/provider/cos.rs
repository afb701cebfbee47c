//! COS: Tencent Cloud's store, through its S3 protocol. thanos-io/objstore `providers/cos/cos.go`.

use serde::Deserialize;

use super::s3::{Place, Target};
use super::{Opened, retries};
use crate::config::{HttpConfig, Secret, require};
use crate::{BucketError, ConfigError};

const PROVIDER: &str = "COS";

/// The keys of a COS bucket; others are ignored, as in Thanos.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CosConfig {
    /// Name of the bucket without the application ID.
    pub bucket: String,
    /// Region of the bucket.
    pub region: String,
    /// Application ID.
    pub app_id: String,
    /// URL of the bucket, instead of the three settings above.
    pub endpoint: String,
    /// Secret ID of the key.
    pub secret_id: String,
    /// Secret key, which signs requests.
    pub secret_key: Secret,
    /// Attempts for a request in all; 0 means ten.
    pub max_retries: u32,
    /// Settings of the HTTP client.
    pub http_config: HttpConfig,
}

impl CosConfig {
    pub(super) fn check(self) -> Result<CosConfig, ConfigError> {
        let keys = [("secret_id", self.secret_id.is_empty()), ("secret_key", self.secret_key.is_empty())];
        require(PROVIDER, &keys)?;
        if self.endpoint.is_empty() {
            let parts = [
                ("bucket", self.bucket.is_empty()),
                ("app_id", self.app_id.is_empty()),
                ("region", self.region.is_empty()),
            ];
            require(PROVIDER, &parts)?;
        }
        self.http_config.check(PROVIDER)?;
        Ok(self)
    }

    pub(super) fn open(&self) -> Result<Opened, BucketError> {
        let (scheme, host) = match self.endpoint.split_once("://") {
            Some((scheme, host)) => (scheme, host.trim_end_matches('/').to_owned()),
            None if !self.endpoint.is_empty() => ("https", self.endpoint.trim_end_matches('/').to_owned()),
            None => {
                let CosConfig { bucket, app_id, region, .. } = self;
                ("https", format!("{bucket}-{app_id}.cos.{region}.myqcloud.com"))
            }
        };
        let in_host = host.split_once(".cos.").and_then(|(_, rest)| rest.split('.').next());
        let region = match in_host {
            _ if !self.region.is_empty() => self.region.as_str(),
            Some(region) => region,
            None => "us-east-1",
        };
        let bucket =
            if self.bucket.is_empty() { host.split('.').next().unwrap_or_default() } else { &self.bucket };
        let target = Target { provider: PROVIDER, scheme, host: &host, bucket, region, place: Place::Given };
        let retry = retries(self.max_retries);
        target.open(target.keyed(&self.http_config, retry, &self.secret_id, &self.secret_key))
    }
}
