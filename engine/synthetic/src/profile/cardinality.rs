//! Many values of one label.

use tithon_index::Labels;

use crate::series::{Source, Walk};

/// The kind of all series: counters that seldom change.
pub(crate) const SOURCE: Source = Source::Walk(Walk::counter(60, 4));

/// Labels of series `i`, with a unique `id`.
pub(crate) fn labels(i: usize) -> Labels {
    let name =
        ["sessions_total", "session_bytes_total", "session_errors_total", "session_seconds_total"][i % 4];
    Labels::from_pairs([
        ("__name__", name.to_owned()),
        ("id", format!("{:08x}-{i:07}", (i as u32).wrapping_mul(0x9e37_79b9))),
        ("region", format!("eu-{}", i % 5)),
        ("tenant", format!("tenant-{:03}", i / 7 % 100)),
    ])
}
