//! What the tools see of a bucket.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tithon_bucket::{Bucket, BucketError, Catalogue, KnownBlock, MarkKind};
use tithon_engine::plan::Scope;

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
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    catalogue.blocks().values().filter(|block| scope.excludes(block.meta(), now_ms).is_none()).collect()
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
