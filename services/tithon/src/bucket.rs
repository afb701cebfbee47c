//! The bucket that flags describe.

use tithon_bucket::{Bucket, BucketConfig, BucketError, ConfigError};

use crate::flags::{BucketFlags, PathOrContentError};

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
    #[error("no bucket is given: use --objstore.config-file=FILE or --objstore.config=YAML")]
    NoBucket,
    /// The bucket cannot be opened.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// The bucket that the flags describe; nothing is opened.
pub fn bucket_config(flags: &BucketFlags) -> Result<BucketConfig, BucketFlagsError> {
    let yaml = flags.content()?.ok_or(BucketFlagsError::NoBucket)?;
    let wrong = |source| BucketFlagsError::Config { origin: flags.origin(), source };
    BucketConfig::parse(&yaml).map_err(wrong)
}

/// Opens the bucket that the flags describe.
pub async fn open_bucket(flags: &BucketFlags) -> Result<Bucket, BucketFlagsError> {
    Ok(Bucket::connect(&bucket_config(flags)?).await?)
}
