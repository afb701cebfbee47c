//! `tithon tools bucket stat`: blocks, bytes and samples by external labels, resolution, level and age, and what the compactor would do
//! next.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::error::Error;
use std::io::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::HumanBytes;
use serde::Serialize;
use tithon_bucket::{Bucket, BucketError, KnownBlock, MarkKind};
use tithon_chunks::calendar::go_duration;
use tithon_engine::plan::{self, DownsampleSpans, LEVELS_MS, Next, PlanSettings};
use tithon_engine::{BlockId, BlockMeta};
use tithon_index::Labels;
use tithon_runtime::now_ms;

use super::look::{in_scope, look};
use crate::bucket::open_bucket;
use crate::cli::{Output, StatFlags};
use crate::compact::RETRY;
use crate::output::stdout;
use crate::tools_block::resolution;

/// Blocks asked for their size at once.
const AT_ONCE: usize = 16;
const DAY_MS: i64 = 86_400_000;
/// Ages of blocks that are told apart: from the end of the block, in days.
const AGES: [(i64, &str); 6] = [
    (1, "up to 1 day"),
    (7, "up to 7 days"),
    (30, "up to 30 days"),
    (90, "up to 90 days"),
    (365, "up to a year"),
    (i64::MAX, "more than a year"),
];

/// What some blocks hold and take.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Sum {
    blocks: u64,
    bytes: u64,
    samples: u64,
    /// The most series that one of them has.
    series_max: u64,
    /// The earliest and the latest time, milliseconds.
    from: i64,
    until: i64,
}

impl Sum {
    fn add(&mut self, meta: &BlockMeta, bytes: u64) {
        let is_first = self.blocks == 0;
        self.blocks += 1;
        self.bytes += bytes;
        self.samples += meta.stats.num_samples;
        self.series_max = self.series_max.max(meta.stats.num_series);
        self.from = if is_first { meta.min_time } else { self.from.min(meta.min_time) };
        self.until = if is_first { meta.max_time } else { self.until.max(meta.max_time) };
    }
}

/// A line of a list.
#[derive(Serialize)]
struct Line {
    name: String,
    #[serde(flatten)]
    sum: Sum,
}

/// A merge that is due.
#[derive(Serialize)]
struct Merge {
    group: String,
    labels: String,
    resolution: &'static str,
    blocks: Vec<BlockId>,
    samples: u64,
    from: i64,
    until: i64,
}

/// What the compactor would do.
#[derive(Serialize)]
struct Due {
    /// The first merge of each group.
    merges: Vec<Merge>,
    /// All merges until nothing is left to do, and the blocks that go into them.
    merges_in_all: u64,
    blocks_merged_in_all: u64,
    /// Blocks to be downsampled now.
    downsampled: Vec<BlockId>,
    /// Blocks that overlap others of their group, which are not merged unless that is asked for.
    overlapping: BTreeSet<BlockId>,
    /// Blocks whose data others hold: they would be marked.
    superseded: Vec<BlockId>,
    /// Blocks that are marked for deletion.
    marked_for_deletion: Vec<BlockId>,
}

/// What is printed.
#[derive(Serialize)]
struct Found {
    total: Sum,
    by_labels: Vec<Line>,
    by_resolution: Vec<Line>,
    by_level: Vec<Line>,
    by_age: Vec<Line>,
    due: Due,
}

/// Looks at the metas of all blocks and prints the sums.
pub async fn run(flags: &StatFlags) -> Result<(), Box<dyn Error>> {
    let scope = flags.scope.read(&[], Duration::ZERO)?;
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    let catalogue = look(&bucket, &MarkKind::ALL).await?;
    let blocks = in_scope(&catalogue, &scope);
    let sizes = blocks.iter().map(|block| bytes_of(&bucket, block));
    let sizes: Vec<u64> = stream::iter(sizes).buffered(AT_ONCE).try_collect().await?;
    let now = now_ms();
    let mut total = Sum::default();
    let [mut by_labels, mut by_resolution, mut by_level, mut by_age] =
        [(); 4].map(|()| BTreeMap::<(i64, String), Sum>::new());
    for (block, bytes) in blocks.iter().zip(sizes) {
        let meta = block.meta();
        total.add(meta, bytes);
        let (resolution_ms, level) = (meta.resolution_ms(), meta.compaction.level);
        let days = now.saturating_sub(meta.max_time) / DAY_MS;
        let age = AGES.iter().position(|(most, _)| days < *most).unwrap_or(AGES.len() - 1);
        for (list, key) in [
            (&mut by_labels, (0, labels_of(meta, &flags.by))),
            (&mut by_resolution, (resolution_ms, resolution(resolution_ms).to_owned())),
            (&mut by_level, (level, format!("level {level}"))),
            (&mut by_age, (age as i64, AGES[age].1.to_owned())),
        ] {
            list.entry(key).or_default().add(meta, bytes);
        }
    }
    let lines = |list: BTreeMap<(i64, String), Sum>| -> Vec<Line> {
        list.into_iter().map(|((_, name), sum)| Line { name, sum }).collect()
    };
    let mut by_labels = lines(by_labels);
    by_labels.sort_by_key(|line| std::cmp::Reverse(line.sum.bytes));
    let found = Found {
        total,
        by_labels,
        by_resolution: lines(by_resolution),
        by_level: lines(by_level),
        by_age: lines(by_age),
        due: due(&blocks, &flags.replica_label)?,
    };
    let text = match flags.output {
        Output::Table => table(&found),
        Output::Json => serde_json::to_string_pretty(&found)? + "\n",
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// The bytes of a block: told by the listing, else by meta.json, else asked for.
async fn bytes_of(bucket: &Bucket, block: &KnownBlock) -> Result<u64, BucketError> {
    if let Some(bytes) = block.objects().and_then(|objects| objects.bytes()) {
        return Ok(bytes);
    }
    let files = block.meta().thanos.as_ref().map(|thanos| thanos.files.as_slice()).unwrap_or_default();
    match files.iter().map(|file| file.size_bytes).sum() {
        0 => bucket.block_bytes(block.meta().ulid).await,
        bytes => Ok(bytes),
    }
}

/// The external labels of a block, or those that are asked for.
fn labels_of(meta: &BlockMeta, by: &[String]) -> String {
    let labels = meta.thanos.as_ref().map(|thanos| thanos.labels.clone()).unwrap_or_default();
    let kept = labels.into_iter().filter(|(name, _)| by.is_empty() || by.contains(name));
    Labels::from_pairs(kept).to_string()
}

/// What the compactor would do with its usual flags.
fn due(blocks: &[&KnownBlock], replica_labels: &[String]) -> Result<Due, BucketError> {
    let (mut marked_for_deletion, mut no_compact, mut no_downsample) =
        (Vec::new(), HashSet::new(), HashSet::new());
    let mut metas = Vec::new();
    let mut sorted = replica_labels.to_vec();
    sorted.sort();
    for block in blocks {
        let id = block.meta().ulid;
        if block.mark(MarkKind::NoCompact)?.is_some() {
            no_compact.insert(id);
        }
        if block.mark(MarkKind::NoDownsample)?.is_some() {
            no_downsample.insert(id);
        }
        match block.deletion_mark()? {
            Some(_) => marked_for_deletion.push(id),
            None => metas.push(plan::without_replica_labels((**block.meta()).clone(), &sorted).0),
        }
    }
    let mut superseded: Vec<BlockId> = Vec::new();
    for family in plan::families(metas.clone()) {
        superseded.extend(plan::superseded(&family).into_iter().map(|found| found.block));
    }
    superseded.sort_unstable();
    metas.retain(|meta| !superseded.contains(&meta.ulid));
    let groups = plan::group(metas.iter().cloned(), &[]);
    let vertical = !replica_labels.is_empty();
    let mut overlapping = BTreeSet::new();
    if !vertical {
        overlapping.extend(groups.iter().flat_map(|group| plan::overlapping(&group.blocks)).flatten());
    }
    no_compact.extend(&overlapping);
    let settings = PlanSettings { levels_ms: &LEVELS_MS, index_bytes_max: u64::MAX, shards: 0, vertical };
    let merges = groups.iter().filter_map(|group| merge_of(group, settings, &no_compact)).collect();
    let backlog = plan::backlog(&groups, &LEVELS_MS, &no_compact, 0);
    metas.retain(|meta| !no_downsample.contains(&meta.ulid));
    let jobs = plan::downsample_jobs(&metas, DownsampleSpans::default());
    Ok(Due {
        merges,
        merges_in_all: backlog.plans,
        blocks_merged_in_all: backlog.blocks,
        downsampled: jobs.into_iter().map(|job| job.block).collect(),
        overlapping,
        superseded,
        marked_for_deletion,
    })
}

fn merge_of(group: &plan::Group, settings: PlanSettings<'_>, excluded: &HashSet<BlockId>) -> Option<Merge> {
    // No limit of sizes: none needs to be known.
    let Next::Merge { blocks, .. } = plan::next(&group.blocks, settings, excluded, |_| Some(0)) else {
        return None;
    };
    let metas = || group.blocks.iter().filter(|meta| blocks.contains(&meta.ulid));
    Some(Merge {
        group: group.key.clone(),
        labels: Labels::from_pairs(&group.labels).to_string(),
        resolution: resolution(group.resolution_ms),
        samples: metas().map(|meta| meta.stats.num_samples).sum(),
        from: metas().map(|meta| meta.min_time).min().unwrap_or_default(),
        until: metas().map(|meta| meta.max_time).max().unwrap_or_default(),
        blocks,
    })
}

fn table(found: &Found) -> String {
    let mut out = String::new();
    let total = [Line { name: "all blocks".to_owned(), sum: found.total }];
    for (title, lines) in [
        ("", total.as_slice()),
        ("external labels", &found.by_labels),
        ("resolution", &found.by_resolution),
        ("compaction level", &found.by_level),
        ("age", &found.by_age),
    ] {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([title, "blocks", "bytes", "samples", "most series", "span"]);
        for Line { name, sum } in lines {
            let span = go_duration((sum.until - sum.from).saturating_mul(1_000_000));
            let bytes = HumanBytes(sum.bytes).to_string();
            let counts = [sum.blocks, sum.samples, sum.series_max].map(|n| n.to_string());
            let [blocks, samples, series] = counts;
            table.add_row([name.clone(), blocks, bytes, samples, series, span]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        out += &format!("{table}\n\n");
    }
    out + &told(&found.due)
}

fn told(due: &Due) -> String {
    let mut out = format!(
        "The compactor would merge {} times, {} blocks in all.\n",
        due.merges_in_all, due.blocks_merged_in_all
    );
    for merge in &due.merges {
        let span = go_duration((merge.until - merge.from).saturating_mul(1_000_000));
        out += &format!(
            "  next of {} {}: {} blocks, {} samples, {span}\n",
            merge.resolution,
            merge.labels,
            merge.blocks.len(),
            merge.samples
        );
    }
    let overlapping: Vec<BlockId> = due.overlapping.iter().copied().collect();
    for (blocks, what) in [
        (&due.downsampled, "to be downsampled"),
        (&due.superseded, "superseded by others, to be marked"),
        (&due.marked_for_deletion, "marked for deletion"),
        (&overlapping, "overlapping, left alone without --deduplication.replica-label"),
    ] {
        if !blocks.is_empty() {
            let ids: Vec<String> = blocks.iter().map(BlockId::to_string).collect();
            out += &format!("{} blocks {what}: {}\n", blocks.len(), ids.join(", "));
        }
    }
    out
}
