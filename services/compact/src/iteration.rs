//! One iteration: everything that is due now. Thanos `cmd/thanos/compact.go`, `pkg/compact/compact.go`.

use tracing::{info, instrument};

use crate::fault::{Fault, Reporter};
use crate::view::View;
use crate::{CompactError, Compactor, Report};

impl Compactor {
    /// Syncs with the bucket, deletes what is marked, marks what is superseded, merges, downsamples, applies retention and
    /// cleans up. What is at fault is in the report; an error means that the bucket cannot be listed or scratch space
    /// cannot be used.
    ///
    /// While blocks are merged, retention and deletion run at the same time, so that a backlog does not delay them.
    #[instrument(name = "compaction_iteration", skip_all)]
    pub async fn iterate(&self) -> Result<Report, CompactError> {
        let reporter = Reporter::default();
        let result = self.steps(&reporter).await;
        self.inner.iterations.send_modify(|count| *count += 1);
        let mut report = reporter.take();
        if let Err(error) = result {
            if !report.faults.is_empty() {
                report.faults.iter().for_each(|fault| info!(fault = fault.what, "left out before that"));
            }
            return Err(error);
        }
        report.faults.sort_by_key(|fault| (fault.block, fault.what.clone()));
        Ok(report)
    }

    async fn steps(&self, reporter: &Reporter) -> Result<(), CompactError> {
        let options = &self.inner.options;
        let halted = || options.halt_on_error && reporter.has_faults();
        let ended = || halted() || self.inner.shutdown.is_triggered();
        let view = self.sync().await?;
        report_unusable(&view, reporter);
        self.report_unreadable(reporter);
        self.delete_marked(&view, reporter).await;
        self.collect_garbage(&view, reporter).await;
        self.clean_scratch(&view).await?;
        if ended() {
            return Ok(());
        }
        let mut view = view;
        if self.apply_deletions(&view, reporter).await {
            if ended() {
                return Ok(());
            }
            view = self.update(&[]).await?;
        }
        // Shards are merged further in groups of their own, which the next sync finds; each time they are longer.
        for _ in 0..=options.levels_ms.len() {
            let cut = tokio::select! {
                cut = self.compact_groups(&view, reporter) => cut,
                () = self.keep_up(reporter) => false,
            };
            if ended() {
                return Ok(());
            }
            view = self.update(&[]).await?;
            if !cut {
                break;
            }
        }
        if options.downsampling {
            self.downsample_all(&view, reporter).await;
            if ended() {
                return Ok(());
            }
            view = self.update(&[]).await?;
        }
        self.apply_retention(&view, reporter).await;
        self.cut_expired(&view, reporter).await;
        let view = self.update(&[]).await?;
        self.delete_marked(&view, reporter).await;
        self.delete_partial(&view, reporter).await;
        if let Err(error) = self.finish_deletions(reporter).await {
            reporter.unfinished(None, &error);
        }
        if let Err(error) = self.remove_unused_leases().await {
            reporter.unfinished(None, &error);
        }
        self.clean_scratch(&view).await
    }

    /// Repeats retention and deletion; never ends.
    async fn keep_up(&self, reporter: &Reporter) {
        loop {
            tokio::time::sleep(self.inner.options.upkeep_interval).await;
            match self.update(&[]).await {
                Ok(view) => {
                    self.apply_retention(&view, reporter).await;
                    self.delete_marked(&view, reporter).await;
                }
                Err(error) => reporter.unfinished(None, &error),
            }
        }
    }

    /// Deletes partial uploads once; called between iterations at an interval of its own.
    pub(crate) async fn clean_up(&self) -> Result<(), CompactError> {
        let view = self.update(&[]).await?;
        self.delete_partial(&view, &Reporter::default()).await;
        Ok(())
    }
}

fn report_unusable(view: &View, reporter: &Reporter) {
    for (block, what) in &view.unusable {
        let what = what.clone();
        reporter.fault(Fault { block: Some(*block), group: None, what, marked: false, unfinished: false });
    }
}
