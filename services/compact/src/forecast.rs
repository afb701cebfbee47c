//! What the rules of a retention policy would free now, told by metas and indexes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tithon_engine::cut::{Loss, losses_of};
use tithon_engine::plan::{Claim, Verdict, series_over, whole_series};
use tithon_engine::{BlockId, BlockMeta, Tombstones};
use tithon_runtime::now_ms;
use tokio::runtime::Handle;

use crate::compactor::Watched;
use crate::{CompactError, Compactor};

/// What one rule would free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Freed {
    /// Blocks that go whole, whichever rules say so together.
    pub blocks_dropped: u64,
    /// Blocks that are written anew.
    pub blocks_rewritten: u64,
    /// Series, counted once a block.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Samples: about, by chunks, where not all of a block goes.
    pub samples: u64,
    /// Bytes of chunks, likewise.
    pub bytes: u64,
}

/// What a policy would free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// By the number of the rule; `None` for series that no rule matches.
    pub by_rule: BTreeMap<Option<usize>, Freed>,
    /// Blocks that stay because a coarser resolution, which is kept longer, lacks their data.
    pub waiting: Vec<BlockId>,
    /// Blocks that could not be read, and why.
    pub faulty: BTreeMap<BlockId, String>,
}

impl Compactor {
    /// What the policy would free now. Reads the indexes of the blocks concerned, and changes nothing.
    pub async fn forecast_retention(&self) -> Result<Forecast, CompactError> {
        let (view, now_ms) = (self.sync().await?, now_ms());
        let (policy, waiting) = (&self.inner.options.policy, self.waiting(&view));
        let (mut forecast, blocks) = (Forecast::default(), self.originals(&view).await);
        self.tell(Watched::More(blocks.len()));
        for block in blocks {
            self.tell(Watched::Done);
            let is_whole = match policy.verdict(&block, now_ms) {
                _ if view.deletion.contains_key(&block.ulid) => continue,
                Verdict::Keep => continue,
                Verdict::Drop(_) => true,
                Verdict::Partly(_) => false,
            };
            if waiting.contains(&block.ulid) && policy.outlives(&block, now_ms) {
                forecast.waiting.push(block.ulid);
                continue;
            }
            let claims = policy.claims(&block, now_ms);
            match self.freed(Arc::clone(&block), claims).await {
                Ok(found) => {
                    for (rule, freed) in found {
                        forecast.by_rule.entry(rule).or_default().add(freed, is_whole);
                    }
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => drop(forecast.faulty.insert(block.ulid, error.to_string())),
            }
        }
        Ok(forecast)
    }

    /// What the claims that are over would free of a block, by rule.
    async fn freed(
        &self,
        meta: Arc<BlockMeta>,
        claims: Vec<Claim>,
    ) -> Result<Vec<(Option<usize>, Freed)>, CompactError> {
        let source = self.inner.bucket.open_block(Arc::clone(&meta), None).await?;
        let (runtime, stats) = (Handle::current(), meta.stats);
        let look = move || -> Result<_, CompactError> {
            let over = series_over(source.input(&runtime), &claims)?;
            let (rules, series): (Vec<_>, Vec<_>) = over.into_iter().unzip();
            let deleted: Vec<Tombstones> = series.into_iter().map(whole_series).collect();
            let cuts = losses_of(source.input(&runtime), &deleted)?;
            source.check()?;
            let bytes: u64 = source.segment_sizes().iter().sum();
            let freed = |cut: Loss| Freed {
                series: cut.series,
                chunks: cut.chunks,
                samples: cut.share_of(stats.num_samples, stats.num_chunks),
                bytes: cut.share_of(bytes, stats.num_chunks),
                ..Freed::default()
            };
            Ok(rules.into_iter().zip(cuts.into_iter().map(freed)).collect())
        };
        self.compute(look).await?
    }
}

impl Freed {
    fn add(&mut self, other: Freed, is_whole: bool) {
        self.blocks_dropped += u64::from(is_whole);
        self.blocks_rewritten += u64::from(!is_whole);
        self.series += other.series;
        self.chunks += other.chunks;
        self.samples += other.samples;
        self.bytes += other.bytes;
    }
}
