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
    config_of(flags.given())
}

fn config_of(given: GivenBucket<'_>) -> Result<BucketConfig, BucketFlagsError> {
    let yaml = given.content()?.ok_or(BucketFlagsError::NoBucket(given.flag))?;
    BucketConfig::parse(&yaml).map_err(|source| BucketFlagsError::Config { origin: given.origin(), source })
}

/// Opens the bucket that the flags describe.
pub async fn open_bucket(flags: &BucketFlags) -> Result<Bucket, BucketFlagsError> {
    open_given(flags.given()).await
}

/// Opens the bucket that any pair of flags describes.
pub async fn open_given(given: GivenBucket<'_>) -> Result<Bucket, BucketFlagsError> {
    Ok(Bucket::connect(&config_of(given)?).await?)
}
