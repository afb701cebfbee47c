//! Replays the bodies for `tithon-chunks` over the golden vectors, whole, cut and changed, and over made-up bytes.

use arbitrary::{Arbitrary, Unstructured};
use tithon_fuzz::chunks::{Append, decode_chunk, open_segment, round_trip};
use tithon_fuzz::histograms;

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

/// Encoding byte and data of every golden chunk up to 200 bytes, damaged ones included: the seed corpus.
fn golden() -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut add = |encoding: &serde_json::Value, hex: &serde_json::Value| {
        let hex = hex.as_str().expect("vectors hold hex");
        let mut bytes = vec![encoding.as_u64().expect("vectors name the encoding") as u8];
        let pairs = (0..hex.len()).step_by(2);
        bytes.extend(pairs.map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("hex digits")));
        if bytes.len() <= 200 {
            out.push(bytes);
        }
    };
    for line in tithon_testdata::json_lines("testdata/vectors/chunks.jsonl.zst") {
        for chunk in line["chunks"].as_array().expect("vectors list chunks") {
            add(&line["encoding"], &chunk["hex"]);
        }
    }
    for line in tithon_testdata::json_lines("testdata/vectors/damaged-chunks.jsonl.zst") {
        add(&line["encoding"], &line["hex"]);
    }
    out
}

#[test]
fn golden_chunks_cut_and_changed() {
    let golden = golden();
    assert!(golden.len() > 800, "{}", golden.len());
    for (seed, bytes) in golden.iter().enumerate() {
        decode_chunk(bytes);
        for k in 0..24 {
            let at = (seed * 31 + k * 7919) % (bytes.len() * 8);
            let mut changed = bytes.clone();
            changed[at / 8] ^= 1 << (at % 8);
            decode_chunk(&changed);
            decode_chunk(&bytes[..at / 8]);
        }
    }
}

#[test]
fn every_flip_and_cut_of_small_chunks() {
    for bytes in golden().iter().filter(|bytes| bytes.len() <= 40) {
        for bit in 8..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            decode_chunk(&changed);
        }
        (0..bytes.len()).for_each(|len| decode_chunk(&bytes[..len]));
    }
}

#[test]
fn made_up_bytes_are_taken_or_refused() {
    for seed in 0..4000u64 {
        let mut data = made_up(seed, 1 + seed as usize % 150);
        data[0] = [1, 2, 3, 4, 5, 6, 255, 9][seed as usize % 8];
        if let Some(high) = data.get_mut(1) {
            *high = 0;
        }
        decode_chunk(&data);
        open_segment(&data);
        let header = [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];
        open_segment(&[&header, &data[..]].concat());
        let appends = Vec::<Append>::arbitrary(&mut Unstructured::new(&made_up(seed, 600)));
        round_trip(&appends.expect("enough bytes"));
        if seed % 8 == 0 {
            let bytes = made_up(seed, 4000);
            let mut bytes = Unstructured::new(&bytes);
            let appends: Result<Vec<_>, _> = (0..40).map(|_| Arbitrary::arbitrary(&mut bytes)).collect();
            histograms::round_trip(&appends.expect("enough bytes"));
        }
    }
}
