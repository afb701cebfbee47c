//! Finds blocks whose samples are all older than the retention.

use crate::{BlockMeta, Resolution};

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

impl Retention {
    /// How long blocks of a resolution are kept; those of an unknown one for ever.
    pub const fn of(self, resolution_ms: i64) -> i64 {
        match Resolution::from_ms(resolution_ms) {
            Some(Resolution::Raw) => self.of_raw_blocks_ms,
            Some(Resolution::FiveMinutes) => self.of_5m_blocks_ms,
            Some(Resolution::OneHour) => self.of_1h_blocks_ms,
            None => 0,
        }
    }

    /// Whether a block ends before its retention at `now_ms`; as upstream, ends count in whole seconds.
    pub const fn is_over(self, block: &BlockMeta, now_ms: i64) -> bool {
        let resolution_ms = match &block.thanos {
            Some(thanos) => thanos.downsample.resolution,
            None => 0,
        };
        self.is_over_at(resolution_ms, block.max_time, now_ms)
    }

    /// The same of a block of this resolution and end.
    pub const fn is_over_at(self, resolution_ms: i64, max_time: i64, now_ms: i64) -> bool {
        let (kept_ms, end_ms) = (self.of(resolution_ms), max_time / 1000 * 1000);
        kept_ms > 0 && now_ms > end_ms.saturating_add(kept_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::duplicates::tests::meta;

    #[test]
    fn whole_blocks_after_their_time() {
        let retention = Retention { of_raw_blocks_ms: 10_000, ..Retention::default() };
        let blocks = [meta(1, 0, 5_999, &[]), meta(2, 0, 6_000, &[])];
        let over = |retention: Retention, now_ms: i64| {
            blocks.each_ref().map(|block| retention.is_over(block, now_ms))
        };
        assert_eq!(over(retention, 15_000), [false, false]);
        assert_eq!(over(retention, 15_001), [true, false]);
        assert_eq!(over(Retention::default(), i64::MAX), [false, false]);
    }
}
