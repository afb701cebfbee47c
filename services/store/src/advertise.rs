//! What the store tells others that it has.

use tithon_chunks::TimeRange;
use tithon_index::Labels;

use crate::Store;

/// External label sets and times of the blocks that are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Distinct external label sets, by their text. None when a block has no external labels: then anything may be
    /// here, and nobody may pass us by because of the labels of other blocks.
    pub label_sets: Vec<Labels>,
    /// From the first to the end of the last block, cut to the time that is served; empty without blocks.
    pub range: TimeRange,
    /// For each label set the stretches of time without gaps.
    pub stretches: Vec<Stretch>,
}

/// A stretch of time that blocks of one label set cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// External labels.
    pub labels: Labels,
    /// The first millisecond of its first block.
    pub min_time: i64,
    /// The first millisecond behind its last block.
    pub max_time: i64,
}

impl Store {
    /// What is here now.
    pub fn advertised(&self) -> Advertised {
        let blocks = self.inner.blocks.load();
        let time = self.inner.options.time;
        let mut out = Advertised {
            label_sets: Vec::new(),
            range: TimeRange::new(i64::MAX, i64::MIN),
            stretches: Vec::new(),
        };
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
