//! How much work is waiting, for the `thanos_compact_todo_*` gauges.

use tithon_engine::plan::{Verdict, backlog, downsample_jobs, group};
use tithon_runtime::now_ms;

use crate::view::View;
use crate::{CompactError, Compactor};

impl Compactor {
    /// Sets the gauges by what is known of the bucket.
    pub(crate) async fn measure_progress(&self) -> Result<(), CompactError> {
        let view = self.update(&[]).await?;
        self.show_progress(&view);
        Ok(())
    }

    pub(crate) fn show_progress(&self, view: &View) {
        let (options, metrics) = (&self.inner.options, &self.inner.metrics);
        let groups = group(view.blocks.iter().cloned(), &[]);
        let todo = backlog(&groups, &options.levels_ms, &view.no_compact, options.split_shards);
        metrics.todo_compactions.set(todo.plans as i64);
        metrics.todo_compaction_blocks.set(todo.blocks as i64);
        let jobs = if options.downsampling { downsample_jobs(&view.blocks, options.spans).len() } else { 0 };
        metrics.todo_downsample_blocks.set(jobs as i64);
        let now_ms = now_ms();
        let is_over = |block: &&tithon_engine::BlockMeta| {
            matches!(options.policy.verdict(block, now_ms), Verdict::Drop(_))
        };
        metrics.todo_deletion_blocks.set(view.blocks.iter().filter(is_over).count() as i64);
    }
}
