//! Thanos's object store providers: their configuration and their clients. thanos-io/objstore `providers/`.

mod aliyunoss;
mod aws_credentials;
mod azure;
mod bos;
mod cos;
mod filesystem;
mod gcs;
mod obs;
mod s3;
mod swift;

use std::sync::Arc;
use std::time::Duration;

use object_store::{Attributes, BackoffConfig, ObjectStore, RetryConfig};

pub use self::aliyunoss::AliyunOssConfig;
pub use self::azure::{AzureConfig, AzurePipeline, AzureReader};
pub use self::bos::BosConfig;
pub use self::cos::CosConfig;
pub use self::filesystem::FilesystemConfig;
pub use self::gcs::GcsConfig;
pub use self::obs::ObsConfig;
pub use self::s3::{BucketLookup, S3Config, S3Encryption, S3Trace};
pub use self::swift::SwiftConfig;
use crate::config::read;
use crate::{BucketError, ConfigError, Retry};

/// Size of the ranges of a download, and default size of the parts of an object whose size is not known.
pub(crate) const PART_BYTES: usize = 8 << 20;

/// A provider and its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// A directory on local disk.
    Filesystem(FilesystemConfig),
    /// Amazon S3, and stores that speak its protocol.
    S3(Box<S3Config>),
    /// Google Cloud Storage.
    Gcs(Box<GcsConfig>),
    /// Azure Blob Storage.
    Azure(Box<AzureConfig>),
    /// OpenStack Object Storage.
    Swift(Box<SwiftConfig>),
    /// Tencent Cloud Object Storage.
    Cos(Box<CosConfig>),
    /// Alibaba Cloud Object Storage Service.
    AliyunOss(Box<AliyunOssConfig>),
    /// Huawei Cloud Object Storage Service.
    Obs(Box<ObsConfig>),
    /// Baidu Object Storage.
    Bos(Box<BosConfig>),
}

/// The client of an object store, with its settings.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The bucket's name, for metrics.
    pub(crate) name: String,
    /// Attributes of every object that is written.
    pub(crate) attributes: Attributes,
    /// Size of the parts of uploads, if the configuration sets it.
    pub(crate) part_bytes: Option<usize>,
    /// Retries in addition to those of the client itself.
    pub(crate) retry: Retry,
}

impl Opened {
    /// A client that repeats failed requests itself.
    fn new(store: impl ObjectStore, name: &str) -> Opened {
        Opened {
            store: Arc::new(store),
            name: name.to_owned(),
            attributes: Attributes::new(),
            part_bytes: None,
            retry: Retry::NEVER,
        }
    }
}

impl Provider {
    /// Parses the configuration of the provider named `name`.
    pub(crate) fn read(name: &str, yaml: &str) -> Result<Provider, ConfigError> {
        Ok(match name.to_uppercase().as_str() {
            "FILESYSTEM" => Provider::Filesystem(read::<FilesystemConfig>(yaml)?.check()?),
            "S3" => Provider::S3(Box::new(read::<S3Config>(yaml)?.check()?)),
            "GCS" => Provider::Gcs(Box::new(read::<GcsConfig>(yaml)?.check()?)),
            "AZURE" => Provider::Azure(Box::new(read::<AzureConfig>(yaml)?.check()?)),
            "SWIFT" => Provider::Swift(Box::new(read::<SwiftConfig>(yaml)?.check()?)),
            "COS" => Provider::Cos(Box::new(read::<CosConfig>(yaml)?.check()?)),
            "ALIYUNOSS" => Provider::AliyunOss(Box::new(read::<AliyunOssConfig>(yaml)?.check()?)),
            "OBS" => Provider::Obs(Box::new(read::<ObsConfig>(yaml)?.check()?)),
            "BOS" => Provider::Bos(Box::new(read::<BosConfig>(yaml)?.check()?)),
            "OCI" => return Err(NO_OCI),
            "" => return Err(ConfigError::Missing { provider: "bucket", key: "type" }),
            _ => return Err(ConfigError::UnknownProvider(name.to_owned())),
        })
    }

    /// Opens the client; `None` for a directory, which needs none.
    pub(crate) fn open(&self) -> Result<Option<Opened>, BucketError> {
        match self {
            Provider::Filesystem(_) => return Ok(None),
            Provider::S3(config) => config.open(),
            Provider::Gcs(config) => config.open(),
            Provider::Azure(config) => config.open(),
            Provider::Swift(config) => config.open(),
            Provider::Cos(config) => config.open(),
            Provider::AliyunOss(config) => config.open(),
            Provider::Obs(config) => config.open(),
            Provider::Bos(config) => config.open(),
        }
        .map(Some)
    }
}

/// Oracle's own protocol signs with an account's key. Its S3 protocol needs "customer secret keys", which cannot be
/// derived from this provider's configuration.
const NO_OCI: ConfigError = ConfigError::Unsupported {
    provider: "OCI",
    key: "type",
    reason: "use type S3 with the endpoint NAMESPACE.compat.objectstorage.REGION.oraclecloud.com and a customer secret key",
};

/// Retries of failed requests as in minio-go, which Thanos uses for S3: `tries` attempts in all, 0 means ten; pauses
/// grow from 200 ms to 1 s.
fn retries(tries: u32) -> RetryConfig {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(1),
        base: 2.0,
    };
    let max_retries = if tries == 0 { 9 } else { tries as usize - 1 };
    RetryConfig { backoff, max_retries, ..RetryConfig::default() }
}

/// Warns of settings that are accepted but have no effect.
fn without_effect(provider: &'static str, settings: &[(&'static str, bool)]) {
    for (key, _) in settings.iter().filter(|(_, is_set)| *is_set) {
        tracing::warn!(provider, key, "this setting has no effect");
    }
}
