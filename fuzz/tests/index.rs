//! Replays the bodies for `tithon-index` over golden files, cut and changed, and over made-up bytes.

use arbitrary::{Arbitrary, Unstructured};
use tithon_fuzz::index::{
    TwoSets, index_audit, index_header, index_open, matcher, series_entry, set_operations,
};

/// Bytes that are the same everywhere (splitmix64).
fn made_up(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn made_up_bytes_are_taken_or_refused() {
    for seed in 0..3000 {
        let data = made_up(seed, 1 + seed as usize % 300);
        index_open(&data);
        index_audit(&data);
        index_header(&data);
        series_entry(&data);
        matcher(&data);
        let text: Vec<u8> = data.iter().map(|b| b"ab|()*+?.[]^$\\{}0,9-Qd"[usize::from(*b) % 22]).collect();
        matcher(&text);
        if let Ok(sets) = TwoSets::arbitrary(&mut Unstructured::new(&data)) {
            set_operations(&sets);
        }
    }
}

#[test]
fn changed_golden_files_are_taken_or_refused() {
    let read = |path: &str| std::fs::read(tithon_testdata::shared(path)).expect("golden file");
    let index = read("testdata/blocks/index-format-v1/index");
    let header = read("testdata/index-headers/index-format-v1/index-header");
    for at in 0..2000usize {
        let change = |file: &[u8]| {
            let mut changed = file.to_vec();
            let place = at * 7919 % file.len();
            changed[place] ^= 1 << (at % 8);
            changed
        };
        index_open(&change(&index));
        index_audit(&change(&index));
        index_header(&change(&header));
        index_open(&index[..at * 7919 % index.len()]);
    }
}
