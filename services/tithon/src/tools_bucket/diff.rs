//! `tithon tools bucket diff`: whether two buckets, or two prefixes of one, hold the same samples.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use tithon_bucket::{Bucket, BucketBlock};
use tithon_chunks::TimeRange;
use tithon_engine::diff::{Difference, diff_batches};
use tithon_engine::plan::{self, Scope};
use tithon_engine::{BlockError, BlockMeta, SelectRequest};
use tithon_index::Labels;
use tokio::runtime::Handle;

use super::look::{in_scope, look};
use crate::bucket::{open_bucket, open_given};
use crate::cli::{DiffBucketFlags, Output};
use crate::compact::RETRY;
use crate::output::stdout;
use crate::tools_block::StreamDiff;

/// Blocks of one resolution with the same external labels, of both buckets.
type Streams = BTreeMap<(i64, Labels), [Vec<Arc<BlockMeta>>; 2]>;

/// Compares the buckets; what differs is printed and is an error.
pub async fn run(flags: &DiffBucketFlags) -> Result<(), Box<dyn Error>> {
    let scope = flags.scope.read(&[], Duration::ZERO)?;
    let buckets = [
        open_bucket(&flags.bucket).await?.with_retry(RETRY),
        open_given(flags.to.given()).await?.with_retry(RETRY),
    ];
    let mut streams = Streams::new();
    for (side, bucket) in buckets.iter().enumerate() {
        for meta in blocks_that_count(bucket, &scope).await? {
            let labels = meta.thanos.as_ref().map(|thanos| thanos.labels.clone()).unwrap_or_default();
            let kept = labels.into_iter().filter(|(name, _)| !flags.replica_label.contains(name));
            let stream = (meta.resolution_ms(), Labels::from_pairs(kept));
            streams.entry(stream).or_default()[side].push(meta);
        }
    }
    // Hidden by itself where standard error is no terminal.
    let (bar, mut found) = (ProgressBar::new(streams.len() as u64), Vec::with_capacity(streams.len()));
    for ((resolution_ms, labels), [first, second]) in streams {
        let (n_first, n_second) = (first.len(), second.len());
        let differences = compare(&buckets, [first, second], flags.most).await?;
        found.push(StreamDiff::new(resolution_ms, &labels, n_first, n_second, differences));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut out = stdout();
    match flags.output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?,
        Output::Table => found.iter().try_for_each(|stream| write!(out, "{stream}"))?,
    }
    match found.iter().map(StreamDiff::n_differences).sum::<usize>() {
        0 => Ok(()),
        n => Err(format!("the two buckets differ: {n} differences are listed").into()),
    }
}

/// The blocks in scope, without those whose data others hold: of downsampled data, samples must not count twice.
async fn blocks_that_count(bucket: &Bucket, scope: &Scope) -> Result<Vec<Arc<BlockMeta>>, Box<dyn Error>> {
    let catalogue = look(bucket, &[]).await?;
    let metas = in_scope(&catalogue, scope).into_iter().map(|block| Arc::clone(block.meta()));
    let mut counting = Vec::new();
    for family in plan::families(metas.map(Shared)) {
        let plain: Vec<BlockMeta> = family.iter().map(|Shared(meta)| (**meta).clone()).collect();
        let superseded = plan::superseded(&plain);
        let counts = |meta: &Arc<BlockMeta>| !superseded.iter().any(|found| found.block == meta.ulid);
        counting.extend(family.into_iter().map(|Shared(meta)| meta).filter(counts));
    }
    Ok(counting)
}

/// A meta that is shared, as one.
struct Shared(Arc<BlockMeta>);

impl std::borrow::Borrow<BlockMeta> for Shared {
    fn borrow(&self) -> &BlockMeta {
        &self.0
    }
}

async fn compare(
    buckets: &[Bucket; 2],
    sides: [Vec<Arc<BlockMeta>>; 2],
    most: usize,
) -> Result<Vec<Difference>, Box<dyn Error>> {
    let mut opened: [Vec<BucketBlock>; 2] = Default::default();
    for ((bucket, metas), opened) in buckets.iter().zip(sides).zip(&mut opened) {
        for meta in metas {
            opened.push(bucket.open_block(meta, None).await?);
        }
    }
    let runtime = Handle::current();
    let work = move || -> Result<Vec<Difference>, BlockError> {
        let everything = || SelectRequest::new(Vec::new(), TimeRange::ALL);
        let [first, second] = [0, 1].map(|side: usize| -> Vec<_> {
            opened[side].iter().map(|block| block.batches(everything(), &runtime)).collect()
        });
        diff_batches(first, second, most)
    };
    Ok(tokio::task::spawn_blocking(work).await??)
}
