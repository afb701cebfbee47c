//! `tithon tools bucket analyze`: what each metric takes of the blocks, told by their indexes.

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use futures::{StreamExt, stream};
use indicatif::{HumanBytes, ProgressBar};
use serde::Serialize;
use tithon_bucket::{Bucket, KnownBlock};
use tithon_engine::BlockId;
use tithon_engine::usage::{Usage, usage_by_metric};
use tokio::runtime::Handle;

use super::look::{choose, in_scope, look};
use crate::bucket::open_bucket;
use crate::cli::{AnalyzeFlags, Output};
use crate::compact::RETRY;
use crate::output::stdout;

/// Indexes read at once.
const AT_ONCE: usize = 4;

/// What is printed.
#[derive(Serialize)]
struct Found {
    blocks: Vec<BlockId>,
    /// Blocks that could not be read, and why.
    faulty: BTreeMap<BlockId, String>,
    /// How many metrics there are.
    metrics: usize,
    /// What all of them take.
    total: Usage,
    /// The metrics that take the most bytes, most first.
    by_metric: Vec<Metric>,
}

#[derive(Serialize)]
struct Metric {
    name: String,
    #[serde(flatten)]
    usage: Usage,
}

/// Reads the indexes and prints the metrics.
pub async fn run(flags: &AnalyzeFlags) -> Result<(), Box<dyn Error>> {
    let scope = flags.scope.read(&[], Duration::ZERO)?;
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    let catalogue = look(&bucket, &[]).await?;
    let chosen = choose(&flags.ids, flags.all, in_scope(&catalogue, &scope))?;
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new(chosen.len() as u64);
    let reads = chosen.iter().map(|block| async { (block.meta().ulid, read(&bucket, block).await) });
    let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
    let (mut blocks, mut faulty) = (Vec::new(), BTreeMap::new());
    let mut all: HashMap<Vec<u8>, Usage> = HashMap::new();
    while let Some((block, result)) = reads.next().await {
        bar.inc(1);
        match result {
            Ok(found) => {
                blocks.push(block);
                found.into_iter().for_each(|(metric, usage)| all.entry(metric).or_default().add(usage));
            }
            Err(error) => _ = faulty.insert(block, error),
        }
    }
    bar.finish_and_clear();
    blocks.sort_unstable();
    let mut total = Usage::default();
    all.values().for_each(|usage| total.add(*usage));
    let metrics = all.len();
    let name = |metric: Vec<u8>| String::from_utf8_lossy(&metric).into_owned();
    let mut by_metric: Vec<Metric> =
        all.into_iter().map(|(metric, usage)| Metric { name: name(metric), usage }).collect();
    by_metric.sort_by(|a, b| b.usage.bytes.cmp(&a.usage.bytes).then_with(|| a.name.cmp(&b.name)));
    by_metric.truncate(flags.limit);
    let found = Found { blocks, faulty, metrics, total, by_metric };
    let text = match flags.output {
        Output::Table => table(&found),
        Output::Json => serde_json::to_string_pretty(&found)? + "\n",
    };
    stdout().write_all(text.as_bytes())?;
    match found.faulty.len() {
        0 => Ok(()),
        n => Err(format!("{n} of {} blocks cannot be read", chosen.len()).into()),
    }
}

async fn read(bucket: &Bucket, block: &KnownBlock) -> Result<HashMap<Vec<u8>, Usage>, String> {
    let read = async {
        let objects = block.objects().map(|objects| &**objects);
        let open = bucket.open_block(Arc::clone(block.meta()), objects).await?;
        let runtime = Handle::current();
        let walked =
            tokio::task::spawn_blocking(move || usage_by_metric(open.input(&runtime), &open.segment_sizes()));
        Ok::<_, Box<dyn Error>>(walked.await??)
    };
    read.await.map_err(|error| error.to_string())
}

fn table(found: &Found) -> String {
    let Usage { series, short_lived, chunks, bytes } = found.total;
    let blocks = match found.blocks.as_slice() {
        [block] => format!("block {block}"),
        blocks => format!("{} blocks", blocks.len()),
    };
    let mut out = format!(
        "{blocks}: {} metrics, {series} series of which {short_lived} come or go, {chunks} chunks, {}\n\n",
        found.metrics,
        HumanBytes(bytes)
    );
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["metric", "bytes", "share", "series", "come or go", "chunks"]);
    for Metric { name, usage } in &found.by_metric {
        let share = format!("{:.1} %", 100.0 * usage.bytes as f64 / bytes.max(1) as f64);
        let counts = [usage.series, usage.short_lived, usage.chunks].map(|n| n.to_string());
        let mut row = vec![name.clone(), HumanBytes(usage.bytes).to_string(), share];
        row.extend(counts);
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    out += &format!("{table}\n");
    for (block, reason) in &found.faulty {
        out += &format!("\n{block} is left out: {reason}\n");
    }
    out
}
