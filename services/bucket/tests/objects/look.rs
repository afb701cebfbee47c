//! The first look of a catalogue at a bucket.

use std::sync::Arc;

use tithon_bucket::{Bucket, BucketError, Catalogue, MarkKind};
use tithon_engine::{BlockId, BlockMeta};

/// The result of a look.
#[derive(Debug)]
pub(crate) struct Found {
    /// Metas of complete blocks, ascending by id.
    pub(crate) new: Vec<Arc<BlockMeta>>,
    /// Blocks without meta.json.
    pub(crate) partial: Vec<BlockId>,
}

/// Looks at a bucket with a new catalogue.
pub(crate) async fn look(bucket: &Bucket) -> Result<Found, BucketError> {
    let mut catalogue = Catalogue::new(bucket.clone(), &MarkKind::ALL);
    let look = catalogue.look().await?;
    Ok(Found { new: catalogue.metas().cloned().collect(), partial: look.partial })
}
