//! Opens the bucket that flags configure.

use tithon_bucket::{Bucket, BucketConfig, BucketError, ConfigError};

use crate::flags::{BucketFlags, GivenBucket, PathOrContentError};

/// Why the bucket cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketFlagsError {
    /// The flags' file cannot be read, or both flags are given.
    #[error(transparent)]
    Flag(#[from] PathOrContentError),
    /// The configuration is invalid.
    #[error("{origin}: {source}")]
    Config {
        /// The flag with the configuration, and the file's path.
        origin: String,
        /// What is wrong with the configuration.
        source: ConfigError,
    },
    /// No bucket is configured.
    #[error("no bucket is given: use --{0}.config-file=FILE or --{0}.config=YAML")]
    NoBucket(&'static str),
    /// The bucket cannot be opened.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// The configuration of the bucket; the bucket is not opened.
pub fn bucket_config(flags: &BucketFlags) -> Result<BucketConfig, BucketFlagsError> {
    let given = flags.given();
    config_of(given)?.ok_or(BucketFlagsError::NoBucket(given.flag))
}

/// The configuration in any pair of flags; `None` when neither is given.
fn config_of(given: GivenBucket<'_>) -> Result<Option<BucketConfig>, BucketFlagsError> {
    let wrong = |source| BucketFlagsError::Config { origin: given.origin(), source };
    given.content()?.map(|yaml| BucketConfig::parse(&yaml).map_err(wrong)).transpose()
}

/// Opens the configured bucket.
pub async fn open_bucket(flags: &BucketFlags) -> Result<Bucket, BucketFlagsError> {
    open_given(flags.given()).await
}

/// Opens the bucket configured by any pair of flags.
pub async fn open_given(given: GivenBucket<'_>) -> Result<Bucket, BucketFlagsError> {
    find_given(given).await?.ok_or(BucketFlagsError::NoBucket(given.flag))
}

/// Opens the bucket configured by any pair of flags; `None` when neither is given.
pub async fn find_given(given: GivenBucket<'_>) -> Result<Option<Bucket>, BucketFlagsError> {
    Ok(match config_of(given)? {
        Some(config) => Some(Bucket::connect(&config).await?),
        None => None,
    })
}
