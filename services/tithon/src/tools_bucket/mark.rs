//! `tithon tools bucket mark`.

use std::error::Error;

use tithon_bucket::Mark;
use tithon_runtime::since_1970;

use crate::bucket::open_bucket;
use crate::cli::MarkFlags;

/// Marks blocks, or takes marks away.
pub async fn run(flags: &MarkFlags) -> Result<(), Box<dyn Error>> {
    if !flags.remove && flags.details.is_empty() {
        return Err(
            "--details is needed: say why the block is marked, or take marks away with --remove".into()
        );
    }
    let bucket = open_bucket(&flags.bucket).await?;
    let time_s = i64::try_from(since_1970().as_secs())?;
    for id in &flags.ids {
        let file = flags.marker.file();
        if flags.remove {
            let was_there = bucket.remove_mark(*id, flags.marker).await?;
            tracing::info!(block = %id, file, was_there, "mark is removed");
            continue;
        }
        if !bucket.has_block(*id).await? {
            return Err(format!("--id={id}: the bucket has no such block: there is no {id}/meta.json").into());
        }
        let mark = Mark {
            kind: flags.marker,
            block: *id,
            details: flags.details.clone(),
            time_s,
            reason: "manual".to_owned(),
            replaced_by: Vec::new(),
        };
        match bucket.put_mark(&mark).await? {
            true => tracing::info!(block = %id, file, "block is marked"),
            false => tracing::warn!(block = %id, file, "block has this mark already, which stays"),
        }
    }
    Ok(())
}
