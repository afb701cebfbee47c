//! Statistics of the head, as other servers are told them. Thanos `pkg/status/status.go`.

use std::sync::Arc;

use tithon_head::Greatest;
use tithon_runtime::Priority;
use tithon_storeapi::{Statistic, TsdbStatistics};

use crate::{Tsdb, TsdbError};

impl Tsdb {
    /// Sizes of the head, and its labels with the greatest numbers; each list has `limit` entries at the most. Chunks are not
    /// told, as in Thanos.
    pub async fn statistics(&self, limit: usize) -> Result<TsdbStatistics, TsdbError> {
        let db = Arc::clone(self.db());
        let work = move || (db.head().stats(), db.head().cardinality(limit));
        let (sizes, labels) = self.cpu().run(Priority::Query, work).await?;
        Ok(TsdbStatistics {
            series: sizes.series,
            label_pairs: i64::try_from(labels.label_pairs).unwrap_or(i64::MAX),
            chunks: 0,
            // An empty head begins at the end of time, as in Prometheus.
            min_time_ms: sizes.min_time.unwrap_or(i64::MAX),
            max_time_ms: sizes.max_time.unwrap_or_default().max(0),
            series_by_metric: list(labels.series_by_metric),
            values_by_label: list(labels.values_by_label),
            bytes_by_label: list(labels.bytes_by_label),
            series_by_pair: list(labels.series_by_pair),
        })
    }
}

fn list(greatest: Greatest) -> Vec<Statistic> {
    let one = |(name, value): (Vec<u8>, u64)| Statistic {
        name: String::from_utf8_lossy(&name).into_owned(),
        value,
    };
    greatest.into_iter().map(one).collect()
}
