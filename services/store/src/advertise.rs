//! The store's answer to `Info`.

use tithon_chunks::TimeRange;
use tithon_index::Labels;
use tithon_storeapi::{StoreInfo, Stretch};

use crate::Store;

impl Store {
    /// What the served blocks hold now. The range goes from the first block's start to the last block's end, cut to the
    /// served time range. There are no label sets if some block has no external labels: then any series may be here.
    pub(crate) fn advertised(&self) -> StoreInfo {
        let blocks = self.inner.blocks.load();
        let time = self.inner.time_now();
        let mut out = StoreInfo::new("store", TimeRange::new(i64::MAX, i64::MIN));
        for (labels, group) in &blocks.groups {
            let mut ranges: Vec<(i64, i64)> =
                group.all().map(|block| (block.meta().min_time, block.meta().max_time)).collect();
            ranges.sort_unstable();
            for (min_time, max_time) in ranges {
                out.range.min.0 = out.range.min.0.min(min_time);
                out.range.max.0 = out.range.max.0.max(max_time);
                match out.stretches.last_mut() {
                    Some(last) if last.labels == *labels && min_time <= last.max_time => {
                        last.max_time = max_time
                    }
                    _ => out.stretches.push(Stretch { labels: labels.clone(), min_time, max_time }),
                }
            }
            out.label_sets.push(labels.clone());
        }
        if !blocks.groups.is_empty() {
            out.range.min = out.range.min.max(time.min);
            out.range.max = out.range.max.min(time.max);
        }
        if out.label_sets.iter().any(Labels::is_empty) {
            out.label_sets.clear();
        }
        out.label_sets.sort_by_cached_key(Labels::to_string);
        out
    }
}
