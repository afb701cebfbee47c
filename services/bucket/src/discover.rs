//! Which blocks there are. Thanos `pkg/block/fetcher.go`, the concurrent lister.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, stream};
use object_store::path::Path;
use tithon_engine::{BlockId, BlockMeta};

use crate::bucket::key;
use crate::retry::Operation;
use crate::{Bucket, BucketError};

/// Requests under way at once, as Thanos's `--block-meta-fetch-concurrency`.
const CONCURRENCY: usize = 32;

/// The blocks that a listing of the bucket found.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Complete blocks: those that have a meta.json, the ones known before included.
    pub complete: BTreeSet<BlockId>,
    /// Metas of complete blocks that were not known before, ascending by id.
    pub new: Vec<Arc<BlockMeta>>,
    /// Blocks without meta.json: an upload under way, or one that broke off.
    pub partial: Vec<BlockId>,
    /// Blocks whose meta.json is damaged; they are not complete.
    pub corrupt: Vec<Faulty>,
    /// Blocks that the store failed to answer for; whether they are complete is not known.
    pub failed: Vec<Faulty>,
}

/// A block that could not be read.
#[derive(Debug)]
pub struct Faulty {
    /// The block.
    pub block: BlockId,
    /// Why.
    pub error: BucketError,
}

enum Found {
    Known,
    New(Box<BlockMeta>),
    Partial,
}

impl Bucket {
    /// Lists the bucket and reads the meta.json of every block that `known` does not know. A file that stays is not
    /// read again: blocks never change.
    pub async fn discover(&self, known: impl Fn(BlockId) -> bool) -> Result<Discovery, BucketError> {
        let list = || self.store().list_with_delimiter(None);
        let listing = self.retrying(Operation::Iter, list).await;
        let listing = listing.map_err(BucketError::object(&Path::default()))?;
        let ids = listing.common_prefixes.iter().filter_map(|path| path.filename()?.parse::<BlockId>().ok());
        let looks = ids.map(|id| {
            let known = known(id);
            async move { (id, self.look(id, known).await) }
        });
        let mut found = stream::iter(looks.collect::<Vec<_>>()).buffer_unordered(CONCURRENCY);
        let mut out = Discovery::default();
        while let Some((block, result)) = found.next().await {
            match result {
                Ok(Found::Partial) => out.partial.push(block),
                Ok(Found::Known) => drop(out.complete.insert(block)),
                Ok(Found::New(meta)) => {
                    out.complete.insert(block);
                    out.new.push(Arc::new(*meta));
                }
                Err(error @ (BucketError::Meta { .. } | BucketError::WrongId { .. })) => {
                    out.corrupt.push(Faulty { block, error });
                }
                Err(error) => out.failed.push(Faulty { block, error }),
            }
        }
        out.new.sort_by_key(|meta| meta.ulid);
        Ok(out)
    }

    async fn look(&self, block: BlockId, known: bool) -> Result<Found, BucketError> {
        let path = key(block, "meta.json");
        if known {
            return Ok(if self.exists(&path).await? { Found::Known } else { Found::Partial });
        }
        let Some(bytes) = self.get(&path).await? else { return Ok(Found::Partial) };
        let meta = BlockMeta::parse(&bytes).map_err(|source| BucketError::Meta { block, source })?;
        if meta.ulid != block {
            return Err(BucketError::WrongId { block, found: meta.ulid });
        }
        Ok(Found::New(Box::new(meta)))
    }
}
