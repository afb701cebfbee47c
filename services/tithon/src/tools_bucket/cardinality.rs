//! `tithon tools bucket cardinality`.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use futures::{StreamExt, stream};
use serde::Serialize;
use tithon_bucket::{Bucket, BucketError, KnownBlock};
use tithon_engine::BlockId;
use tithon_store::{Cardinality, Counted};

use super::look::{choose, in_scope, look};
use crate::bucket::open_bucket;
use crate::cli::{CardinalityFlags, Output};
use crate::output::stdout;

/// Blocks read at once.
const AT_ONCE: usize = 16;
/// Entries of the lists of one block, for each entry that is printed: what is small in each block may be large in all.
const ENTRIES_FOR_EACH: usize = 20;

/// What is printed.
#[derive(Serialize)]
struct Found {
    blocks: Vec<BlockId>,
    /// Blocks that could not be read, and why.
    faulty: BTreeMap<BlockId, String>,
    #[serde(flatten)]
    labels: Cardinality,
}

/// Reads the blocks and prints their labels.
pub async fn run(flags: &CardinalityFlags) -> Result<(), Box<dyn Error>> {
    let scope = flags.scope.read(&[], Duration::ZERO)?;
    let bucket = open_bucket(&flags.bucket).await?;
    let catalogue = look(&bucket, &[]).await?;
    let chosen = choose(&flags.ids, flags.all, in_scope(&catalogue, &scope))?;
    let most = flags.limit.saturating_mul(ENTRIES_FOR_EACH);
    let reads = chosen.iter().map(|block| read(&bucket, block, most));
    let mut reads = stream::iter(reads).buffer_unordered(AT_ONCE);
    let mut found = Found { blocks: Vec::new(), faulty: BTreeMap::new(), labels: Cardinality::default() };
    while let Some((block, result)) = reads.next().await {
        match result {
            Ok(labels) => {
                found.blocks.push(block);
                found.labels.take_in(labels, most);
            }
            Err(error) => _ = found.faulty.insert(block, error.to_string()),
        }
    }
    found.blocks.sort_unstable();
    found.labels.take_in(Cardinality::default(), flags.limit);
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

async fn read(
    bucket: &Bucket,
    block: &KnownBlock,
    most: usize,
) -> (BlockId, Result<Cardinality, BucketError>) {
    let id = block.meta().ulid;
    let read = async {
        let open = bucket.open_block(Arc::clone(block.meta()), block.objects().map(|o| &**o)).await?;
        let labels = Cardinality::of(open.header(), most);
        open.check()?;
        labels.map_err(|source| BucketError::Index { block: id, source })
    };
    (id, read.await)
}

fn table(found: &Found) -> String {
    let labels = &found.labels;
    let blocks = match found.blocks.len() {
        1 => format!("block {}", found.blocks[0]),
        n => format!("{n} blocks (each number is the largest of one block)"),
    };
    let mut out =
        format!("{blocks}: {} series, {} label names, {} pairs\n", labels.series, labels.names, labels.pairs);
    for (title, unit, list) in [
        ("label name", "values", &labels.values_by_name),
        ("metric", "series", &labels.series_by_metric),
        ("pair", "series", &labels.series_by_pair),
    ] {
        out += &format!("\n{}\n", list_table(title, unit, list));
    }
    for (block, reason) in &found.faulty {
        out += &format!("\n{block} is left out: {reason}\n");
    }
    out
}

fn list_table(title: &str, unit: &str, list: &[Counted]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([title, unit]);
    for one in list {
        table.add_row([one.name.as_str(), &one.count.to_string()]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
