//! S3: Amazon S3, and the protocol of stores that speak it under other provider names. thanos-io/objstore
//! `providers/s3/s3.go`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{Attribute, Attributes, ClientConfigKey, RetryConfig};
use serde::Deserialize;

use super::aws_credentials::Credentials;
use super::{Opened, retries, without_effect};
use crate::config::{HttpConfig, Secret, require};
use crate::connector::Connector;
use crate::{BucketError, ConfigError};

const PROVIDER: &str = "S3";
/// Range of part sizes in bytes that S3 allows.
const PART_SIZES: std::ops::RangeInclusive<u64> = 5 << 20..=5 << 30;

/// The keys of an S3 bucket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// The bucket's name.
    pub bucket: String,
    /// Host of the server, with a port if needed, without scheme.
    pub endpoint: String,
    /// Region of the bucket; if empty, the one in Amazon's host name, else `us-east-1`.
    pub region: String,
    /// Whether Amazon's endpoints are used over IPv4 only.
    pub disable_dualstack: bool,
    /// Whether credentials are searched where Amazon's tools look for them.
    pub aws_sdk_auth: bool,
    /// Access key ID.
    pub access_key: String,
    /// Whether to use HTTP without TLS.
    pub insecure: bool,
    /// Version 2 signatures; refused.
    pub signature_version2: bool,
    /// Secret key, which signs requests.
    pub secret_key: Secret,
    /// Session token of temporary keys.
    pub session_token: Secret,
    /// Metadata of every object that is written; `X-Amz-Storage-Class` is its storage class.
    pub put_user_metadata: BTreeMap<String, String>,
    /// Settings of the HTTP client.
    pub http_config: HttpConfig,
    /// Request tracing; without effect.
    pub trace: S3Trace,
    /// Version of the list API: `v2` or empty; `v1` is refused.
    pub list_objects_version: String,
    /// Place of the bucket's name in URLs.
    pub bucket_lookup_type: BucketLookup,
    /// Without effect: bodies are signed with SHA-256 instead.
    pub send_content_md5: bool,
    /// Uploads of large objects in one request; refused.
    pub disable_multipart: bool,
    /// Size of upload parts in bytes; 5 MiB by default, 8 MiB of files that are uploaded while they are written. As
    /// many parts as fit into 20 MiB are held in memory, and at least two.
    pub part_size: Option<u64>,
    /// Server-side encryption.
    pub sse_config: S3Encryption,
    /// Endpoint for temporary credentials; empty for Amazon's.
    pub sts_endpoint: String,
    /// Attempts for a request in all; 0 means ten.
    pub max_retries: u32,
}

impl Default for S3Config {
    fn default() -> S3Config {
        S3Config {
            bucket: String::new(),
            endpoint: String::new(),
            region: String::new(),
            disable_dualstack: false,
            aws_sdk_auth: false,
            access_key: String::new(),
            insecure: false,
            signature_version2: false,
            secret_key: Secret::default(),
            session_token: Secret::default(),
            put_user_metadata: BTreeMap::new(),
            http_config: HttpConfig::default(),
            trace: S3Trace::default(),
            list_objects_version: String::new(),
            bucket_lookup_type: BucketLookup::default(),
            send_content_md5: true,
            disable_multipart: false,
            part_size: None,
            sse_config: S3Encryption::default(),
            sts_endpoint: String::new(),
            max_retries: 0,
        }
    }
}

/// `trace`: logging of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Trace {
    /// Whether requests are logged.
    pub enable: bool,
}

/// Place of the bucket's name in URLs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BucketLookup {
    /// In the host for Amazon, Google and Alibaba, else in the path.
    #[default]
    #[serde(alias = "")]
    Auto,
    /// `bucket.endpoint/key`.
    VirtualHosted,
    /// `endpoint/bucket/key`.
    Path,
}

/// `sse_config`: server-side encryption.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Encryption {
    /// `SSE-S3`, `SSE-KMS`, `SSE-C`, or empty for none.
    #[serde(rename = "type")]
    pub kind: String,
    /// With `SSE-KMS`: ID of the key.
    pub kms_key_id: String,
    /// Refused, since it cannot be sent.
    pub kms_encryption_context: BTreeMap<String, String>,
    /// With `SSE-C`: file with the key, 32 bytes.
    pub encryption_key: PathBuf,
}

fn invalid(key: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Invalid { provider: PROVIDER, key, reason: reason.into() }
}

fn unsupported(key: &'static str, reason: &'static str) -> ConfigError {
    ConfigError::Unsupported { provider: PROVIDER, key, reason }
}

impl S3Config {
    pub(super) fn check(self) -> Result<S3Config, ConfigError> {
        let required = [("bucket", self.bucket.is_empty()), ("endpoint", self.endpoint.is_empty())];
        require(PROVIDER, &required)?;
        if self.endpoint.contains('/') {
            return Err(invalid("endpoint", "a host is expected, without a scheme or path"));
        }
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return Err(invalid("secret_key", "access_key and secret_key must be given together"));
        }
        if self.aws_sdk_auth && !self.access_key.is_empty() {
            return Err(invalid("aws_sdk_auth", "excludes access_key"));
        }
        if self.signature_version2 {
            return Err(unsupported("signature_version2", "requests are signed by version 4 only"));
        }
        match self.list_objects_version.as_str() {
            "" | "v2" => {}
            "v1" => return Err(unsupported("list_objects_version", "only v2 is supported")),
            _ => return Err(invalid("list_objects_version", "expected v1 or v2")),
        }
        if self.disable_multipart {
            return Err(unsupported(
                "disable_multipart",
                "large objects are sent in parts, so that they need not be in memory",
            ));
        }
        if self.part_size.is_some_and(|size| !PART_SIZES.contains(&size)) {
            return Err(invalid("part_size", "expected 5 MiB to 5 GiB"));
        }
        self.sse_config.check()?;
        self.http_config.check(PROVIDER)?;
        let ignored = [("trace.enable", self.trace.enable), ("send_content_md5", !self.send_content_md5)];
        without_effect(PROVIDER, &ignored);
        Ok(self)
    }

    /// The region in the signatures of requests.
    fn region(&self) -> &str {
        match amazon_region(&self.endpoint) {
            _ if !self.region.is_empty() => &self.region,
            Some(region) if !region.is_empty() => region,
            _ => "us-east-1",
        }
    }

    /// The host without the bucket's name; for Amazon the one that also has IPv6 addresses.
    fn host(&self) -> Cow<'_, str> {
        match amazon_region(&self.endpoint) {
            Some(_) if !self.disable_dualstack => {
                let domain =
                    if self.region().starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
                format!("s3.dualstack.{}.{domain}", self.region()).into()
            }
            _ => self.endpoint.as_str().into(),
        }
    }

    fn is_virtual_hosted(&self) -> bool {
        let host = self.endpoint.split(':').next().unwrap_or_default();
        let known = [".amazonaws.com", ".amazonaws.com.cn", "storage.googleapis.com", ".aliyuncs.com"];
        match self.bucket_lookup_type {
            BucketLookup::VirtualHosted => true,
            BucketLookup::Path => false,
            // A wildcard certificate for `*.host` does not cover `a.b.host`.
            BucketLookup::Auto if !self.insecure && self.bucket.contains('.') => false,
            BucketLookup::Auto => known.iter().any(|domain| host.ends_with(domain)),
        }
    }

    pub(super) fn open(&self) -> Result<Opened, BucketError> {
        let host = self.host();
        let target = Target {
            provider: PROVIDER,
            scheme: if self.insecure { "http" } else { "https" },
            host: &host,
            bucket: &self.bucket,
            region: self.region(),
            place: if self.is_virtual_hosted() { Place::Host } else { Place::Path },
        };
        let credentials = Credentials::find(&self.access_key, &self.secret_key, &self.session_token)?;
        let builder = credentials.apply(target.builder(&self.http_config, retries(self.max_retries)));
        let builder = match self.sts_endpoint.as_str() {
            "" => builder,
            url => builder.with_config(AmazonS3ConfigKey::StsEndpoint, url).with_metadata_endpoint(url),
        };
        let mut opened = target.open(self.sse_config.apply(builder)?)?;
        opened.part_bytes = self.part_size.and_then(|size| usize::try_from(size).ok());
        opened.attributes = self.attributes();
        Ok(opened)
    }

    fn attributes(&self) -> Attributes {
        let attribute = |(key, value): (&String, &String)| {
            let attribute = match key.eq_ignore_ascii_case("X-Amz-Storage-Class") {
                true => Attribute::StorageClass,
                false => Attribute::Metadata(key.clone().into()),
            };
            (attribute, value.clone())
        };
        self.put_user_metadata.iter().map(attribute).collect()
    }
}

/// The region in the name of an Amazon S3 host: empty for the global host, `None` for other hosts.
fn amazon_region(host: &str) -> Option<&str> {
    let host = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    match host.strip_prefix("s3")? {
        "" => Some(""),
        region => {
            let region = region.strip_prefix(['.', '-'])?;
            let region = region.strip_prefix("dualstack.").unwrap_or(region);
            // Amazon's other hosts, such as for accelerated or private access, are used unchanged.
            let is_region = region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            (is_region && !region.starts_with("fips") && !region.starts_with("accelerate")).then_some(region)
        }
    }
}

impl S3Encryption {
    fn check(&self) -> Result<(), ConfigError> {
        match self.kind.as_str() {
            "" | "SSE-S3" => Ok(()),
            "SSE-KMS" if self.kms_key_id.is_empty() => {
                Err(ConfigError::Missing { provider: PROVIDER, key: "sse_config.kms_key_id" })
            }
            "SSE-KMS" if !self.kms_encryption_context.is_empty() => {
                Err(unsupported("sse_config.kms_encryption_context", "the context cannot be sent"))
            }
            "SSE-KMS" => Ok(()),
            "SSE-C" if self.encryption_key.as_os_str().is_empty() => {
                Err(ConfigError::Missing { provider: PROVIDER, key: "sse_config.encryption_key" })
            }
            "SSE-C" => Ok(()),
            _ => Err(invalid("sse_config.type", "expected SSE-S3, SSE-KMS or SSE-C")),
        }
    }

    fn apply(&self, builder: AmazonS3Builder) -> Result<AmazonS3Builder, BucketError> {
        let failed = |source| BucketError::Store { provider: PROVIDER, source };
        Ok(match self.kind.as_str() {
            "SSE-S3" => builder.with_config("aws_server_side_encryption".parse().map_err(failed)?, "AES256"),
            "SSE-KMS" => builder.with_sse_kms_encryption(&self.kms_key_id),
            "SSE-C" => {
                let path = self.encryption_key.clone();
                let key = std::fs::read(&path).map_err(|source| BucketError::Local { path, source })?;
                if key.len() != 32 {
                    let reason = format!("the file has {} bytes, expected 32", key.len());
                    return Err(invalid("sse_config.encryption_key", reason).into());
                }
                builder.with_ssec_encryption(BASE64_STANDARD.encode(key))
            }
            _ => builder,
        })
    }
}

/// Place of the bucket's name in URLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The name is prepended to the host.
    Host,
    /// The name is prepended to the key.
    Path,
    /// The host is already that of the bucket.
    Given,
}

/// In the host if that is in the provider's `domain`; other servers are unlikely to have host names for buckets.
pub(super) fn place_at(host: &str, domain: &str) -> Place {
    if host.ends_with(domain) { Place::Host } else { Place::Path }
}

/// A bucket that is reached through S3's protocol.
pub(super) struct Target<'a> {
    pub(super) provider: &'static str,
    pub(super) scheme: &'a str,
    pub(super) host: &'a str,
    pub(super) bucket: &'a str,
    pub(super) region: &'a str,
    pub(super) place: Place,
}

impl Target<'_> {
    pub(super) fn builder(&self, http: &HttpConfig, retry: RetryConfig) -> AmazonS3Builder {
        let Target { scheme, host, bucket, .. } = self;
        let endpoint = match self.place {
            Place::Host => format!("{scheme}://{bucket}.{host}"),
            Place::Path | Place::Given => format!("{scheme}://{host}"),
        };
        AmazonS3Builder::new()
            .with_bucket_name(*bucket)
            .with_region(self.region)
            .with_endpoint(endpoint)
            .with_virtual_hosted_style_request(self.place != Place::Path)
            // Deleting one by one works with every server, and a block has few objects.
            .with_disable_bulk_delete(true)
            .with_client_options(Connector::options(http))
            .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp), "true")
            .with_http_connector(Connector::new(http))
            .with_retry(retry)
    }

    /// A builder with the credentials of an access key.
    pub(super) fn keyed(
        &self,
        http: &HttpConfig,
        retry: RetryConfig,
        id: &str,
        key: &Secret,
    ) -> AmazonS3Builder {
        self.builder(http, retry).with_access_key_id(id).with_secret_access_key(key.expose())
    }

    pub(super) fn open(&self, builder: AmazonS3Builder) -> Result<Opened, BucketError> {
        let provider = self.provider;
        let store = builder.build().map_err(|source| BucketError::Store { provider, source })?;
        Ok(Opened::new(store, self.bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(endpoint: &str, region: &str, bucket: &str) -> (String, String, bool) {
        let (bucket, endpoint, region) = (bucket.to_owned(), endpoint.to_owned(), region.to_owned());
        let config = S3Config { bucket, endpoint, region, ..S3Config::default() };
        (config.host().into_owned(), config.region().to_owned(), config.is_virtual_hosted())
    }

    #[test]
    fn hosts_and_regions() {
        for (endpoint, region, bucket, host, signed, virtual_hosted) in [
            ("minio:9000", "", "b", "minio:9000", "us-east-1", false),
            ("minio:9000", "local", "b", "minio:9000", "local", false),
            ("s3.amazonaws.com", "", "b", "s3.dualstack.us-east-1.amazonaws.com", "us-east-1", true),
            ("s3.amazonaws.com", "eu-west-1", "b", "s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1", true),
            (
                "s3.eu-west-1.amazonaws.com",
                "",
                "b",
                "s3.dualstack.eu-west-1.amazonaws.com",
                "eu-west-1",
                true,
            ),
            (
                "s3-eu-west-1.amazonaws.com",
                "",
                "b.c",
                "s3.dualstack.eu-west-1.amazonaws.com",
                "eu-west-1",
                false,
            ),
            (
                "s3.cn-north-1.amazonaws.com.cn",
                "",
                "b",
                "s3.dualstack.cn-north-1.amazonaws.com.cn",
                "cn-north-1",
                true,
            ),
            (
                "s3-fips.us-east-2.amazonaws.com",
                "us-east-2",
                "b",
                "s3-fips.us-east-2.amazonaws.com",
                "us-east-2",
                true,
            ),
            ("storage.googleapis.com", "", "b", "storage.googleapis.com", "us-east-1", true),
        ] {
            let expected = (host.to_owned(), signed.to_owned(), virtual_hosted);
            assert_eq!(place(endpoint, region, bucket), expected, "{endpoint}");
        }
    }
}
