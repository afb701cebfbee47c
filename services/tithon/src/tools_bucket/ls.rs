//! `tithon tools bucket ls`.

use std::error::Error;
use std::io::Write;

use tithon_bucket::{BucketError, MarkKind};
use tithon_chunks::calendar::go_duration;
use tithon_engine::BlockMeta;

use super::local_time::local_time;
use super::look::{in_scope, look, within};
use super::template::Template;
use crate::bucket::open_bucket;
use crate::cli::LsFlags;
use crate::output::stdout;

/// How a block is printed.
enum Format {
    Id,
    Wide,
    Json,
    Template(Template),
}

/// Prints the blocks.
pub async fn run(flags: &LsFlags) -> Result<(), Box<dyn Error>> {
    let format = match flags.output.as_str() {
        "" => Format::Id,
        "wide" => Format::Wide,
        "json" => Format::Json,
        text => Format::Template(Template::parse(text).map_err(|e| format!("--output: {e}"))?),
    };
    let scope = flags.scope.read(&[], std::time::Duration::ZERO)?;
    let bucket = open_bucket(&flags.bucket).await?;
    let marks: &[MarkKind] = if flags.exclude_delete { &[MarkKind::Deletion] } else { &[] };
    let catalogue = within(flags.timeout, look(&bucket, marks)).await?;
    let mut out = stdout();
    for block in in_scope(&catalogue, &scope) {
        if flags.exclude_delete && is_marked(block)? {
            continue;
        }
        match &format {
            Format::Id => writeln!(out, "{}", block.meta().ulid)?,
            Format::Wide => writeln!(out, "{}", wide(block.meta()))?,
            Format::Json => out.write_all(&block.meta().to_json())?,
            Format::Template(template) => writeln!(out, "{}", template.print(block.meta()))?,
        }
    }
    Ok(())
}

fn is_marked(block: &tithon_bucket::KnownBlock) -> Result<bool, BucketError> {
    Ok(block.deletion_mark()?.is_some())
}

fn wide(meta: &BlockMeta) -> String {
    let difference = (meta.max_time / 1000 - meta.min_time / 1000).saturating_mul(1_000_000_000);
    format!(
        "{} -- {} - {} Diff: {}, Compaction: {}, Downsample: {}, Source: {}",
        meta.ulid,
        local_time(meta.min_time),
        local_time(meta.max_time),
        go_duration(difference),
        meta.compaction.level,
        meta.resolution_ms(),
        meta.thanos.as_ref().map_or("", |thanos| thanos.source.as_str()),
    )
}
