//! What the tools see of a bucket.

use std::collections::BTreeMap;
use std::time::Duration;

use tithon_bucket::{Bucket, BucketError, Catalogue, KnownBlock, MarkKind};
use tithon_engine::plan::Scope;
use tithon_engine::{BlockId, BlockMeta};
use tithon_runtime::now_ms;

/// Lists a bucket and reads the metas of its blocks, and their marks of these kinds. What cannot be read is named in a warning.
pub(super) async fn look(bucket: &Bucket, marks: &[MarkKind]) -> Result<Catalogue, BucketError> {
    let mut catalogue = Catalogue::new(bucket.clone(), marks);
    let look = catalogue.look().await?;
    for faulty in look.corrupt.iter().chain(&look.failed) {
        tracing::warn!(block = %faulty.block, error = %faulty.error, "block is left out");
    }
    for block in &look.partial {
        tracing::warn!(block = %block, "block is left out: it has no meta.json");
    }
    Ok(catalogue)
}

/// The blocks that are in scope now, ascending by id.
pub(super) fn in_scope<'c>(catalogue: &'c Catalogue, scope: &Scope) -> Vec<&'c KnownBlock> {
    let now_ms = now_ms();
    catalogue.blocks().values().filter(|block| scope.excludes(block.meta(), now_ms).is_none()).collect()
}

/// The blocks to look at: those that are named, all raw ones, or the newest raw one of each set of external labels.
pub(super) fn choose<'b>(
    ids: &[BlockId],
    all: bool,
    blocks: Vec<&'b KnownBlock>,
) -> Result<Vec<&'b KnownBlock>, String> {
    if let Some(id) = ids.iter().find(|id| !blocks.iter().any(|block| block.meta().ulid == **id)) {
        return Err(format!("--id={id}: the bucket has no such block that the other flags choose"));
    }
    if !ids.is_empty() {
        return Ok(blocks.into_iter().filter(|block| ids.contains(&block.meta().ulid)).collect());
    }
    let raw = blocks.into_iter().filter(|block| block.meta().resolution_ms() == 0);
    if all {
        return Ok(raw.collect());
    }
    let external = |meta: &BlockMeta| meta.thanos.as_ref().map(|thanos| thanos.labels.clone());
    let mut newest: BTreeMap<_, &KnownBlock> = BTreeMap::new();
    for block in raw {
        let place = newest.entry(external(block.meta())).or_insert(block);
        if block.meta().max_time > place.meta().max_time {
            *place = block;
        }
    }
    Ok(newest.into_values().collect())
}

/// The result of work that may take so long; zero is for ever. Thanos's `--timeout`.
pub(super) async fn within<T, E: std::error::Error + 'static>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Box<dyn std::error::Error>> {
    if limit.is_zero() {
        return Ok(work.await?);
    }
    match tokio::time::timeout(limit, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(format!("not done after --timeout={limit:?}").into()),
    }
}
