//! `tithon tools bucket verify`: faults of indexes, blocks that overlap, blocks that are there twice. Thanos `pkg/verifier`.

use std::error::Error;
use std::sync::Arc;

use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use tithon_bucket::{Bucket, Catalogue, MarkKind};
use tithon_engine::plan::{self, Overlap};
use tithon_engine::verify::index_health;
use tithon_engine::{BlockId, BlockMeta};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::look::look;
use super::repair::Repairs;
use crate::bucket::{find_given, open_bucket};
use crate::cli::{Issue, VerifyBucketFlags};
use crate::compact::RETRY;

/// Indexes looked through at the same time.
const AT_ONCE: usize = 8;

/// Looks for the issues that the flags name; finding some is no error.
pub async fn run(flags: &VerifyBucketFlags) -> Result<(), Box<dyn Error>> {
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    let backup = find_given(flags.backup.given()).await?.map(|backup| backup.with_retry(RETRY));
    let repairs = match (flags.repair, backup) {
        (true, None) => return Err("--repair needs a backup bucket: --objstore-backup.config-file".into()),
        (true, Some(backup)) => {
            warn!("no compactor should be running on the same bucket");
            Some(Repairs::new(bucket.clone(), backup, flags)?)
        }
        (false, _) => None,
    };
    if flags.repair && flags.issues.contains(&Issue::OverlappedBlocks) {
        let others = "--issues=index_known_issues --issues=duplicated_compaction";
        return Err(
            format!("overlapped_blocks cannot be repaired: say which issues, such as {others}").into()
        );
    }
    if !flags.ids.is_empty() && flags.issues.iter().any(|issue| *issue != Issue::IndexKnownIssues) {
        return Err("--id goes with --issues=index_known_issues alone".into());
    }
    for issue in &flags.issues {
        let catalogue = look(&bucket, &[MarkKind::Deletion]).await?;
        let metas = unmarked(&catalogue, &flags.ids)?;
        match issue {
            Issue::IndexKnownIssues => indexes(&bucket, metas, repairs.as_ref()).await?,
            Issue::OverlappedBlocks => overlapped(metas),
            Issue::DuplicatedCompaction => duplicated(metas, repairs.as_ref()).await?,
        }
    }
    info!("verification done");
    Ok(())
}

/// The blocks that are not marked for deletion, all or those with these ids.
fn unmarked(catalogue: &Catalogue, ids: &[BlockId]) -> Result<Vec<Arc<BlockMeta>>, Box<dyn Error>> {
    let mut metas = Vec::new();
    for block in catalogue.blocks().values() {
        if block.deletion_mark()?.is_none() && (ids.is_empty() || ids.contains(&block.meta().ulid)) {
            metas.push(Arc::clone(block.meta()));
        }
    }
    Ok(metas)
}

/// Looks through the index of each block. A block that cannot be read keeps none of the others from being looked at.
async fn indexes(
    bucket: &Bucket,
    metas: Vec<Arc<BlockMeta>>,
    repairs: Option<&Repairs>,
) -> Result<(), Box<dyn Error>> {
    // Only the index counts: a mapped block would be opened with all its segments.
    let remote = bucket.clone().by_ranges();
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new(metas.len() as u64);
    let looks = stream::iter(metas.iter().cloned()).map(|meta| {
        let remote = remote.clone();
        async move { (Arc::clone(&meta), fault_of(&remote, meta).await) }
    });
    let found: Vec<_> = looks.buffered(AT_ONCE).inspect(|_| bar.inc(1)).collect().await;
    bar.finish_and_clear();
    for (meta, fault) in found {
        let Some(fault) = fault else { continue };
        warn!(id = %meta.ulid, err = fault, "detected issue");
        let Some(repairs) = repairs else { continue };
        match repairs.mend(&meta, &metas).await {
            Ok(()) => info!(id = %meta.ulid, "block is repaired"),
            Err(error) => tracing::error!(id = %meta.ulid, err = error, "block is not repaired"),
        }
    }
    Ok(())
}

/// What is wrong with the index of a block.
async fn fault_of(bucket: &Bucket, meta: Arc<BlockMeta>) -> Option<String> {
    let block = match bucket.open_block(meta, None).await {
        Ok(block) => block,
        Err(error) => return Some(error.to_string()),
    };
    let runtime = Handle::current();
    let walked = tokio::task::spawn_blocking(move || index_health(block.input(&runtime), |_| ()));
    match walked.await {
        Ok(Ok(health)) => health.faults(),
        Ok(Err(error)) => Some(error.to_string()),
        Err(panic) => Some(panic.to_string()),
    }
}

/// Groups with overlaps: the key of each, its blocks by first time.
fn groups(metas: Vec<Arc<BlockMeta>>) -> Vec<plan::Group> {
    let groups = plan::group(metas.iter().map(|meta| (**meta).clone()), &[]);
    groups.into_iter().filter(|group| !plan::overlaps(&group.blocks).is_empty()).collect()
}

fn overlapped(metas: Vec<Arc<BlockMeta>>) {
    for group in groups(metas) {
        let all: Vec<String> = plan::overlaps(&group.blocks).iter().map(Overlap::to_string).collect();
        warn!(group = group.key, overlap = all.join("\n"), "found overlapped blocks");
    }
}

async fn duplicated(metas: Vec<Arc<BlockMeta>>, repairs: Option<&Repairs>) -> Result<(), Box<dyn Error>> {
    let (groups, mut superfluous) = (groups(metas), Vec::<BlockId>::new());
    for group in &groups {
        for overlap in plan::overlaps(&group.blocks) {
            let sets = plan::twins(&overlap.blocks);
            if sets.is_empty() {
                warn!(
                    group = group.key, overlap = %overlap,
                    "found overlapped blocks of which none is there twice"
                );
            }
            for twins in sets {
                let kill: Vec<BlockId> = twins[1..].iter().map(|meta| meta.ulid).collect();
                let (min, max) = overlap.range;
                warn!(group = group.key, min, max, keep = %twins[0].ulid, kill = ?kill, "found duplicated blocks");
                superfluous
                    .extend(kill.into_iter().filter(|id| !superfluous.contains(id)).collect::<Vec<_>>());
            }
        }
    }
    if groups.is_empty() {
        return Ok(());
    }
    warn!(ids = ?superfluous, n = superfluous.len(), "found duplicated blocks that can be removed");
    let Some(repairs) = repairs else { return Ok(()) };
    for id in superfluous {
        repairs.back_up_and_delete(id).await?;
        info!(id = %id, "duplicated block is removed");
    }
    Ok(())
}
