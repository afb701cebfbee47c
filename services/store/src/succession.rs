//! Succession of blocks: a block is not served while other blocks that can be opened hold its data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tithon_engine::{BlockId, BlockMeta, plan};

use crate::blocks::FaultyBlock;

/// The blocks that may be served.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Number of blocks that are excluded, by Thanos's name for the reason.
    pub(crate) excluded: BTreeMap<&'static str, i64>,
    pub(crate) live: Vec<Arc<BlockMeta>>,
    /// Blocks with an old deletion mark. They are served again while the blocks made of them cannot be opened.
    pub(crate) marked: Vec<Arc<BlockMeta>>,
}

/// The choice of blocks to serve.
#[derive(Debug, Default)]
pub(crate) struct Succession {
    pub(crate) wanted: Vec<Arc<BlockMeta>>,
    /// The chosen blocks that supersede other blocks still in the bucket.
    pub(crate) successors: BTreeSet<BlockId>,
}

impl Candidates {
    pub(crate) fn has(&self, id: BlockId) -> bool {
        self.live.iter().chain(&self.marked).any(|meta| meta.ulid == id)
    }

    /// The blocks to serve: all that are not superseded by a block that can be opened.
    pub(crate) fn succession(&self, faulty: &BTreeMap<BlockId, FaultyBlock>) -> Succession {
        let faults: Vec<&BlockMeta> = faulty.values().map(|fault| &*fault.meta).collect();
        let back = self.marked.iter().filter(|meta| !faults.is_empty() && plan::is_covered(meta, &faults));
        let is_sound = |meta: &&Arc<BlockMeta>| !faulty.contains_key(&meta.ulid);
        let sound = self.live.iter().chain(back).filter(is_sound);
        let mut succession = without_superseded(sound.cloned().collect());
        if !self.marked.is_empty() {
            let all = self.live.iter().chain(&self.marked).filter(is_sound);
            let of_marked = without_superseded(all.cloned().collect()).successors;
            let wanted: BTreeSet<BlockId> = succession.wanted.iter().map(|meta| meta.ulid).collect();
            succession.successors.extend(of_marked.intersection(&wanted));
        }
        succession
    }
}

/// Leaves out a block when all its sources went into one other block of the same labels and resolution, or into all
/// shards of a split. Of blocks with equal sources the oldest stays. A downsampled shard is also left out until its
/// siblings are downsampled.
fn without_superseded(metas: Vec<Arc<BlockMeta>>) -> Succession {
    let mut out = Succession { wanted: Vec::with_capacity(metas.len()), successors: BTreeSet::new() };
    for family in plan::families(metas) {
        let mut gone = BTreeSet::new();
        for found in plan::superseded(&family) {
            gone.insert(found.block);
            out.successors.extend(found.by);
        }
        out.wanted.extend(family.into_iter().filter(|meta| !gone.contains(&meta.ulid)));
    }
    let incomplete: BTreeSet<BlockId> = plan::incomplete_shards(&out.wanted).into_iter().collect();
    out.wanted.retain(|meta| !incomplete.contains(&meta.ulid));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> BlockId {
        BlockId::from_parts(1, n)
    }

    fn meta(n: u128, sources: &[u128]) -> Arc<BlockMeta> {
        let sources = sources.iter().map(|s| format!("\"{}\"", id(*s))).collect::<Vec<_>>().join(",");
        let json = format!(
            r#"{{"ulid":"{}","minTime":0,"maxTime":1,"version":1,"stats":{{}},"compaction":{{"level":1,"sources":[{sources}]}}}}"#,
            id(n)
        );
        Arc::new(BlockMeta::parse(json.as_bytes()).unwrap())
    }

    fn ids(numbers: &[u128]) -> Vec<BlockId> {
        numbers.iter().map(|n| id(*n)).collect()
    }

    fn check(
        live: &[(u128, &[u128])],
        marked: &[(u128, &[u128])],
        faulty: &[u128],
        wanted: &[u128],
        successors: &[u128],
    ) {
        let metas = |list: &[(u128, &[u128])]| list.iter().map(|(n, s)| meta(*n, s)).collect::<Vec<_>>();
        let candidates = Candidates { live: metas(live), marked: metas(marked), ..Candidates::default() };
        let fault = |n: &u128| {
            let meta = candidates.live.iter().find(|meta| meta.ulid == id(*n)).unwrap();
            (id(*n), FaultyBlock { meta: Arc::clone(meta), reason: String::new() })
        };
        let found = candidates.succession(&faulty.iter().map(fault).collect());
        let mut kept: Vec<_> = found.wanted.iter().map(|m| m.ulid).collect();
        kept.sort();
        assert_eq!(kept, ids(wanted));
        assert_eq!(found.successors.into_iter().collect::<Vec<_>>(), ids(successors));
    }

    #[test]
    fn superseded_blocks_are_left_out() {
        check(&[(1, &[1]), (2, &[2])], &[], &[], &[1, 2], &[]);
        check(&[(1, &[1]), (2, &[2]), (3, &[1, 2])], &[], &[], &[3], &[3]);
        check(&[(1, &[1]), (2, &[1])], &[], &[], &[1], &[1]);
        check(&[(3, &[1, 2]), (4, &[2, 5])], &[], &[], &[3, 4], &[]);
    }

    #[test]
    fn marked_blocks_count_while_their_successors_may_be_damaged() {
        let sources: [(u128, &[u128]); 2] = [(1, &[1]), (2, &[2])];
        check(&[(3, &[1, 2]), (4, &[4])], &sources, &[], &[3, 4], &[3]);
        check(&[(3, &[1, 2]), (4, &[4])], &sources, &[3], &[1, 2, 4], &[]);
        check(&[(4, &[4])], &sources, &[], &[4], &[]);
    }
}
