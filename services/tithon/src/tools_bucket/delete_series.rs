//! `tithon tools bucket delete-series`: requests to delete series of all blocks.

mod print;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use serde::Serialize;
use tithon_bucket::{Bucket, Catalogue, DeletionRecord, KnownBlock};
use tithon_chunks::TimeRange;
use tithon_engine::cut::{Loss, deleted_series, loss_of};
use tithon_engine::plan::{BlockDeletion, Scope, SeriesDeletion};
use tithon_engine::{BlockId, BlockMeta};
use tithon_index::Matcher;
use tithon_promql::{ParseOptions, parse_metric_selector};
use tithon_runtime::now_ms;
use tokio::runtime::Handle;
use tracing::{info, warn};

use self::print::{listed_table, planned_table};
use super::look::{choose, in_scope, look};
use crate::bucket::open_bucket;
use crate::cli::{DeleteSeriesFlags, Output};
use crate::compact::RETRY;
use crate::flags::UsageError;
use crate::machine::host_name;
use crate::output::stdout;

/// Indexes read at once.
const AT_ONCE: usize = 4;

/// What a request deletes of one block.
#[derive(Serialize)]
struct OfBlock {
    block: BlockId,
    min_time: i64,
    max_time: i64,
    resolution: i64,
    #[serde(flatten)]
    cut: Loss,
    /// About, by chunks.
    samples: u64,
    /// Of chunks, likewise.
    bytes: u64,
}

/// What is printed of a new request.
#[derive(Serialize)]
struct Planned {
    /// Its id; nothing where none was made.
    request: Option<BlockId>,
    blocks: Vec<OfBlock>,
    /// Blocks that could not be read, and why. A request concerns them too.
    faulty: BTreeMap<BlockId, String>,
}

/// What is printed of a request that is there.
#[derive(Serialize)]
struct Listed {
    request: BlockId,
    created_ms: u64,
    author: String,
    details: String,
    selectors: Vec<String>,
    min_time: i64,
    max_time: i64,
    include_later: bool,
    /// Blocks, marked ones included, that it still is to be carried out on.
    blocks_left: usize,
    /// When it was carried out on all blocks; nothing while it is in force.
    done_ms: Option<i64>,
}

/// Makes a request, lists those that are there, or cancels one.
pub async fn run(flags: &DeleteSeriesFlags) -> Result<(), Box<dyn Error>> {
    let selectors = selectors(&flags.matches).map_err(UsageError::of)?;
    let now = now_ms();
    let range = TimeRange::new(flags.min_time.at_ms(now), flags.max_time.at_ms(now));
    if range.is_empty() {
        return Err(UsageError::of("--min-time must not be after --max-time").into());
    }
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    if let Some(id) = flags.cancel {
        return cancel(&bucket, id).await;
    }
    let catalogue = look(&bucket, &[]).await?;
    if flags.list {
        return list(&bucket, &catalogue, flags.output).await;
    }
    let scope = Scope { rules: flags.selector.read().map_err(UsageError::of)?, ..Scope::default() };
    let chosen = choose_blocks(&flags.ids, &catalogue, &scope)?;
    let id = BlockId::from_parts(now.unsigned_abs(), rand::random());
    let data = SeriesDeletion::data_of(chosen.iter().map(|block| &**block.meta()));
    let mut deletion = SeriesDeletion { id, selectors, range, data, include_later: flags.include_later };
    let mut planned = plan(&bucket, &chosen, &deletion).await;
    let is_named = |meta: &BlockMeta| {
        planned.faulty.contains_key(&meta.ulid) || planned.blocks.iter().any(|found| found.block == meta.ulid)
    };
    let concerned = chosen.iter().map(|block| &**block.meta()).filter(|meta| is_named(meta));
    deletion.data = SeriesDeletion::data_of(concerned);
    if !flags.dry_run && (!deletion.data.is_empty() || flags.include_later) {
        let author = flags.author.clone().unwrap_or_else(author);
        let record = DeletionRecord { deletion, author, reason: flags.details.clone(), done_ms: None };
        bucket.put_deletion(&record).await?;
        planned.request = Some(id);
        info!(request = %id, "the request is in force: stores apply it from their next sync on");
    }
    for (block, error) in &planned.faulty {
        warn!(%block, error, "block cannot be read; the request concerns it too");
    }
    show(flags.output, &planned, planned_table)
}

fn show<T: Serialize>(output: Output, found: &T, table: impl Fn(&T) -> String) -> Result<(), Box<dyn Error>> {
    let text = match output {
        Output::Table => table(found),
        Output::Json => serde_json::to_string_pretty(found)? + "\n",
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

fn selectors(texts: &[String]) -> Result<Vec<Vec<Matcher>>, String> {
    let parse = |text: &String| {
        let matchers = parse_metric_selector(text, &ParseOptions::default());
        let matchers = matchers.map_err(|error| format!("--match={text}: {error}"))?;
        match matchers.iter().all(Matcher::matches_empty) {
            true => Err(format!("--match={text}: it selects series without any label, and so all there are")),
            false => Ok(matchers),
        }
    };
    texts.iter().map(parse).collect()
}

fn choose_blocks<'c>(
    ids: &[BlockId],
    catalogue: &'c Catalogue,
    scope: &Scope,
) -> Result<Vec<&'c KnownBlock>, String> {
    let blocks = in_scope(catalogue, scope);
    if ids.is_empty() { Ok(blocks) } else { choose(ids, false, blocks) }
}

/// What a request would delete, block by block.
async fn plan(bucket: &Bucket, chosen: &[&KnownBlock], deletion: &SeriesDeletion) -> Planned {
    let concerned: Vec<(&KnownBlock, BlockDeletion)> =
        chosen.iter().filter_map(|block| Some((*block, deletion.concerns(block.meta())?))).collect();
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new(concerned.len() as u64);
    let reads = concerned.into_iter().map(|(block, deletion)| async move {
        (block.meta(), read(bucket, block, deletion).await.map_err(|error| error.to_string()))
    });
    let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
    let mut planned = Planned { request: None, blocks: Vec::new(), faulty: BTreeMap::new() };
    while let Some((meta, result)) = reads.next().await {
        bar.inc(1);
        match result {
            Ok(found) if found.cut.is_empty() => {}
            Ok(found) => planned.blocks.push(found),
            Err(error) => drop(planned.faulty.insert(meta.ulid, error)),
        }
    }
    bar.finish_and_clear();
    planned.blocks.sort_by_key(|found| (found.min_time, found.block));
    planned
}

async fn read(
    bucket: &Bucket,
    block: &KnownBlock,
    deletion: BlockDeletion,
) -> Result<OfBlock, Box<dyn Error + Send + Sync>> {
    let meta = Arc::clone(block.meta());
    let open = bucket.open_block(Arc::clone(&meta), block.objects().map(|objects| &**objects)).await?;
    let runtime = Handle::current();
    let look = move || -> Result<(Loss, u64), Box<dyn Error + Send + Sync>> {
        let deleted = deleted_series(open.input(&runtime), &[deletion])?;
        let cut = loss_of(open.input(&runtime), &deleted)?;
        open.check()?;
        Ok((cut, open.segment_sizes().iter().sum()))
    };
    let (cut, bytes) = tokio::task::spawn_blocking(look).await??;
    let stats = meta.stats;
    Ok(OfBlock {
        block: meta.ulid,
        min_time: meta.min_time,
        max_time: meta.max_time,
        resolution: meta.resolution_ms(),
        cut,
        samples: cut.share_of(stats.num_samples, stats.num_chunks),
        bytes: cut.share_of(bytes, stats.num_chunks),
    })
}

async fn cancel(bucket: &Bucket, id: BlockId) -> Result<(), Box<dyn Error>> {
    match bucket.cancel_deletion(id).await? {
        true => {
            info!(request = %id, "request is cancelled; what was rewritten already stays without its samples")
        }
        false => return Err(format!("--cancel={id}: no such request is in force").into()),
    }
    Ok(())
}

async fn list(bucket: &Bucket, catalogue: &Catalogue, output: Output) -> Result<(), Box<dyn Error>> {
    let in_force = catalogue.deletions();
    for (request, error) in in_force.unreadable() {
        warn!(%request, error, "a request cannot be read");
    }
    let done = bucket.finished_deletions().await?;
    let is_new = |record: &&DeletionRecord| done.iter().all(|done| done.deletion.id != record.deletion.id);
    let all = in_force.all().map(|record| &**record).filter(is_new).chain(&done);
    let mut listed: Vec<Listed> = all.map(|record| Listed::new(record, catalogue)).collect();
    listed.sort_by_key(|listed| listed.request);
    show(output, &listed, |listed| listed_table(listed))
}

impl Listed {
    fn new(record: &DeletionRecord, catalogue: &Catalogue) -> Listed {
        let DeletionRecord { deletion, author, reason, done_ms } = record;
        let left = catalogue.metas().filter(|meta| deletion.pending(meta).is_some()).count();
        let text = |matchers: &Vec<Matcher>| {
            let all: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
            format!("{{{}}}", all.join(", "))
        };
        Listed {
            request: deletion.id,
            created_ms: deletion.id.unix_ms(),
            author: author.clone(),
            details: reason.clone(),
            selectors: deletion.selectors.iter().map(text).collect(),
            min_time: deletion.range.min.0,
            max_time: deletion.range.max.0,
            include_later: deletion.include_later,
            blocks_left: if done_ms.is_some() { 0 } else { left },
            done_ms: *done_ms,
        }
    }
}

/// The user's name and the machine's, as far as they are known.
fn author() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    format!("{user}@{}", host_name())
}
