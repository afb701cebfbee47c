//! Blocks in object storage: listing, opening, ranged reads, uploads and downloads, marks, deletion.
//!
//! Object paths do not leave this crate. The blocks of a bucket on local disk are mapped; all others are read by
//! ranges.

mod block;
mod bucket;
mod cache;
mod catalogue;
mod config;
mod connector;
mod copy;
mod delete;
mod deletions;
mod directory;
mod error;
mod flights;
mod headers;
mod hedge;
mod known_block;
mod listing;
mod marks;
mod metrics;
mod parts;
mod provider;
mod ranges;
mod record;
mod retry;
mod selector;
mod sink;
mod snapshot;
mod transfer;

pub use crate::block::BucketBlock;
pub use crate::bucket::Bucket;
pub use crate::cache::{CacheConfig, CacheConfigError, RangeCache};
pub use crate::catalogue::{Catalogue, Faulty, Look};
pub use crate::config::{BucketConfig, ConfigError, HttpConfig, Secret, Size, Span, TlsConfig, parse_size};
pub use crate::copy::Copied;
pub use crate::deletions::{DeletionError, DeletionRecord, Deletions};
pub use crate::error::BucketError;
pub use crate::headers::KeptFilter;
pub use crate::hedge::HedgingConfig;
pub use crate::known_block::KnownBlock;
pub use crate::listing::BlockObjects;
pub use crate::marks::{DeletionMark, Mark, MarkKind};
pub use crate::provider::{
    AliyunOssConfig, AzureConfig, AzurePipeline, AzureReader, BosConfig, BucketLookup, CosConfig,
    FilesystemConfig, GcsConfig, ObsConfig, Provider, S3Config, S3Encryption, S3Trace, SwiftConfig,
};
pub use crate::record::Record;
pub use crate::retry::Retry;
pub use crate::selector::{SelectorError, parse_selector};
pub use crate::sink::BucketFiles;
pub use crate::transfer::TransferOptions;
