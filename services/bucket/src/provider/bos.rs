//! BOS: Baidu's store, through its S3 protocol. thanos-io/objstore `providers/bos/bos.go`.

use std::borrow::Cow;

use serde::Deserialize;

use super::s3::{Place, Target};
use super::{Opened, retries};
use crate::config::{HttpConfig, Secret, require};
use crate::{BucketError, ConfigError};

const PROVIDER: &str = "BOS";

/// The keys of a BOS bucket; others are ignored, as in Thanos.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BosConfig {
    /// The bucket's name.
    pub bucket: String,
    /// Host of the region, such as `bj.bcebos.com`; HTTPS unless it begins with `http://`.
    pub endpoint: String,
    /// Access key ID.
    pub access_key: String,
    /// Secret key, which signs requests.
    pub secret_key: Secret,
}

impl BosConfig {
    pub(super) fn check(self) -> Result<BosConfig, ConfigError> {
        let required = [
            ("bucket", self.bucket.is_empty()),
            ("endpoint", self.endpoint.is_empty()),
            ("access_key", self.access_key.is_empty()),
            ("secret_key", self.secret_key.is_empty()),
        ];
        require(PROVIDER, &required)?;
        Ok(self)
    }

    pub(super) fn open(&self) -> Result<Opened, BucketError> {
        let (scheme, host) = self.endpoint.split_once("://").unwrap_or(("https", &self.endpoint));
        let (host, region) = s3_host(host.trim_end_matches('/'));
        let target = Target {
            provider: PROVIDER,
            scheme,
            host: &host,
            bucket: &self.bucket,
            region,
            place: Place::Path,
        };
        target.open(target.keyed(&HttpConfig::default(), retries(0), &self.access_key, &self.secret_key))
    }
}

/// The host that speaks S3's protocol, derived from the host of Baidu's own protocol, and the region.
fn s3_host(host: &str) -> (Cow<'_, str>, &str) {
    match host.strip_suffix(".bcebos.com").map(|region| region.trim_start_matches("s3.")) {
        Some(region) => (format!("s3.{region}.bcebos.com").into(), region),
        None => (host.into(), "us-east-1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_other_protocol() {
        for (host, expected) in [
            ("bj.bcebos.com", ("s3.bj.bcebos.com".into(), "bj")),
            ("s3.gz.bcebos.com", ("s3.gz.bcebos.com".into(), "gz")),
            ("localhost:1", ("localhost:1".into(), "us-east-1")),
        ] {
            assert_eq!(s3_host(host), expected, "{host}");
        }
    }
}
