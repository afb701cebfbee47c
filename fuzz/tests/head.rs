//! Replays the bodies for `tithon-head` over golden segments, cut and changed.

use tithon_fuzz::head::{wal_record, wal_segment};

#[test]
fn changed_golden_segments_are_taken_or_refused() {
    for case in ["wal-none/wal/00000000", "wal-st/wal/00000000", "wal-zstd-checkpoint/wal/00000004"] {
        let path = tithon_testdata::shared(&format!("testdata/head/{case}"));
        let segment = std::fs::read(path).expect("golden file");
        wal_segment(&segment);
        for at in 0..400usize {
            let place = at * 7919 % segment.len();
            let mut changed = segment.clone();
            changed[place] ^= 1 << (at % 8);
            wal_segment(&changed);
            wal_segment(&segment[..place]);
        }
        // Behind the checksum: records themselves.
        for at in (0..6000usize).step_by(7) {
            let end = segment.len().min(7 + at % 3000);
            let mut changed = segment[7..end].to_vec();
            if let Some(byte) = changed.get_mut(at % 500) {
                *byte ^= 1 << (at % 8);
            }
            wal_record(&changed);
        }
    }
}
