//! Marks for deletion: blocks past their time, and blocks whose data another one holds. Thanos
//! `pkg/compact/retention.go`, `pkg/compact/compact.go`.

use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;
use std::time::Instant;

use tithon_bucket::BucketError;
use tithon_chunks::calendar::go_duration;
use tithon_engine::plan::{Verdict, matcher_record, not_downsampled};
use tithon_engine::{BlockId, BlockMeta, DeletionRequest};
use tithon_runtime::now_ms;

use crate::compactor::Watched;
use crate::fault::{Fault, Reporter};
use crate::rewrite::{Out, Plan, Rewritten};
use crate::succession::OUTDATED;
use crate::view::View;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Marks the blocks whose retention is over.
    pub(crate) async fn apply_retention(&self, view: &View, reporter: &Reporter) {
        let now_ms = now_ms();
        let waiting = self.waiting(view);
        let blocks = self.originals(view).await;
        self.tell(Watched::More(blocks.len()));
        for meta in blocks {
            self.tell(Watched::Done);
            let (block, policy) = (meta.ulid, &self.inner.options.policy);
            if view.deletion.contains_key(&block) || self.inner.busy.contains(block) {
                continue;
            }
            let Verdict::Drop(kept_ms) = policy.verdict(&meta, now_ms) else { continue };
            if waiting.contains(&block) && policy.outlives(&meta, now_ms) {
                continue;
            }
            let details =
                format!("block exceeding retention of {}", go_duration(kept_ms.saturating_mul(1_000_000)));
            match self.mark_for_deletion(block, &details, Vec::new()).await {
                Ok(written) => reporter.add(|report| report.marked_for_deletion += usize::from(written)),
                Err(error) => reporter.unfinished(None, &error),
            }
        }
    }

    /// Rewrites the blocks of which only some series are past their retention. Not while blocks are merged.
    pub(crate) async fn cut_expired(&self, view: &View, reporter: &Reporter) {
        let (now_ms, policy) = (now_ms(), &self.inner.options.policy);
        if policy.rules.is_empty() {
            return;
        }
        let (waiting, blocks) = (self.waiting(view), self.originals(view).await);
        self.tell(Watched::More(blocks.len()));
        for block in blocks {
            self.tell(Watched::Done);
            let halted = self.inner.options.halt_on_error && reporter.has_faults();
            if halted || self.inner.shutdown.is_triggered() {
                return;
            }
            let (id, outlives) = (block.ulid, policy.outlives(&block, now_ms));
            let is_left = view.deletion.contains_key(&id) || view.pending.contains(&id);
            let Verdict::Partly(claims) = policy.verdict(&block, now_ms) else { continue };
            if is_left || (waiting.contains(&id) && outlives) {
                continue;
            }
            let over: Vec<Option<usize>> =
                claims.iter().filter(|claim| claim.is_over).map(|claim| claim.rule).collect();
            let key = (id, over);
            if self.inner.kept_whole.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
                continue;
            }
            let records = key.1.iter().map(|rule| self.record_of(*rule)).collect();
            let plan = Plan { block, out: Out::Over(claims), records, stays_alone: outlives };
            if let Some(Rewritten::Untouched) = self.rewrite(&plan, reporter).await {
                self.inner.kept_whole.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
            }
        }
    }

    /// With rules, blocks that are not to be dropped before their data is there at a coarser resolution too, if it is to be kept there.
    pub(crate) fn waiting(&self, view: &View) -> HashSet<BlockId> {
        let options = &self.inner.options;
        if options.policy.rules.is_empty() || !options.downsampling {
            return HashSet::new();
        }
        let mut waiting = not_downsampled(&view.blocks);
        waiting.retain(|block| !view.no_downsample.contains(block));
        waiting
    }

    /// What meta.json tells of series that a rule has dropped.
    fn record_of(&self, rule: Option<usize>) -> DeletionRequest {
        let rule = rule.and_then(|rule| self.inner.options.policy.rules.get(rule));
        let matchers = rule.map(|rule| rule.matchers.iter().map(matcher_record).collect());
        DeletionRequest {
            matchers: matchers.unwrap_or_default(),
            intervals: Vec::new(),
            request_id: "retention".to_owned(),
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
