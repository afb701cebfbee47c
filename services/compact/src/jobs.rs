//! Single jobs of an iteration, for tools that do one of them alone.

use std::sync::{Arc, PoisonError};

use tithon_runtime::now_ms;

use crate::fault::Reporter;
use crate::state::Loaded;
use crate::{CompactError, Compactor, Report};

impl Compactor {
    /// Downsamples everything that is due, to 5 minutes and to an hour. What a broken-off run left in scratch space is removed
    /// first. Thanos `cmd/thanos/downsample.go`.
    pub async fn downsample(&self) -> Result<Report, CompactError> {
        let reporter = Reporter::default();
        let mut view = self.sync().await?;
        self.clean_downsampling(&view).await?;
        // The second pass is for blocks of an hour whose source the first one made of several shards.
        for _ in 0..2 {
            self.downsample_all(&view, &reporter).await;
            if self.inner.shutdown.is_triggered() {
                break;
            }
            view = self.update(&[]).await?;
        }
        Ok(reporter.take())
    }

    /// Marks the blocks whose retention is over, and rewrites those of which only some series' is, once. Thanos
    /// `pkg/compact/retention.go`.
    pub async fn expire(&self) -> Result<Report, CompactError> {
        let reporter = Reporter::default();
        let view = self.sync().await?;
        self.apply_retention(&view, &reporter).await;
        self.cut_expired(&view, &reporter).await;
        Ok(reporter.take())
    }

    /// Deletes partial uploads and marked blocks that are due, once. Thanos `pkg/compact/{clean,blocks_cleaner}.go`.
    pub async fn clean(&self) -> Result<Report, CompactError> {
        let reporter = Reporter::default();
        let view = self.sync().await?;
        self.delete_partial(&view, &reporter).await;
        self.delete_marked(&view, &reporter).await;
        Ok(reporter.take())
    }

    /// Shows the blocks in scope whose data no others hold as the whole bucket, for a process that only serves pages. Where the
    /// bucket does not answer, the pages say so above what was there before.
    pub async fn refresh_pages(&self) {
        let seen = self.sync().await;
        let mut global = self.inner.global.write().unwrap_or_else(PoisonError::into_inner);
        let blocks = std::mem::take(&mut global.blocks);
        let refreshed_at_ms = now_ms();
        *global = match seen {
            Ok(view) => Loaded {
                blocks: view.blocks.into_iter().map(Arc::new).collect(),
                refreshed_at_ms,
                error: None,
            },
            Err(error) => Loaded { blocks, refreshed_at_ms, error: Some(error.to_string()) },
        };
    }
}
