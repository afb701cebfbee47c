//! ALIYUNOSS: Alibaba Cloud's store, through its S3 protocol. thanos-io/objstore `providers/oss/oss.go`.

use serde::Deserialize;

use super::s3::{Target, place_at};
use super::{Opened, retries};
use crate::config::{HttpConfig, Secret, require};
use crate::{BucketError, ConfigError};

const PROVIDER: &str = "ALIYUNOSS";

/// The keys of an ALIYUNOSS bucket; others are ignored, as in Thanos.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AliyunOssConfig {
    /// Host of the region, such as `oss-cn-hangzhou.aliyuncs.com`; HTTPS unless it begins with `http://`.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// Access key ID.
    pub access_key_id: String,
    /// Access key secret, which signs requests.
    pub access_key_secret: Secret,
}

impl AliyunOssConfig {
    pub(super) fn check(self) -> Result<AliyunOssConfig, ConfigError> {
        let required = [
            ("endpoint", self.endpoint.is_empty()),
            ("bucket", self.bucket.is_empty()),
            ("access_key_id", self.access_key_id.is_empty()),
            ("access_key_secret", self.access_key_secret.is_empty()),
        ];
        require(PROVIDER, &required)?;
        Ok(self)
    }

    pub(super) fn open(&self) -> Result<Opened, BucketError> {
        let (scheme, host) = self.endpoint.split_once("://").unwrap_or(("https", &self.endpoint));
        let host = host.trim_end_matches('/');
        let label = host.split('.').find_map(|label| label.strip_prefix("oss-"));
        let region = label.map_or("us-east-1", |label| label.trim_end_matches("-internal"));
        let place = place_at(host, ".aliyuncs.com");
        let target = Target { provider: PROVIDER, scheme, host, bucket: &self.bucket, region, place };
        let (http, retry) = (HttpConfig::default(), retries(0));
        target.open(target.keyed(&http, retry, &self.access_key_id, &self.access_key_secret))
    }
}
