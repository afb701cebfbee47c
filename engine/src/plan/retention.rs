//! Finds blocks whose samples are all older than the retention.

use crate::{BlockId, BlockMeta, Resolution};

/// How long blocks are kept, milliseconds; 0 means without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long raw blocks are kept.
    pub of_raw_blocks_ms: i64,
    /// How long blocks of resolution 5m are kept.
    pub of_5m_blocks_ms: i64,
    /// How long blocks of resolution 1h are kept.
    pub of_1h_blocks_ms: i64,
}

/// The blocks whose retention has ended at `now_ms`; the ends of blocks count in whole seconds, as upstream's do.
pub fn expired(blocks: &[BlockMeta], retention: Retention, now_ms: i64) -> Vec<BlockId> {
    let is_expired = |block: &&BlockMeta| {
        let kept_ms = match Resolution::from_ms(block.resolution_ms()) {
            Some(Resolution::Raw) => retention.of_raw_blocks_ms,
            Some(Resolution::FiveMinutes) => retention.of_5m_blocks_ms,
            Some(Resolution::OneHour) => retention.of_1h_blocks_ms,
            None => 0,
        };
        let end_ms = block.max_time / 1000 * 1000;
        kept_ms > 0 && now_ms > end_ms.saturating_add(kept_ms)
    };
    blocks.iter().filter(is_expired).map(|block| block.ulid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;

    #[test]
    fn whole_blocks_after_their_time() {
        let retention = Retention { of_raw_blocks_ms: 10_000, ..Retention::default() };
        let blocks = [meta(1, 0, 5_999, &[]), meta(2, 0, 6_000, &[])];
        assert_eq!(expired(&blocks, retention, 15_000), []);
        assert_eq!(expired(&blocks, retention, 15_001), [blocks[0].ulid]);
        assert_eq!(expired(&blocks, Retention::default(), i64::MAX), []);
    }
}
