//! Writes the demo's blocks: every series is made once and cut into the two-hour blocks of its replica.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;
use tithon_chunks::{EncodedChunk, Timestamp, XorEncoder};
use tithon_engine::{BlockError, BlockId, BlockWriter, Compaction, MetaParts, SourceType, ThanosMeta};
use tracing::info;

use super::catalogue::{DemoSeries, catalogue};
use super::process::{Replica, samples};

const BLOCK_MS: i64 = 2 * 3_600_000;
const SAMPLES_PER_CHUNK: usize = 120;
/// Series made at a time: enough for the pool, little to hold.
const SERIES_PER_BATCH: usize = 256;

/// Fills `bucket`, an existing folder, with blocks over the last `hours` until `now` (milliseconds).
pub fn fill(bucket: &Path, now: i64, hours: u32) -> Result<(), BlockError> {
    let series = catalogue();
    let start = (now - i64::from(hours) * 3_600_000).div_euclid(BLOCK_MS) * BLOCK_MS;
    let progress = progress(series.len());
    info!(series = series.len(), hours, "filling the empty bucket with demo data");
    for (number, replica) in [Replica::A, Replica::B].into_iter().enumerate() {
        let list: Vec<&DemoSeries> =
            series.iter().filter(|s| replica == Replica::A || s.replicated).collect();
        let mut blocks = Blocks::create(bucket, replica, number as u128, start, now)?;
        for batch in list.chunks(SERIES_PER_BATCH) {
            let cut: Vec<_> =
                batch.par_iter().map(|series| cut(samples(series, replica, start, now), start)).collect();
            for (series, chunks) in batch.iter().zip(cut) {
                blocks.add(series, &chunks)?;
            }
            progress.inc(if replica == Replica::A { batch.len() as u64 } else { 0 });
        }
        blocks.finish()?;
    }
    progress.finish_and_clear();
    Ok(())
}

/// The blocks of one replica, open at the same time.
struct Blocks {
    list: Vec<(BlockId, i64, BlockWriter)>,
    replica: Replica,
    now: i64,
}

impl Blocks {
    fn create(
        bucket: &Path,
        replica: Replica,
        number: u128,
        start: i64,
        now: i64,
    ) -> Result<Blocks, BlockError> {
        let mut list = Vec::new();
        for min in (start..now).step_by(BLOCK_MS as usize) {
            // Ids tell the time at which a Prometheus would have written the block.
            let written = (min + BLOCK_MS).min(now) as u64;
            let id = BlockId::from_parts(written, (number + 1) << 64 | (min as u64 as u128));
            list.push((id, min, BlockWriter::create(bucket, id)?));
        }
        Ok(Blocks { list, replica, now })
    }

    fn add(&mut self, series: &DemoSeries, chunks: &[(i64, EncodedChunk)]) -> Result<(), BlockError> {
        for (_, min, writer) in &mut self.list {
            let of_block: Vec<EncodedChunk> =
                chunks.iter().filter(|(block, _)| block == min).map(|(_, chunk)| chunk.clone()).collect();
            if !of_block.is_empty() {
                writer.add_series(&series.labels, &of_block)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), BlockError> {
        let name = match self.replica {
            Replica::A => "a",
            Replica::B => "b",
        };
        for (id, min, writer) in self.list {
            let labels = [("cluster", "demo"), ("replica", name)];
            let thanos = ThanosMeta {
                labels: labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
                source: SourceType::Sidecar,
                ..ThanosMeta::default()
            };
            let max = (min + BLOCK_MS).min(self.now + 1);
            let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
            writer.finish(MetaParts { min_time: min, max_time: max, compaction, thanos: Some(thanos) })?;
        }
        Ok(())
    }
}

/// Cuts samples at block borders and at 120 samples; each chunk with the start of its block.
fn cut(samples: Vec<(i64, f64)>, start: i64) -> Vec<(i64, EncodedChunk)> {
    let mut chunks = Vec::with_capacity(samples.len() / SAMPLES_PER_CHUNK + 8);
    let block_of = |t: i64| start + (t - start).div_euclid(BLOCK_MS) * BLOCK_MS;
    for of_block in samples.chunk_by(|a, b| block_of(a.0) == block_of(b.0)) {
        for part in of_block.chunks(SAMPLES_PER_CHUNK) {
            let mut encoder = XorEncoder::new();
            for (t, value) in part {
                encoder.push(*t, *value);
            }
            let chunk = EncodedChunk {
                encoding: tithon_chunks::Encoding::Xor,
                min_time: Timestamp(part[0].0),
                max_time: Timestamp(part[part.len() - 1].0),
                data: encoder.finish().into(),
            };
            chunks.push((block_of(part[0].0), chunk));
        }
    }
    chunks
}

/// A bar on a terminal; elsewhere nothing, as the log says when it begins and ends.
fn progress(n_series: usize) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(n_series as u64), target);
    if let Ok(style) = ProgressStyle::with_template("demo data {bar:40} {pos}/{len} series, {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use tithon_chunks::TimeRange;
    use tithon_engine::{Block, SelectRequest};
    use tithon_index::{MatchOp, Matcher};

    use super::*;

    #[test]
    fn blocks_cover_the_time_until_now() {
        let dir = tempfile::tempdir().unwrap();
        let now = 1_700_003_700_000;
        fill(dir.path(), now, 3).unwrap();
        let mut blocks: Vec<Block> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| Block::open(e.unwrap().path()).unwrap()).collect();
        blocks.sort_by_key(|b| (b.external_labels(), b.meta().min_time));
        let (a, b) = blocks.split_at(blocks.len() / 2);
        assert_eq!(a.len(), b.len());
        for replica in [a, b] {
            assert!(replica.windows(2).all(|w| w[0].meta().max_time == w[1].meta().min_time));
            assert_eq!(replica[replica.len() - 1].meta().max_time, now + 1);
        }
        assert!(a[0].meta().stats.num_series > 9_000);
        let up = Matcher::new(MatchOp::Equal, "__name__", "up").unwrap();
        let request = SelectRequest::new(vec![up], TimeRange::new(now - 60_000, now));
        let found = b[b.len() - 1].select(request).map(|batch| batch.unwrap().series.len()).sum::<usize>();
        assert_eq!(found, 8, "the targets of the replicated job");
    }
}
