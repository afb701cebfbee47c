//! Marks for deletion: blocks past their time, and blocks whose data another one holds. Thanos
//! `pkg/compact/retention.go`, `pkg/compact/compact.go`.

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use tithon_bucket::BucketError;
use tithon_chunks::calendar::go_duration;
use tithon_engine::plan::expired;
use tithon_engine::{BlockId, BlockMeta, Resolution};

use crate::fault::{Fault, Reporter};
use crate::succession::OUTDATED;
use crate::view::View;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Marks the blocks whose retention is over.
    pub(crate) async fn apply_retention(&self, view: &View, reporter: &Reporter) {
        let retention = self.inner.options.retention;
        for block in expired(&view.blocks, retention, self.now_ms()) {
            if view.deletion.contains_key(&block) || self.inner.busy.contains(block) {
                continue;
            }
            let meta = view.blocks.iter().find(|meta| meta.ulid == block);
            let kept_ms = match meta.and_then(|meta| Resolution::from_ms(meta.resolution_ms())) {
                Some(Resolution::FiveMinutes) => retention.of_5m_blocks_ms,
                Some(Resolution::OneHour) => retention.of_1h_blocks_ms,
                _ => retention.of_raw_blocks_ms,
            };
            let details =
                format!("block exceeding retention of {}", go_duration(kept_ms.saturating_mul(1_000_000)));
            match self.mark_for_deletion(block, &details, Vec::new()).await {
                Ok(written) => reporter.add(|report| report.marked_for_deletion += usize::from(written)),
                Err(error) => reporter.unfinished(None, &error),
            }
        }
    }

    /// Marks the superseded blocks, once their successors are known to be complete and to cover their time.
    pub(crate) async fn collect_garbage(&self, view: &View, reporter: &Reporter) {
        let metrics = &self.inner.metrics;
        let begin = Instant::now();
        metrics.garbage_runs.inc();
        let by_id: BTreeMap<BlockId, &BlockMeta> = view.blocks.iter().map(|meta| (meta.ulid, meta)).collect();
        let (mut sound, mut failed) = (HashSet::new(), false);
        for (found, block) in &view.superseded {
            if view.deletion.contains_key(&found.block) || self.inner.busy.contains(found.block) {
                continue;
            }
            let Some(by) = view.that_stay(&found.by) else { continue };
            let successors: Option<Vec<&BlockMeta>> = by.iter().map(|id| by_id.get(id).copied()).collect();
            let Some(successors) = successors else { continue };
            let mut at_fault = None;
            let result = async {
                for successor in successors {
                    at_fault = Some(successor.ulid);
                    if !sound.contains(&successor.ulid) {
                        self.check_successor(successor).await?;
                        sound.insert(successor.ulid);
                    }
                    covers(successor, block)?;
                }
                self.mark_for_deletion(found.block, OUTDATED, by.clone()).await
            };
            match result.await {
                Ok(written) => {
                    metrics.garbage_blocks.inc();
                    reporter.add(|report| report.marked_for_deletion += usize::from(written));
                }
                Err(error) => {
                    failed = true;
                    let what = format!("{} is kept, as its successor is at fault: {error}", found.block);
                    let unfinished = error.is_transient();
                    reporter.fault(Fault { block: at_fault, group: None, what, marked: false, unfinished });
                }
            }
        }
        if failed {
            metrics.garbage_failures.inc();
        }
        metrics.garbage_seconds.observe(begin.elapsed().as_secs_f64());
    }
}

impl View {
    /// These blocks, and for each that is marked for deletion those that it was replaced by; `None` where a mark does not say.
    fn that_stay(&self, blocks: &[BlockId]) -> Option<Vec<BlockId>> {
        let (mut left, mut seen) = (blocks.to_vec(), HashSet::new());
        let mut stay = Vec::new();
        while let Some(id) = left.pop() {
            match self.deletion.get(&id) {
                _ if !seen.insert(id) => {}
                None => stay.push(id),
                Some(mark) if mark.replaced_by.is_empty() => return None,
                Some(mark) => left.extend(&mark.replaced_by),
            }
        }
        stay.sort_unstable();
        (!stay.is_empty()).then_some(stay)
    }
}

fn covers(successor: &BlockMeta, block: &BlockMeta) -> Result<(), CompactError> {
    if successor.min_time <= block.min_time && successor.max_time >= block.max_time {
        return Ok(());
    }
    let file = format!(
        "meta.json: covers [{}, {}), not all of [{}, {}) of {}",
        successor.min_time, successor.max_time, block.min_time, block.max_time, block.ulid
    );
    Err(BucketError::Incomplete { block: successor.ulid, file, found: None, expected: 0 }.into())
}
