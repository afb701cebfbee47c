//! Drives the selection from one block: computing on the CPU pool, reading in between where the block is not mapped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tithon_bucket::BucketBlock;
use tithon_engine::{FileRange, Select, SelectedSeries, Step};
use tithon_proto::{check_aggregates, thanos::Aggr};
use tithon_runtime::{Cpu, Priority};
use tokio::sync::mpsc::Sender;

use crate::shape::Reorder;
use crate::{Shard, StoreError};

/// What one request may select over all blocks, and how much it has.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    pub(crate) series_max: u64,
    pub(crate) chunks_max: u64,
    series: AtomicU64,
    chunks: AtomicU64,
}

impl Budget {
    /// A budget of so many series and chunks; 0 is no limit.
    pub(crate) fn new(series_max: u64, chunks_max: u64) -> Budget {
        Budget { series_max, chunks_max, ..Budget::default() }
    }

    fn take(&self, series: &[SelectedSeries]) -> Result<(), StoreError> {
        let spend = |what, spent: &AtomicU64, n: u64, limit: u64| {
            let got = spent.fetch_add(n, Ordering::Relaxed) + n;
            if limit > 0 && got > limit { Err(StoreError::Limit { what, limit, got }) } else { Ok(()) }
        };
        spend("series", &self.series, series.len() as u64, self.series_max)?;
        let chunks: usize = series.iter().map(|s| s.chunks.len()).sum();
        spend("chunks", &self.chunks, chunks as u64, self.chunks_max)
    }
}

/// The selection from one block, up to series as they are sent.
pub(crate) struct BlockJob {
    pub(crate) block: Arc<BucketBlock>,
    pub(crate) select: Select,
    pub(crate) reorder: Reorder,
    pub(crate) shard: Option<Shard>,
    pub(crate) aggregates: Arc<[Aggr]>,
    pub(crate) budget: Arc<Budget>,
    /// How many more series are wanted.
    pub(crate) left: usize,
}

enum Outcome {
    Fetch(Vec<FileRange>),
    Series(Vec<SelectedSeries>),
    /// The last series of the block.
    Last(Vec<SelectedSeries>),
}

impl BlockJob {
    /// Sends the block's series in order until they end, one fails, or nobody listens.
    pub(crate) async fn drive(self, cpu: Cpu, out: Sender<Result<Vec<SelectedSeries>, StoreError>>) {
        let (mut job, mut fetched) = (self, Vec::new());
        loop {
            let given = std::mem::take(&mut fetched);
            let step = cpu.run(Priority::Query, move || {
                let outcome = job.advance(given);
                (job, outcome)
            });
            let outcome = match step.await {
                Ok((same, outcome)) => {
                    job = same;
                    outcome
                }
                Err(error) => return drop(out.send(Err(error.into())).await),
            };
            let sent = match outcome {
                Ok(Outcome::Fetch(ranges)) => match job.block.fetch(&ranges).await {
                    Ok(bytes) => {
                        fetched = bytes;
                        continue;
                    }
                    Err(error) => out.send(Err(error.into())).await.and(Ok(false)),
                },
                Ok(Outcome::Series(series)) => out.send(Ok(series)).await.and(Ok(true)),
                Ok(Outcome::Last(series)) => out.send(Ok(series)).await.and(Ok(false)),
                Err(error) => out.send(Err(error)).await.and(Ok(false)),
            };
            if !matches!(sent, Ok(true)) {
                return;
            }
        }
    }

    /// Goes on until there are series to send or bytes to wait for.
    fn advance(&mut self, mut fetched: Vec<Bytes>) -> Result<Outcome, StoreError> {
        let mut ready = Vec::new();
        loop {
            match self.select.step(std::mem::take(&mut fetched))? {
                Step::Fetch(ranges) => match self.block.mapped() {
                    Some(block) => fetched = block.read(&ranges)?,
                    None => return Ok(Outcome::Fetch(ranges)),
                },
                Step::Batch(batch) => {
                    self.budget.take(&batch.series)?;
                    for series in batch.series {
                        self.check(&series)?;
                        self.reorder.push(series, &mut ready);
                    }
                    self.keep_wanted(&mut ready);
                    if self.left == 0 {
                        return Ok(Outcome::Last(ready));
                    }
                    if !ready.is_empty() {
                        return Ok(Outcome::Series(ready));
                    }
                }
                Step::Done => {
                    self.reorder.finish(&mut ready);
                    self.keep_wanted(&mut ready);
                    return Ok(Outcome::Last(ready));
                }
            }
        }
    }

    fn check(&self, series: &SelectedSeries) -> Result<(), StoreError> {
        for chunk in &series.chunks {
            check_aggregates(chunk, &self.aggregates)
                .map_err(|source| StoreError::Chunk { block: self.block.id(), source })?;
        }
        Ok(())
    }

    /// Leaves those of the shard, and no more than are wanted.
    fn keep_wanted(&mut self, series: &mut Vec<SelectedSeries>) {
        if let Some(shard) = &self.shard {
            let mut buffer = Vec::new();
            series.retain(|s| shard.holds(&s.labels, &mut buffer));
        }
        series.truncate(self.left);
        self.left -= series.len();
    }
}
