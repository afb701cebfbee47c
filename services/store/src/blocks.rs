//! The served blocks by external labels and resolution, and the choice of those that answer a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use tithon_chunks::TimeRange;
use tithon_engine::{BlockId, BlockMeta, Resolution};
use tithon_index::Labels;

use crate::served::ServedBlock;

/// The served blocks, and the damaged ones that cannot be served. Immutable: each sync makes a new value.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) served: BTreeMap<BlockId, Arc<ServedBlock>>,
    pub(crate) groups: BTreeMap<Labels, Group>,
    pub(crate) faulty: BTreeMap<BlockId, FaultyBlock>,
}

/// The blocks with one external label set: a list for each resolution, the coarsest first, each ascending by time.
#[derive(Debug, Default)]
pub(crate) struct Group {
    by_resolution: [Vec<Arc<ServedBlock>>; 3],
}

/// A block that could not be opened.
#[derive(Clone, Debug)]
pub(crate) struct FaultyBlock {
    pub(crate) meta: Arc<BlockMeta>,
    pub(crate) reason: String,
}

/// The resolutions in the order of [`Group`]'s lists.
const RESOLUTIONS: [Resolution; 3] = [Resolution::OneHour, Resolution::FiveMinutes, Resolution::Raw];

/// The external labels of a block; a block written by Prometheus has none.
pub(crate) fn external_labels(meta: &BlockMeta) -> Labels {
    meta.thanos.as_ref().map(|thanos| thanos.external_labels()).unwrap_or_default()
}

impl Blocks {
    /// Groups the served blocks.
    pub(crate) fn new(
        served: BTreeMap<BlockId, Arc<ServedBlock>>,
        faulty: BTreeMap<BlockId, FaultyBlock>,
    ) -> Blocks {
        let mut groups: BTreeMap<Labels, Group> = BTreeMap::new();
        for block in served.values() {
            let resolution = block.meta().resolution_ms();
            if let Some(list) = RESOLUTIONS.iter().position(|r| r.ms() == resolution) {
                let group = groups.entry(external_labels(block.meta())).or_default();
                group.by_resolution[list].push(Arc::clone(block));
            }
        }
        for list in groups.values_mut().flat_map(|group| &mut group.by_resolution) {
            list.sort_by_key(|block| (block.meta().min_time, block.meta().max_time, block.id()));
        }
        Blocks { served, groups, faulty }
    }
}

impl Group {
    /// All blocks of the group.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<ServedBlock>> {
        self.by_resolution.iter().flatten()
    }

    /// The blocks that answer for `range`: those of the coarsest allowed resolution, and finer ones for the gaps
    /// between them. Thanos `pkg/store/bucket.go`, `getFor`.
    pub(crate) fn choose(&self, range: TimeRange, max_resolution_ms: i64) -> Vec<Arc<ServedBlock>> {
        let coarsest = RESOLUTIONS.iter().position(|r| r.ms() <= max_resolution_ms);
        let mut out = Vec::new();
        if let Some(coarsest) = coarsest {
            self.fill(range.min.0, range.max.0, coarsest, &mut out);
        }
        out
    }

    fn fill(&self, min: i64, max: i64, resolution: usize, out: &mut Vec<Arc<ServedBlock>>) {
        let Some(blocks) = self.by_resolution.get(resolution).filter(|_| min <= max) else { return };
        let mut cursor = min;
        for block in blocks {
            let meta = block.meta();
            if meta.max_time <= min {
                continue;
            }
            if meta.min_time > max {
                break;
            }
            self.fill(cursor, meta.min_time.saturating_sub(1), resolution + 1, out);
            out.push(Arc::clone(block));
            cursor = meta.max_time;
        }
        self.fill(cursor, max, resolution + 1, out);
    }
}
