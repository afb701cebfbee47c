//! How a head is kept.

use crate::wal::WalOptions;

/// How a head is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadOptions {
    /// Milliseconds of a block; no chunk reaches over a multiple of it.
    pub range_ms: i64,
    /// How the log is written.
    pub wal: WalOptions,
}

impl Default for HeadOptions {
    fn default() -> HeadOptions {
        HeadOptions { range_ms: 2 * 3600 * 1000, wal: WalOptions::default() }
    }
}
