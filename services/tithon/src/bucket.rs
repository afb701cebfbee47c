//! The bucket that flags describe.

use tithon_bucket::{Bucket, BucketConfig, BucketError, ConfigError};

use crate::flags::{BucketFlags, GivenBucket, PathOrContentError};

/// Why the bucket of the flags cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BucketFlagsError {
    /// The configuration was given in a way that cannot be read.
    #[error(transparent)]
    Flag(#[from] PathOrContentError),
    /// The configuration is wrong.
    #[error("{origin}: {source}")]
    Config {
        /// The flag it was given by, with the file's path.
        origin: String,
        /// What is wrong.
        source: ConfigError,
    },
    /// No configuration was given.
    #[error("no bucket is given: use --{0}.config-file=FILE or --{0}.config=YAML")]
    NoBucket(&'static str),
    /// The bucket cannot be opened.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// The bucket that the flags describe; nothing is opened.
pub fn bucket_config(flags: &BucketFlags) -> Result<BucketConfig, BucketFlagsError> {
    let given = flags.given();
    config_of(given)?.ok_or(BucketFlagsError::NoBucket(given.flag))
}

/// The bucket that any pair of flags describes; `None` when they describe none.
fn config_of(given: GivenBucket<'_>) -> Result<Option<BucketConfig>, BucketFlagsError> {
    let wrong = |source| BucketFlagsError::Config { origin: given.origin(), source };
    given.content()?.map(|yaml| BucketConfig::parse(&yaml).map_err(wrong)).transpose()
}

/// Opens the bucket that the flags describe.
pub async fn open_bucket(flags: &BucketFlags) -> Result<Bucket, BucketFlagsError> {
    open_given(flags.given()).await
}

/// Opens the bucket that any pair of flags describes.
pub async fn open_given(given: GivenBucket<'_>) -> Result<Bucket, BucketFlagsError> {
    find_given(given).await?.ok_or(BucketFlagsError::NoBucket(given.flag))
}

/// Opens the bucket that any pair of flags describes; `None` when they describe none.
pub async fn find_given(given: GivenBucket<'_>) -> Result<Option<Bucket>, BucketFlagsError> {
    Ok(match config_of(given)? {
        Some(config) => Some(Bucket::connect(&config).await?),
        None => None,
    })
}
