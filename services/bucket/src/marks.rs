//! Marker files beside a block. Thanos `pkg/block/metadata/markers.go`.

use serde::Deserialize;
use tithon_engine::BlockId;

use crate::bucket::key;
use crate::{Bucket, BucketError};

/// A block that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeletionMark {
    /// The version of the marker; 1.
    version: i64,
    /// Why, for people.
    #[serde(default)]
    pub details: String,
    /// When it was marked, seconds since the Unix epoch.
    pub deletion_time: i64,
}

impl Bucket {
    /// The deletion mark of a block, if it has one. A mark that is no JSON counts as none, as an upload that broke off
    /// leaves it so; a version other than 1 is an error.
    pub async fn deletion_mark(&self, block: BlockId) -> Result<Option<DeletionMark>, BucketError> {
        let path = key(block, "deletion-mark.json");
        let Some(bytes) = self.get(&path).await? else { return Ok(None) };
        let mark: DeletionMark = match serde_json::from_slice(&bytes) {
            Ok(mark) => mark,
            Err(error) => {
                tracing::warn!(block = %block, error = %error, "deletion mark cannot be read, taken for partial");
                return Ok(None);
            }
        };
        if mark.version != 1 {
            return Err(BucketError::MarkVersion { path: path.to_string(), found: mark.version });
        }
        Ok(Some(mark))
    }
}
